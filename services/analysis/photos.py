"""Photos and report pictures, over tasks' internal HTTP API (claim check: events carry ids, not bytes)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import aiohttp

from contracts.internal import PHOTO_PATH, REPORT_PICTURES_PATH, StoredPicture
from services.chassis.correlation import traceparent

CHUNK_BYTES = 1024 * 1024  # most photos are no larger: to hand one to a thread costs more than to write it
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=3, sock_read=15)


class JobEndedError(Exception):
    """The job has ended or was replaced meanwhile: there is nothing left to do."""


class PhotoLostError(Exception):
    """tasks does not have the photo (any more)."""


class PhotoExchange:
    """Fetches photos of unfinished jobs and stores pictures for them.

    Methods raise :class:`JobEndedError`, and ``aiohttp.ClientError`` or ``TimeoutError`` while tasks is away.
    """

    def __init__(self, http: aiohttp.ClientSession, tasks_url: str, service_token: str) -> None:
        self._http = http
        self._tasks_url = tasks_url
        self._token = service_token

    def _headers(self) -> dict[str, str]:
        parent = traceparent()
        return {"Authorization": f"Bearer {self._token}"} | ({"traceparent": parent} if parent else {})

    async def fetch(self, job_id: str, photo_id: str, target: Path) -> None:
        """Write the photo's bytes to ``target``. Raises :class:`PhotoLostError` too."""
        url = self._tasks_url + PHOTO_PATH.format(job_id=job_id, photo_id=photo_id)
        async with self._http.get(url, headers=self._headers(), timeout=TIMEOUT) as response:
            if response.status == 404:
                raise PhotoLostError
            _check(response)
            is_last = False
            while not is_last:
                chunk = await _next_chunk(response.content)
                is_last = len(chunk) < CHUNK_BYTES
                await asyncio.to_thread(_append, target, chunk)

    async def store(self, job_id: str, name: str, source: Path) -> str:
        """Store the picture at ``source``; its id. For a job that tasks does not know, the job has ended."""
        url = self._tasks_url + REPORT_PICTURES_PATH.format(job_id=job_id, name=name)
        file, size, first = await asyncio.to_thread(_open, source)
        with file:
            body = first if len(first) == size else _chunks(first, file)
            headers = self._headers() | {"Content-Length": str(size)}
            async with self._http.put(url, data=body, headers=headers, timeout=TIMEOUT) as response:
                if response.status == 404:
                    raise JobEndedError
                _check(response)
                return StoredPicture.model_validate_json(await response.read()).photo_id


def _check(response: aiohttp.ClientResponse) -> None:
    if response.status == 410:
        raise JobEndedError
    response.raise_for_status()


async def _next_chunk(content: aiohttp.StreamReader) -> bytes:
    """CHUNK_BYTES, and less only at the end: what arrives comes in small pieces."""
    try:
        return await content.readexactly(CHUNK_BYTES)
    except asyncio.IncompleteReadError as end:
        return end.partial


def _append(target: Path, chunk: bytes) -> None:
    with target.open("ab") as file:
        file.write(chunk)


def _open(source: Path) -> tuple[BinaryIO, int, bytes]:
    """The file, its size, and its first chunk, which is all of most pictures."""
    file = source.open("rb")
    try:
        return file, source.stat().st_size, file.read(CHUNK_BYTES)
    except BaseException:
        file.close()
        raise


async def _chunks(first: bytes, file: BinaryIO) -> AsyncIterator[bytes]:
    yield first
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        yield chunk
