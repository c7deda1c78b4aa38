"""The photos of a submission as the app's users send them: about 350 KB in colour and 70 KB of infrared."""

import json

import cv2
import numpy as np

from tests.e2e.app import BOUNDARY, multipart
from tests.e2e.app import task as app_task
from tests.synthetic import make_scene
from tests.synthetic.pictures import jpeg

SEED = 7
FORM = f"multipart/form-data; boundary={BOUNDARY}"
# Replaced in each submission:
TASK_ID = "00000000-0000-4000-8000-000000000000"
UID = "the-person-who-submits"


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
    """Bodies of submissions, each of another task, cheaply: the ids of person and task are all that changes."""

    def __init__(self, photos: list[tuple[str, bytes]]) -> None:
        body = multipart({"uid": UID, "task_json": json.dumps(app_task(TASK_ID))}, photos)
        self._before_uid, rest = body.split(UID.encode())
        self._pieces = rest.split(TASK_ID.encode())
        self._random = np.random.default_rng()

    def next(self, uid: str) -> bytes:
        """The body of a submission of a new task of ``uid``."""
        digits = self._random.bytes(16).hex()
        task_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        first, *others = self._pieces
        return b"".join(
            [self._before_uid, uid.encode(), first, *(part for piece in others for part in (task_id.encode(), piece))]
        )
