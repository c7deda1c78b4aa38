"""Repeated and refused submissions over HTTP, and what becomes of the photos that came with them."""

import asyncio
import secrets
from pathlib import Path

import pytest

from contracts.events import AnalysisFailed, TaskSubmitted
from services.chassis import outbox
from tests.unit.services.tasks.forms import pair
from tests.unit.services.tasks.running import Service, tasks_service
from tests.unit.services.tasks.test_api import ELSE, is_problem, new_task
from tests.waiting import LONGEST_SECONDS, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def files(service: Service) -> set[Path]:
    return {path for path in service.photos._folder.rglob("*") if path.is_file()}


async def test_a_request_sent_again_with_its_key_is_answered_again_and_leaves_no_photos(service: Service) -> None:
    task_id, key = new_task(), secrets.token_hex(8)
    headers = service.bearer() | {"Idempotency-Key": key}
    first = await service.submit(task_id, pair(), headers=headers)
    before = files(service)
    again = await service.submit(task_id, pair(), headers=headers)
    assert (again.status, again.body) == (first.status, first.body) == (200, first.body)
    assert "another submission" in is_problem(await service.submit(task_id, pair(1), headers=headers), 409)
    assert files(service) == before
    other = await service.submit(new_task(), uid=ELSE, headers=service.bearer(ELSE) | {"Idempotency-Key": key})
    assert other.status == 200
    assert other.json["jobId"] != first.json["jobId"]


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "é"])
async def test_what_can_be_no_key_is_refused_before_anything_is_read(service: Service, key: str) -> None:
    before = files(service)
    answer = await service.submit(new_task(), pair(), headers=service.bearer() | {"Idempotency-Key": key})
    assert "Idempotency-Key" in is_problem(answer, 400)
    assert files(service) == before


async def test_the_apps_retry_of_the_same_photos_gets_the_same_job_unless_that_failed(legacy: Service) -> None:
    task_id = new_task()
    first = await legacy.new_job(task_id, pair())
    before = files(legacy)
    assert await legacy.new_job(task_id, pair()) == first
    assert files(legacy) == before
    await legacy.hear(AnalysisFailed(job_id=first, reason="No photo could be read."))
    second = await legacy.new_job(task_id, pair())
    assert second != first
    assert len(files(legacy)) == len(before) + 2
    assert {e.job_id for e in legacy.broker.events(TaskSubmitted) if e.task_id == task_id} <= {first, second}


@pytest.mark.parametrize("mode", ["required", "legacy"])
async def test_too_many_unfinished_jobs_are_refused_and_leave_no_photos(tmp_path: Path, mode: str) -> None:
    async with tasks_service(tmp_path, auth_mode=mode, max_unfinished_jobs=2) as service:
        how = {"headers": service.bearer()} if mode == "required" else {}
        jobs = [await service.new_job(f"task-{number}", **how) for number in range(2)]
        before = files(service)
        answer = await service.submit("one-more", pair(), **how)
        assert "2 of your submissions" in is_problem(answer, 429)
        assert int(answer.headers["Retry-After"]) > 0
        assert files(service) == before
        await service.hear(AnalysisFailed(job_id=jobs[0], reason="No photo could be read."))
        await service.new_job("one-more", pair(), **how)


async def test_at_the_bound_an_ended_task_cannot_be_submitted_anew_but_an_unfinished_one_can(tmp_path: Path) -> None:
    async with tasks_service(tmp_path, auth_mode="legacy", max_unfinished_jobs=1) as service:
        ended = await service.new_job("ended", pair())
        await service.hear(AnalysisFailed(job_id=ended, reason="No photo could be read."))
        unfinished = await service.new_job("unfinished", pair())
        before = files(service)
        assert "1 of your submissions" in is_problem(await service.submit("ended", pair(1)), 429)
        assert files(service) == before
        assert await service.new_job("unfinished", pair(1)) != unfinished


async def test_at_the_bound_a_retry_is_told_by_its_key_alone(tmp_path: Path) -> None:
    async with tasks_service(tmp_path, auth_mode="required", max_unfinished_jobs=1) as service:
        plain, named = service.bearer(), service.bearer() | {"Idempotency-Key": "key"}
        job = await service.new_job("task", pair(), headers=named)
        assert await service.new_job("task", pair(), headers=named) == job
        is_problem(await service.submit("task", pair(), headers=plain), 429)


async def test_while_the_broker_is_away_submissions_are_taken_up_to_a_bound_and_it_recovers_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MEASURE_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "LAST_RETRY_SECONDS", 0.05)
    async with tasks_service(tmp_path, auth_mode="required", max_outbox_rows=3) as service:
        service.broker.away = True
        people = [f"person-{number}@example.com" for number in range(100)]
        accepted = [
            await service.new_job(f"task-{number}", uid=people[number], headers=service.bearer(people[number]))
            for number in range(3)
        ]
        before = files(service)
        async with asyncio.timeout(LONGEST_SECONDS):
            number = 3
            while (
                answer := await service.submit(
                    f"task-{number}", pair(), uid=people[number], headers=service.bearer(people[number])
                )
            ).status == 200:
                accepted.append(answer.json["jobId"])  # the measure may be a moment old
                before = files(service)
                number += 1
        assert "try again" in is_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
        assert files(service) == before
        assert (await service.get(f"/detect_leak/{accepted[0]}", headers=service.bearer(people[0]))).status == 200

        service.broker.away = False
        async with asyncio.timeout(LONGEST_SECONDS):
            while (await service.submit("later", pair(), headers=service.bearer())).status != 200:
                await asyncio.sleep(0.01)
        await until(lambda: {e.job_id for e in service.broker.events(TaskSubmitted)} >= set(accepted))
