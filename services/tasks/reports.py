"""Answers that hold a report: as JSON, with the report image embedded in base64 and never whole in memory."""

import base64
import json
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from services.tasks.privacy.photos import ShownPhoto

_BEFORE = b'{"status":"done","report":'
_IMAGE = b',"image":{"filename":'
_DATA = b',"data":"'
_AFTER = b'"}}'
_NO_IMAGE = b',"image":null}'


def done_answer(report: str, filename: str, image: ShownPhoto | None) -> StreamingResponse:
    """The answer to a poll of a finished job; see :class:`contracts.public.JobDone`. ``report`` is JSON already."""
    head = _BEFORE + report.encode()
    if image is None:
        body = head + _NO_IMAGE
        return _answer(_once(body), len(body))
    head += _IMAGE + json.dumps(filename, ensure_ascii=False).encode() + _DATA
    length = len(head) + 4 * -(-image.size // 3) + len(_AFTER)
    return _answer(_embedded(head, image), length)


def _answer(body: AsyncIterator[bytes], length: int) -> StreamingResponse:
    return StreamingResponse(body, media_type="application/json", headers={"Content-Length": str(length)})


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _embedded(head: bytes, image: ShownPhoto) -> AsyncIterator[bytes]:
    yield head
    rest = b""
    async for chunk in image.chunks:
        data = rest + chunk
        whole = len(data) - len(data) % 3  # only whole triples go into base64 without padding
        rest = data[whole:]
        yield base64.b64encode(data[:whole])
    yield base64.b64encode(rest) + _AFTER
