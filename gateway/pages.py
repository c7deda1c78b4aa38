"""Pages in a browser, in legacy mode: only a page of this backend may ask it for what is a person's.

In legacy mode a request proves nobody, so any page that a browser of the household has open could ask in somebody's
name. A browser tells three things that a page cannot change: the name that the page called us by, the origin of the
page, and whether the page is of another site. A page that gives its own name our address calls us by that name.
Apps send none of the three but the name of the server, which is an address, ``localhost`` or a name of ours.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import Scope

from services.chassis.addresses import parse_address
from services.chassis.problems import Problem

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Pages:
    """Tells requests of foreign pages from others. ``names``: those under which clients reach this backend."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = {_plain(name) for name in names} | {"localhost"}

    def raise_if_foreign(self, scope: Scope) -> None:
        """Raise :class:`Problem` 403 when a page of another site sent the request, or one under a name of its own."""
        host = _parts(_header(scope, b"host") or "")
        if host is None or not self._is_own(host[0]):
            raise Problem(403, "This backend is not known by that name. Its operator can add it to PUBLIC_NAMES.")
        origin = _header(scope, b"origin")
        if (origin is not None and not _is_of(origin, host)) or _header(scope, b"sec-fetch-site") == "cross-site":
            raise Problem(403, "A page of another site cannot use this backend.")

    def _is_own(self, name: str) -> bool:
        return name in self._names or parse_address(name) is not None


def _is_of(origin: str, host: tuple[str, int | None]) -> bool:
    """Return whether ``origin`` is a page that came from ``host``."""
    scheme, separator, rest = origin.partition("://")
    page, default = _parts(rest), _DEFAULT_PORTS.get(scheme)
    if not separator or page is None or default is None:
        return False  # "null" among them: a page that hides where it is from
    return page[0] == host[0] and (page[1] or default) == (host[1] or default)


def _parts(authority: str) -> tuple[str, int | None] | None:
    if "@" in authority or ("%" in authority and not authority.startswith("[")):
        return None  # neither a user nor a zone belongs to a name: both could hide a foreign one
    try:
        parts = urlsplit(f"//{authority}")
        return (_plain(parts.hostname), parts.port) if parts.hostname and parts.netloc == authority else None
    except ValueError:
        return None


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _header(scope: Scope, name: bytes) -> str | None:
    values = [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]
    return ",".join(values) if values else None
