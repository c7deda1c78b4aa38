"""A whole gateway, in front of services that tell what reached them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.app import Services, create_app
from gateway.settings import GatewaySettings
from services.chassis.metrics import Metrics
from services.chassis.serving import running
from tests.unit.gateway.tokens import CLIENT_ID, Auth, Google
from tests.unit.gateway.wire import served


class Echo:
    """A service that answers with what it was asked; ``/.well-known/jwks.json`` and ``/readyz`` as the real ones."""

    def __init__(self, name: str, jwks: bytes = b"{}") -> None:
        self.name = name
        self.jwks = jwks
        self.ready = True
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more and (message := await receive())["type"] == "http.request":
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/readyz":
            await self._answer(send, 200 if self.ready else 503, b"{}")
        elif scope["path"] == "/.well-known/jwks.json":
            await self._answer(send, 200, self.jwks)
        else:
            self.paths.append(scope["path"])
            told = {
                "service": self.name,
                "method": scope["method"],
                "path": scope["path"],
                "raw_path": scope["raw_path"].decode(),
                "query": scope["query_string"].decode(),
                "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
                "body": body.decode(),
                "keys": sorted(scope),
            }
            await self._answer(send, 200, json.dumps(told).encode())

    @staticmethod
    async def _answer(send: Send, status: int, body: bytes) -> None:
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass
class Door:
    """A gateway that is being served."""

    port: int
    auth: Echo
    tasks: Echo
    google: Google
    issuer: Auth
    metrics: Metrics


@asynccontextmanager
async def opened(*, same_process: bool = False, keys: bool = True, **settings: Any) -> AsyncIterator[Door]:
    """A gateway; its services in the same process or behind sockets, their keys reachable or not."""
    google, issuer, metrics = Google(), Auth(), Metrics()
    auth, tasks = Echo("auth", issuer.jwks), Echo("tasks")
    async with AsyncExitStack() as stack:
        auth_port = await stack.enter_async_context(served(auth))
        tasks_port = await stack.enter_async_context(served(tasks))
        certificates = await stack.enter_async_context(served(Echo("google", google.certificates)))
        values: dict[str, Any] = {
            "auth_url": f"http://127.0.0.1:{auth_port}" if keys else "http://127.0.0.1:9",
            "tasks_url": f"http://127.0.0.1:{tasks_port}",
            "google_client_ids": (CLIENT_ID,),
            "public_names": ("door.example", "x"),  # what the tests call it
            "google_certs_url": f"http://127.0.0.1:{certificates if keys else 9}/.well-known/jwks.json",
            **settings,
        }
        app = create_app(GatewaySettings(**values), metrics, Services(auth, tasks) if same_process else None)
        ready = await stack.enter_async_context(running(app))
        port = await stack.enter_async_context(served(ready))
        yield Door(port, auth, tasks, google, issuer, metrics)


def told(body: bytes) -> dict[str, Any]:
    """What an :class:`Echo` told."""
    answer: dict[str, Any] = json.loads(body)
    return answer
