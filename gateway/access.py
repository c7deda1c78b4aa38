"""Who may pass: the token of a request is checked before a byte of its body is read."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis.access import Access
from services.chassis.problems import Problem, problem_response


class Authenticated:
    """An ASGI app that only lets requests in that the :class:`Access` in the lifespan state lets in.

    The header goes on untouched, for the service to check it again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        access: Access = scope["state"]["access"]
        try:
            await access.caller(Request(scope))
        except Problem as problem:
            await problem_response(problem.status, problem.detail, problem.headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)
