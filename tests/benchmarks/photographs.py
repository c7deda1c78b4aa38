"""The photos of a submission as the app's users send them: about 370 KB in colour and 67 KB of infrared."""

import json

import cv2
import numpy as np

from tests.e2e.app import BOUNDARY, multipart
from tests.e2e.app import task as app_task
from tests.synthetic import make_scene
from tests.synthetic.pictures import jpeg

SEED = 7
TASK_ID = "00000000-0000-4000-8000-000000000000"  # replaced in each submission
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def pair() -> tuple[bytes, bytes]:
    """A colour photo and a thermal picture of a window."""
    scene = make_scene(SEED)
    height, width = scene.colour_picture.shape[:2]
    scale = 1600 / max(height, width)
    colour = cv2.resize(
        scene.colour_picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC
    )
    grain = np.random.default_rng(SEED).integers(-4, 5, colour.shape[:2], dtype=np.int16)
    grained = np.clip(colour + grain[..., None], 0, 255).astype(np.uint8)
    quality = min(range(60, 96, 2), key=lambda q: abs(len(jpeg(grained, quality=q)) - 370_000))
    return jpeg(grained, quality=quality), scene.thermal


class Forms:
    """Bodies of submissions, each of another task, cheaply: the id is the only thing that changes."""

    def __init__(self, uid: str, photos: list[tuple[str, bytes]]) -> None:
        body = multipart({"uid": uid, "task_json": json.dumps(app_task(TASK_ID))}, photos)
        self._pieces = body.split(TASK_ID.encode())
        self._count = 0
        self.prefix = np.random.default_rng().bytes(4).hex()

    def next(self) -> bytes:
        """The next body."""
        self._count += 1
        return f"{self.prefix}-0000-4000-8000-{self._count:012d}".encode().join(self._pieces)
