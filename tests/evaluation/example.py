"""The before/after pictures of README and docs, drawn anew by ``python -m tests.evaluation.example``.

Both come from one synthetic scene: what the app uploads, colour and thermal side by side, and the report image that
the analysis draws from it.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluation.outcome import analyse_files
from tests.synthetic import make_scene

EXAMPLE_SEED = 25
FOLDER = Path("docs/pictures")
MOST_BYTES = 200_000
_HEIGHT_PX = 640


def write_example(seed: int, folder: Path) -> None:
    """Write ``uploaded.jpg`` and ``report.jpg`` of the scene of ``seed`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = make_scene(seed)
    uploads = [Image.open(io.BytesIO(data)) for data in (scene.colour, scene.thermal)]
    views = [upload.resize((round(upload.width * _HEIGHT_PX / upload.height), _HEIGHT_PX)) for upload in uploads]
    gap = np.full((_HEIGHT_PX, 12, 3), 255, np.uint8)
    pair = Image.fromarray(np.hstack([np.asarray(views[0]), gap, np.asarray(views[1].convert("RGB"))]))
    _save(pair, folder / "uploaded.jpg")
    with tempfile.TemporaryDirectory() as scratch:
        analysis = analyse_files(
            scene.thermal,
            scene.colour,
            Path(scratch),
            task_type=scene.task_type,
            inside_f=scene.typed_inside_f,
            outside_f=scene.typed_outside_f,
            household=scene.household,
        )
        if analysis.image is None:
            raise RuntimeError(f"the analysis drew no report image for seed {seed}")
        _save(Image.open(analysis.image), folder / "report.jpg")


def _save(image: Image.Image, path: Path) -> None:
    """Save as JPEG of at most :data:`MOST_BYTES`."""
    for quality in range(88, 30, -6):
        image.save(path, "JPEG", quality=quality, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise RuntimeError(f"{path.name} cannot be made smaller than {MOST_BYTES} bytes")


if __name__ == "__main__":
    write_example(EXAMPLE_SEED, FOLDER)
