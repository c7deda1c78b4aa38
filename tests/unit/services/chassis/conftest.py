"""What all tests of the chassis leave behind: nothing."""

import logging
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Logging as it was: some of these tests configure it as a service does."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers, root.level, sys.excepthook
    yield
    logging.captureWarnings(False)
    sys.excepthook = hook
    root.handlers = handlers
    root.setLevel(level)
