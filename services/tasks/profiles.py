"""What auth knows of people, asked over HTTP.

A submission carries the profile that was acknowledged before it. ProfileUpdated may come later than the submission, so
auth is asked for the newest household each time; while auth does not answer, the events' household has to do.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import structlog

from contracts.internal import HOUSEHOLD_PATH, PROFILE_PATH, NewestHousehold
from services.chassis.circuit import Circuit
from services.chassis.correlation import traceparent
from services.chassis.problems import unavailable

log = structlog.get_logger(__name__)

EXPORT_SECONDS = 5.0
SUBMISSION_SECONDS = 1.0  # a person waits for the answer to a submission; the profile is seldom newer than its events

AWAY = "Your profile cannot be read right now. Please try again in a few seconds."

_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


class Profiles:
    """Asks auth for profiles; user ids are given normalised."""

    def __init__(self, http: aiohttp.ClientSession, auth_url: str, service_token: str) -> None:
        self._http = http
        self._auth_url = auth_url
        self._token = service_token
        self._circuit = Circuit("auth", self._probe)

    async def stored(self, user_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the profiles under all user ids. Raise :class:`Problem` 503 while auth is away."""
        found = []
        try:
            for user_id in user_ids:
                async with asyncio.timeout(EXPORT_SECONDS):
                    profile = await self._ask(PROFILE_PATH, user_id)
                if profile is not None:
                    found.append(profile)
        except _FAILURES as error:
            raise unavailable(AWAY) from error
        return found

    async def newest_household(self, user_id: str) -> NewestHousehold | None:
        """Return the household as auth has it now; None when auth does not tell within SUBMISSION_SECONDS."""
        if self._circuit.is_open:
            return None
        try:
            async with asyncio.timeout(SUBMISSION_SECONDS):
                answer = await self._ask(HOUSEHOLD_PATH, user_id)
            return None if answer is None else NewestHousehold.model_validate(answer)  # None: an older release of auth
        except _FAILURES as error:
            log.warning("auth did not tell the newest profile; the last known is used", error=type(error).__name__)
            if not isinstance(error, (aiohttp.ClientResponseError, ValueError)):  # else it has answered
                self._circuit.suspect()
            return None

    async def close(self) -> None:
        """Stop watching auth."""
        await self._circuit.close()

    async def _ask(self, path: str, user_id: str) -> Any:
        """Return the JSON that auth answers; None after 404."""
        parent = traceparent()
        headers = {"Authorization": f"Bearer {self._token}"} | ({"traceparent": parent} if parent else {})
        async with self._http.get(self._auth_url + path, params={"userID": user_id}, headers=headers) as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            return await response.json()

    async def _probe(self) -> None:
        async with self._http.get(f"{self._auth_url}/healthz"):
            pass  # whatever the status: auth answers
