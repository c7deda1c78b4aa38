"""The published app's submissions, byte by byte as Dart's ``http`` package writes them."""

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

BOUNDARY = "dart-http-boundary-kFT+rlgMGXHsCEH7gHUU33jLB2WLnYJaWfcF_IVKeMMxwJUnA6G"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"

File = tuple[str, str, bytes]  # field, file name, bytes


SMALLEST_PHOTO = 8


def photo(size: int = 1000, seed: int = 0) -> bytes:
    """A JPEG as far as its form goes, of ``size`` bytes: a scan of nothing in particular, and no metadata."""
    data = random.Random(seed).randbytes(size - SMALLEST_PHOTO).replace(b"\xff", b"\0")  # noqa: S311 - not a secret
    return b"\xff\xd8\xff\xda\0\2" + data + b"\xff\xd9"


def dart_form(fields: Mapping[str, str], files: Iterable[File] = ()) -> bytes:
    """``MultipartRequest.finalize()``: the fields, then the files."""
    body = bytearray()
    for name, value in fields.items():
        body += f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{_quoted(name)}"'.encode()
        if not value.isascii():
            body += b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-transfer-encoding: binary"
        body += b"\r\n\r\n" + value.encode() + b"\r\n"
    for name, file_name, data in files:
        body += f"--{BOUNDARY}\r\ncontent-type: application/octet-stream\r\ncontent-disposition: form-data; ".encode()
        body += f'name="{_quoted(name)}"; filename="{_quoted(file_name)}"\r\n\r\n'.encode() + data + b"\r\n"
    return bytes(body + f"--{BOUNDARY}--\r\n".encode())


def _quoted(text: str) -> str:
    return text.replace("\r\n", "%0D%0A").replace("\n", "%0D%0A").replace('"', "%22")


def app_form(task_id: str, files: Iterable[File] = (), *, uid: str = "someone@example.com", **task: Any) -> bytes:
    """A submission of the app; ``task`` changes fields of ``task_json``."""
    written = {
        "id": task_id,
        "title": "North window",
        "type": "window",
        "photoPaths": [f"media/{task_id}/{file_name}" for _, file_name, _ in files],
        "createdAt": "2025-08-08T17:12:15.011967",
        "state": "draft",
        "decision": None,
        "closedResult": None,
        "analysisSummary": None,
        "recommendations": None,
        "insideTemp": "71",
        "outsideTemp": "35",
        "report": None,
    }
    fields = {"uid": uid, "task_json": json.dumps(written | task, ensure_ascii=False, separators=(",", ":"))}
    return dart_form(fields | {"override_detected_count": "2"}, files)


def pair(number: int = 0, size: int = 1000) -> list[File]:
    """The two photos of an observation."""
    return [
        (f"media{2 * number}", f"obs{number}_rgb.jpg", photo(size, 2 * number)),
        (f"media{2 * number + 1}", f"obs{number}_thermal.jpg", photo(size, 2 * number + 1)),
    ]
