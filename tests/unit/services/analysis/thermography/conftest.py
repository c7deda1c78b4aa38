"""Photos and requests for the tests of the thermographic analysis."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contracts.events import Household, PhotoKind, TaskType
from services.analysis.analyser import AnalysisRequest, PhotoFile


@pytest.fixture
def colour_jpeg() -> bytes:
    """An ordinary photo: a wall with a dark door, and a place in its EXIF."""
    picture = np.full((240, 320, 3), (200, 190, 170), np.uint8)
    picture[60:, 120:200] = (90, 60, 40)
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., AnalysisRequest]:
    """Make a request from file names and bytes, written to disk as the worker would find them."""

    def make(files: dict[str, bytes], **fields: Any) -> AnalysisRequest:
        photos = []
        for name, data in files.items():
            path = tmp_path / f"upload-{name}"
            path.write_bytes(data)
            number, _, rest = name.removeprefix("obs").partition("_")
            kind = PhotoKind.THERMAL if rest.startswith("thermal") else PhotoKind.RGB
            photos.append(PhotoFile(path, name, kind, int(number)))
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        defaults: dict[str, Any] = {
            "job_id": "job-1",
            "task_id": "task-1",
            "task_type": TaskType.WINDOW,
            "inside_temp_f": 70.0,
            "outside_temp_f": 30.0,
            "household": Household(zip_code="60601", ownership="Own"),
            "photos": tuple(photos),
            "scratch": scratch,
        }
        return AnalysisRequest(**(defaults | fields))

    return make
