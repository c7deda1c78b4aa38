"""Yardsticks: the least that a server can do for a request, each in a process of its own.

``python -m tests.benchmarks.bare answer PORT FILE`` answers the bytes of a file to anything;
``python -m tests.benchmarks.bare store PORT MONGO_URL SIZE…`` writes photos of those sizes, which a request's body is
made of, into GridFS. What more a service costs is what it does more.
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket


class Answering:
    """Answers ``body`` to anything."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


class Storing:
    """Writes the photos of ``sizes`` bytes that follow one another in a request's body into GridFS."""

    def __init__(self, mongo_url: str, sizes: list[int]) -> None:
        self._mongo_url = mongo_url
        self._sizes = sizes
        self._bucket: AsyncIOMotorGridFSBucket | None = None
        self._answer = Answering(b"{}")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self._bucket is None:  # the client belongs to the loop that runs by now
            client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(self._mongo_url)
            self._bucket = AsyncIOMotorGridFSBucket(client.get_default_database(), bucket_name="raw")
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        view = memoryview(body)
        for size in self._sizes:
            await self._bucket.upload_from_stream("raw", bytes(view[:size]))
            view = view[size:]
        await self._answer(scope, receive, send)


def main(kind: str, port: str, *given: str) -> None:
    """Serve until ended."""
    if kind == "answer":
        app: Answering | Storing = Answering(Path(given[0]).read_bytes())
    else:
        app = Storing(given[0], [int(size) for size in given[1:]])
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False, lifespan="off")


if __name__ == "__main__":
    main(*sys.argv[1:])
