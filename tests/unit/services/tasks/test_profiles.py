"""Which household a submission carries: the one that auth has when the person submits, whatever the events say."""

import asyncio
import secrets
import time

import pytest

from contracts.events import AnalysisFailed, Household, ProfileUpdated, TaskSubmitted
from contracts.internal import NewestHousehold
from services.chassis import circuit
from services.tasks import profiles
from tests.tokens import EMAIL
from tests.unit.services.tasks.running import Service
from tests.waiting import until

OLD, NEW = Household(zip_code="15213"), Household(zip_code="02134", ownership="Rent")

pytestmark = pytest.mark.asyncio(loop_scope="module")


def person() -> str:
    return f"{secrets.token_hex(6)}@example.com"


async def carried(service: Service, who: str, **how: object) -> Household | None:
    """Submit a task as ``who``, return the household in its announcement, and end the job."""
    job = await service.new_job(secrets.token_hex(6), uid=who, headers=service.bearer(who), **how)
    await until(lambda: any(event.job_id == job for event in service.broker.events(TaskSubmitted)))
    (event,) = [event for event in service.broker.events(TaskSubmitted) if event.job_id == job]
    await service.hear(AnalysisFailed(job_id=job, reason="only the announcement counts here"))
    return event.household


async def test_a_submission_carries_a_profile_whose_event_has_not_come(service: Service) -> None:
    who = person()
    service.households[who] = NewestHousehold(version=7, household=NEW)
    assert await carried(service, who) == NEW


async def test_a_submission_without_a_token_carries_it_too(legacy: Service) -> None:
    who = person()
    legacy.households[who] = NewestHousehold(version=7, household=NEW)
    job = await legacy.new_job(secrets.token_hex(6), uid=who)
    await until(lambda: any(event.job_id == job for event in legacy.broker.events(TaskSubmitted)))
    assert [event.household for event in legacy.broker.events(TaskSubmitted) if event.job_id == job] == [NEW]


async def test_a_submission_carries_a_profile_that_is_newer_than_the_last_event(service: Service) -> None:
    who = person()
    await service.hear(ProfileUpdated(user_id=who, version=6, household=OLD))
    service.households[who] = NewestHousehold(version=7, household=NEW)
    assert await carried(service, who) == NEW


async def test_an_event_that_is_newer_than_the_answer_counts(service: Service) -> None:
    who = person()
    await service.hear(ProfileUpdated(user_id=who, version=8, household=NEW))
    service.households[who] = NewestHousehold(version=7, household=OLD)
    assert await carried(service, who) == NEW


async def test_an_answer_is_kept_for_the_next_submission_and_a_late_event_changes_nothing(service: Service) -> None:
    who = person()
    service.households[who] = NewestHousehold(version=7, household=NEW)
    await carried(service, who)
    service.households[who] = 503
    await service.hear(ProfileUpdated(user_id=who, version=6, household=OLD))
    assert await carried(service, who) == NEW


async def test_the_profile_of_an_old_backend_is_carried(service: Service) -> None:
    who = person()
    service.households[who] = NewestHousehold(version=0, household=OLD)
    assert await carried(service, who) == OLD
    await service.hear(ProfileUpdated(user_id=who, version=1, household=NEW))
    assert await carried(service, who) == NEW


async def test_a_person_who_said_nothing_of_the_home_has_no_household(service: Service) -> None:
    who = person()
    service.households[who] = NewestHousehold(version=1_760_000_000_000, household=Household())
    assert await carried(service, who) is None


async def test_of_an_account_that_is_gone_no_household_is_carried(service: Service) -> None:
    who = person()
    await service.hear(ProfileUpdated(user_id=who, version=6, household=OLD))
    service.households[who] = NewestHousehold()
    assert await carried(service, who) is None


@pytest.mark.parametrize("status", [404, 401, 500, 503])
async def test_when_auth_does_not_tell_the_last_event_counts(service: Service, status: int) -> None:
    who = person()
    await service.hear(ProfileUpdated(user_id=who, version=6, household=OLD))
    service.households[who] = status
    assert await carried(service, who) == OLD


async def test_a_silent_auth_delays_one_submission_and_then_none(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "SUBMISSION_SECONDS", 0.2)
    monkeypatch.setattr(circuit, "PROBE_SECONDS", 0.1)
    await service.hear(ProfileUpdated(user_id=EMAIL, version=6, household=OLD))
    service.households[EMAIL] = NewestHousehold(version=7, household=NEW)
    service.auth_is_silent.set()
    try:
        assert await carried(service, EMAIL) == OLD
        await asyncio.sleep(0.5)  # the probe fails, and the circuit opens
        monkeypatch.setattr(profiles, "SUBMISSION_SECONDS", 30.0)
        start = time.monotonic()
        assert await carried(service, EMAIL) == OLD
        assert time.monotonic() - start < 15
    finally:
        service.auth_is_silent.clear()
    await asyncio.sleep(1.5)  # the next probe is answered
    assert await carried(service, EMAIL) == NEW
