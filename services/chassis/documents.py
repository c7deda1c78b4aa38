"""A remote JSON document that changes rarely (certificates, a JWKS), kept fresh without a fetch per use."""

import asyncio
import json
import re
import time
from collections.abc import Callable

import aiohttp
import structlog

log = structlog.get_logger(__name__)

FETCH_SECONDS = 3.0
DEFAULT_MAX_AGE_SECONDS = 300.0
LONGEST_MAX_AGE_SECONDS = 86_400.0
LEAST_REFETCH_SECONDS = 10.0  # between forced fetches, so that made-up key ids cannot make us hammer the server
EMPTY_RETRY_SECONDS = 1.0  # after a failed fetch while there is no copy at all
LARGEST_BYTES = 1_000_000


class DocumentUnavailableError(Exception):
    """There is no copy of the document, not even an old one."""


class CachedDocument:
    """The body at ``url``: fetched by one caller at a time, kept for its max-age, served stale when a fetch fails."""

    def __init__(self, url: str, http: aiohttp.ClientSession, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._body: bytes | None = None
        self._fresh_until = float("-inf")
        self._fetched_at = float("-inf")
        self._has_failed = False
        self._fetching = asyncio.Lock()

    async def get(self) -> bytes:
        """The body, at most max-age old unless the server is away.

        Raises :class:`DocumentUnavailableError` when it could never be fetched.
        """
        # While one caller fetches, the old copy is good enough for the others: a silent server holds up only one.
        if not self._is_fresh() and (self._body is None or not self._fetching.locked()):
            await self._fetch(lambda: not self._is_fresh())
        if self._body is None:
            raise DocumentUnavailableError(self._url)
        return self._body

    async def refetch(self) -> bytes:
        """The body after a look at the server, unless one was just taken: for a key id that the copy lacks."""
        await self._fetch(lambda: self._clock() - self._fetched_at >= LEAST_REFETCH_SECONDS)
        return await self.get()

    async def check(self) -> None:
        """Raise :class:`DocumentUnavailableError` when the last fetch has failed, though an old copy may serve."""
        await self.get()
        if self._has_failed:
            raise DocumentUnavailableError(self._url)

    def _is_fresh(self) -> bool:
        """Whether no fetch is due; also true for a moment after a failed one, so that nobody waits for two."""
        return self._clock() < self._fresh_until

    async def _fetch(self, needed: Callable[[], bool]) -> None:
        async with self._fetching:
            if not needed():
                return  # somebody fetched it while we waited
            try:
                timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
                # A redirect could lead from https to where anybody writes the keys.
                async with self._http.get(self._url, timeout=timeout, allow_redirects=False) as response:
                    response.raise_for_status()
                    body = await _read(response)
                    age = re.search(r"\bmax-age=(\d+)", response.headers.get("Cache-Control", ""))
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
                log.warning(
                    "cannot fetch keys", url=self._url, error=type(error).__name__, stale=self._body is not None
                )
                self._fetched_at, self._has_failed = self._clock(), True
                pause = EMPTY_RETRY_SECONDS if self._body is None else LEAST_REFETCH_SECONDS
                self._fresh_until = self._fetched_at + pause
                return
            self._body, self._has_failed = body, False
            self._fetched_at = self._clock()
            seconds = float(age.group(1)) if age else DEFAULT_MAX_AGE_SECONDS
            self._fresh_until = self._fetched_at + min(max(seconds, LEAST_REFETCH_SECONDS), LONGEST_MAX_AGE_SECONDS)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises :class:`ValueError` when it is too large or no JSON object."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise ValueError("too large")
    if not isinstance(json.loads(body), dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - treated like any failed fetch
    return bytes(body)
