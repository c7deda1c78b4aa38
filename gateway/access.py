"""Who may pass, and how often: decided before a byte of a request's body is read.

The order is part of the promise. The address is counted first, so that neither a sign-in nor a wrong token can be
tried more often than the limit allows. Then the token is checked, and the person that it proves is counted, who stays
the same one at every address. Last, the request takes a place among those that are under way. Where there is no token
(at sign-in, and in legacy mode) only the address is left to count by.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.addresses import Addresses
from gateway.limits import declared_length
from gateway.pages import Pages
from gateway.places import Places
from gateway.rates import RateLimit
from gateway.settings import GatewaySettings
from services.chassis.access import Access
from services.chassis.metrics import Metrics
from services.chassis.problems import Problem, problem_response

Kind = Literal["login", "submit", "poll", "account", "other"]

_TOO_MANY = {
    "login": "sign-ins",
    "submit": "submissions",
    "poll": "questions about submissions",
    "account": "requests about an account",
    "other": "requests",
}


# Places of requests that prove nobody, by what they hold.
WITHOUT_TOKEN = ("sign_ins_without_token", "uploads_without_token", "downloads_without_token")


def _without_token(kind: Kind, *, has_body: bool) -> str:
    sign_ins, uploads, downloads = WITHOUT_TOKEN
    return downloads if not has_body else uploads if kind == "submit" else sign_ins


class Admission:
    """What clients have used of their limits, in this process alone: each replica counts for itself."""

    def __init__(self, settings: GatewaySettings, metrics: Metrics) -> None:
        rates = {
            "login": settings.limit_login,
            "submit": settings.limit_submit,
            "poll": settings.limit_poll,
            "account": settings.limit_account,
            "other": settings.limit_other,
        }
        people = settings.people_per_address
        self._of_address = {kind: RateLimit(rate.times(people)) for kind, rate in rates.items() if rate is not None}
        self._of_person = {kind: RateLimit(rate) for kind, rate in rates.items() if rate is not None}
        self._addresses = Addresses(settings.trusted_proxies)
        self._places = {
            "uploads": Places(settings.uploads_at_once, settings.uploads_per_person),
            "downloads": Places(settings.downloads_at_once, settings.downloads_per_person),
            **{
                name: Places(settings.without_token_at_once, settings.without_token_per_address)
                for name in WITHOUT_TOKEN
            },
        }
        self._pages = Pages(settings.public_names) if settings.auth_mode == "legacy" else None
        self._refused = metrics.requests_refused

    def raise_if_foreign(self, scope: Scope) -> None:
        """Raise :class:`Problem` 403 when a request came from a page that has no business here."""
        if self._pages is not None:
            self._pages.raise_if_foreign(scope)

    def count_address(self, kind: Kind, scope: Scope) -> str:
        """Count a request; the address that it came from. Raises :class:`Problem`: 429."""
        address = self._addresses.of(scope)
        self._count(kind, "address", self._of_address, address, f"Too many {_TOO_MANY[kind]} came from your network.")
        return address

    def count_person(self, kind: Kind, person: str) -> None:
        """Count a request of somebody whose token was good. Raises :class:`Problem`: 429."""
        self._count(kind, "person", self._of_person, person, f"You have sent too many {_TOO_MANY[kind]}.")

    def _count(self, kind: Kind, by: str, limits: dict[str, RateLimit], key: str, sentence: str) -> None:
        limit = limits.get(kind)
        seconds = limit.wait(key) if limit is not None else 0
        if seconds:
            self._refused.labels(kind, by).inc()
            raise Problem(429, f"{sentence} Please try again {_in(seconds)}.", {"Retry-After": str(seconds)})

    @contextmanager
    def place(self, kind: Kind, scope: Scope, address: str, person: str | None) -> Iterator[None]:
        """Hold a place for a request while the context lasts. Raises :class:`Problem`: 429, 503.

        A request with a body takes one for uploads, any other one for downloads: slow uploads block no poll. Requests
        without a token have places of their own, which nobody who has signed in ever waits for. In legacy mode most
        requests are such, so slow sign-ins block no submission either.
        """
        has_body = declared_length(scope["headers"]) != 0
        if person is not None:
            name, by, client = "uploads" if has_body else "downloads", "person", person
        else:
            name, by, client = _without_token(kind, has_body=has_body), "address", address
        places = self._places[name]
        try:
            places.enter(client)
        except Problem as problem:
            self._refused.labels(name, "all" if problem.status == 503 else by).inc()
            raise
        try:
            yield
        finally:
            places.leave(client)


class Admitted:
    """An ASGI app that only lets requests in that ``admission`` and the :class:`Access` in the lifespan state let in.

    The Authorization header goes on untouched, for the service to check it again. ``private``: the answer is about a
    person, and not for pages of others.
    """

    def __init__(
        self, app: ASGIApp, admission: Admission, kind: Kind, *, needs_token: bool, private: bool = True
    ) -> None:
        self._app = app
        self._admission = admission
        self._kind = kind
        self._needs_token = needs_token
        self._private = private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._private:
                self._admission.raise_if_foreign(scope)  # before it is counted: a page must not use up our limits
            address = self._admission.count_address(self._kind, scope)
            person = await self._person(scope) if self._needs_token else None
            if person is not None:
                self._admission.count_person(self._kind, person)
            with self._admission.place(self._kind, scope, address, person):
                await self._app(scope, receive, send)
        except Problem as problem:
            await problem_response(problem.status, problem.detail, problem.headers)(scope, receive, send)

    async def _person(self, scope: Scope) -> str | None:
        access: Access = scope["state"]["access"]
        caller = await access.caller(Request(scope))
        return None if caller.identity is None else caller.identity.person


def _in(seconds: int) -> str:
    if seconds < 120:
        return f"in {seconds} second{'s' if seconds > 1 else ''}"
    return f"in {-(-seconds // 60)} minutes"
