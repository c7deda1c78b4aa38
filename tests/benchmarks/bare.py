"""The yardstick of every answer: a bare server that answers the same bytes to anything.

``python -m tests.benchmarks.bare PORT FILE CONTENT-TYPE``
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn


def main(port: int, body: bytes, content_type: str) -> None:
    """Serve until ended."""
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())],
    }

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, lifespan="off")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3])
