"""The committed documents are those that the code makes."""

import pytest

from deploy.documents import ROOT, documents

MADE = documents()


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_committed_document_is_what_the_code_makes(name: str) -> None:
    assert (ROOT / name).read_text() == MADE[name], "run `make contracts` and look at what has changed"


def test_no_schema_of_an_event_that_is_no_more_is_left() -> None:
    committed = {f"contracts/schemas/{path.name}" for path in (ROOT / "contracts" / "schemas").glob("*.json")}
    assert committed == {name for name in MADE if name.startswith("contracts/schemas/")}
