"""Errors as a client sees them: ``detail`` as the app knows it, beside the members of RFC 9457.

A service raises :class:`Problem` where it knows what a person can do. Faults of a server that will pass (a database
that restarts) are told apart from our own bugs by their type and answered 503 with ``Retry-After``; everything else
that was not foreseen is logged with its traceback and answered 500 without one.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from contracts.public import Problem as ProblemDocument
from services.chassis.correlation import correlation_id

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 5

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110's; Python before 3.13 has older ones


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer that is an error: a status, and a sentence that tells a person what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def unavailable(detail: str) -> Problem:
    """503: something that we depend on is away; the same request may succeed in a few seconds."""
    return Problem(503, detail, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def problem_document(status: int, detail: str | list[dict[str, Any]], correlation_id: str | None) -> ProblemDocument:
    """What describes a problem."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    return ProblemDocument(detail=detail, title=title, status=status, correlationId=correlation_id)


def problem_response(
    status: int, detail: str | list[dict[str, Any]], headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that describes a problem."""
    document = problem_document(status, detail, correlation_id())
    return JSONResponse(
        document.model_dump(mode="json"), status, dict(headers or {}), media_type="application/problem+json"
    )


def install_problems(app: FastAPI, transient: tuple[type[Exception], ...] = ()) -> None:
    """Make ``app`` answer every error as a problem. ``transient``: faults of servers that will pass."""

    async def on_problem(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
        assert isinstance(error, Problem)  # noqa: S101 - registered for this type only
        return problem_response(error.status, error.detail, error.headers)

    async def on_http(request: Request, error: Exception) -> Response:  # noqa: ARG001
        assert isinstance(error, HTTPException)  # noqa: S101
        return problem_response(error.status_code, error.detail, error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001
        assert isinstance(error, RequestValidationError)  # noqa: S101
        # What was sent is not repeated: it may hold a token, and echoing it helps nobody.
        faults = [{k: v for k, v in fault.items() if k in ("loc", "msg", "type")} for fault in error.errors()]
        return problem_response(422, jsonable_encoder(faults))

    async def on_transient(request: Request, error: Exception) -> Response:  # noqa: ARG001
        log.warning("a server that we need is away", error=type(error).__name__)
        return problem_response(
            503,
            "The service is briefly unavailable. Please try again in a few seconds.",
            {"Retry-After": str(RETRY_AFTER_SECONDS)},
        )

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    for kind in transient:
        app.add_exception_handler(kind, on_transient)
