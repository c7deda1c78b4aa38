"""Whether a service behind the gateway is ready, asked in the way in which requests reach it."""

from starlette.types import ASGIApp, Message


class NotReadyError(Exception):
    """The service answered that it is not ready, or did not answer."""


async def ask(service: ASGIApp) -> None:
    """Return when ``service`` answers ``GET /readyz`` with 200; raises :class:`NotReadyError` otherwise."""
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await service(
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "server": None,
            "client": None,
            "root_path": "",
            "path": "/readyz",
            "raw_path": b"/readyz",
            "query_string": b"",
            "headers": [],
        },
        receive,
        send,
    )
    if status != 200:
        raise NotReadyError(str(status))
