"""The public routes: what is forwarded, to whom, and under which conditions. Nothing else ever is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access import Admission, Admitted, Kind
from gateway.limits import BodyLimits, Limited
from services.chassis.correlation import traceparent
from services.chassis.problems import problem_response

ServiceName = Literal["auth", "tasks"]

IDLE_SECONDS = 30.0
JSON_BYTES = 64 * 2**10
JSON_SECONDS = 10.0  # for a body that fits into the first packets of a connection
UPLOAD_SECONDS = 300.0  # the app itself gives up after 20


@dataclass(frozen=True, slots=True)
class PublicRoute:
    """A route of a service, and the paths under which the public reaches it (the first is the one to recommend)."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    paths: tuple[str, ...]
    service: ServiceName
    path: str
    needs_token: bool = True
    kind: Kind = "other"
    private: bool = True  # the answer is about a person


PUBLIC_ROUTES = (
    PublicRoute("login", "POST", ("/auth/login", "/login"), "auth", "/login", needs_token=False, kind="login"),
    PublicRoute("update_profile", "POST", ("/auth/update_profile", "/update_profile"), "auth", "/update_profile"),
    PublicRoute("read_profile", "GET", ("/v1/profile",), "auth", "/v1/profile"),
    PublicRoute("sign_out", "POST", ("/v1/sign_out",), "auth", "/v1/sign_out", kind="account"),
    PublicRoute("delete_account", "DELETE", ("/v1/account",), "auth", "/v1/account", kind="account"),
    PublicRoute("export_account", "GET", ("/v1/account/export",), "tasks", "/v1/account/export", kind="account"),
    PublicRoute("submit", "POST", ("/leakage/detect_leak", "/detect_leak"), "tasks", "/detect_leak", kind="submit"),
    PublicRoute(
        "follow_job",
        "GET",
        ("/leakage/detect_leak/{job_id}", "/detect_leak/{job_id}"),
        "tasks",
        "/detect_leak/{job_id}",
        kind="poll",
    ),
    PublicRoute("list_tasks", "GET", ("/v1/tasks",), "tasks", "/v1/tasks"),
    PublicRoute("read_task", "GET", ("/v1/tasks/{task_id}",), "tasks", "/v1/tasks/{task_id}"),
    PublicRoute(
        "read_photo",
        "GET",
        ("/v1/tasks/{task_id}/photos/{photo_id}",),
        "tasks",
        "/v1/tasks/{task_id}/photos/{photo_id}",
    ),
    PublicRoute("sign_in", "GET", ("/v1/sign_in",), "auth", "/v1/sign_in", needs_token=False, private=False),
    PublicRoute(
        "read_keys",
        "GET",
        ("/.well-known/jwks.json",),
        "auth",
        "/.well-known/jwks.json",
        needs_token=False,
        private=False,
    ),
)


def forwarding_routes(max_upload_bytes: int, admission: Admission) -> Sequence[Route]:
    """:data:`PUBLIC_ROUTES` for a router; a submission may have ``max_upload_bytes``, any other body 64 KiB."""
    routes: list[Route] = []
    # Routes are tried one after the other, and phones that wait for a report ask most.
    for public in sorted(PUBLIC_ROUTES, key=lambda route: route.kind != "poll"):
        forwarded = Forwarded(public.service, public.path)
        admitted = Admitted(forwarded, admission, public.kind, needs_token=public.needs_token, private=public.private)
        body = (
            BodyLimits(max_upload_bytes, IDLE_SECONDS, UPLOAD_SECONDS)
            if public.kind == "submit"
            else BodyLimits(JSON_BYTES, IDLE_SECONDS, JSON_SECONDS)
        )
        limited = Limited(admitted, body)
        app = Unstored(limited) if public.private else limited
        routes.extend(_Path(path, app, public) for path in public.paths)
    return routes


class Unstored:
    """An ASGI app whose every answer, refusals among them, no browser or proxy keeps."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unstored(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name, value) for name, value in message.get("headers", []) if name != b"cache-control"]
                message = {**message, "headers": [*headers, (b"cache-control", b"no-store")]}
            await send(message)

        await self._app(scope, receive, send_unstored)


class _Path(Route):
    """One path of a public route."""

    def __init__(self, path: str, app: ASGIApp, public: PublicRoute) -> None:
        super().__init__(path, app, methods=[public.method], name=public.name)
        self.methods = {public.method}  # Starlette adds HEAD, which no service answers

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, noted = super().matches(scope)
        # FastAPI notes the route for its own kind of routes only; the log and the metrics look for it.
        return match, {**noted, "route": self} if match is not Match.NONE else noted


class Forwarded:
    """An ASGI app that hands a request to a service under the path that the service knows.

    The service, one of the ASGI apps in the lifespan state, sees a request of its own: nothing that this process
    noted about it, and no header in which a client could claim what only we may say.
    """

    def __init__(self, service: ServiceName, path: str) -> None:
        self._service = service
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        params: dict[str, str] = scope["path_params"]
        if any(value.partition(";")[0] in (".", "..") for value in params.values()):
            # No id looks like this, but an HTTP client or server on the way may take it for a step in the path.
            await problem_response(404, "Not Found")(scope, receive, send)
            return
        raw_path = self._path.format(**{name: quote(value, safe="") for name, value in params.items()})
        service: ASGIApp = scope["state"][self._service]
        await service(
            {
                "type": "http",
                "asgi": scope["asgi"],
                "http_version": scope["http_version"],
                "method": scope["method"],
                "scheme": scope["scheme"],
                "server": scope.get("server"),
                "client": scope.get("client"),
                "root_path": "",
                "path": self._path.format(**params),
                "raw_path": raw_path.encode("ascii"),
                "query_string": scope["query_string"],
                "headers": _own_headers(scope["headers"]),
            },
            receive,
            send,
        )


def _own_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without ``X-…`` and ``Forwarded``, in which proxies speak to the servers behind them; with our trace.

    Without any name with an underscore too: there are servers that read ``X_User`` as ``X-User``.
    """
    kept = [
        (name, value)
        for name, value in headers
        if not name.startswith(b"x-") and b"_" not in name and name not in (b"forwarded", b"traceparent", b"tracestate")
    ]
    parent = traceparent()
    if parent:
        kept.append((b"traceparent", parent.encode()))
    return kept
