"""What a deletion means for requests that are under way."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.events import AccountDeleted
from contracts.internal import REPORT_PICTURES_PATH
from services.chassis.outbox import Outbox
from services.chassis.pseudonyms import pseudonym
from services.tasks.erasure import Erasures
from services.tasks.models import outbox
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import PhotoWriter
from tests.unit.services.tasks.forms import pair, photo
from tests.unit.services.tasks.running import SERVICE_TOKEN, Service, tasks_service

PERSON = "leaving@example.com"


async def files(service: Service, folder: Path) -> int:
    assert isinstance(service.photos, FilePhotos)
    return await asyncio.to_thread(lambda: sum(path.is_file() for path in (folder / "photos").rglob("*")))


async def test_an_upload_that_a_deletion_overtakes_is_refused_and_its_photos_are_gone_with_the_answer(
    tmp_path: Path,
) -> None:
    async with tasks_service(tmp_path, auth_mode="legacy") as service:
        during = datetime.now(UTC) + timedelta(seconds=60)  # later than this upload begins
        await service.hear(AccountDeleted(user_id=PERSON, deleted_at=during, profile_version=0))
        answer = await service.submit("task", pair(size=400_000), uid=PERSON)
        assert answer.status == 410
        assert "deleted" in answer.json["detail"]
        assert await files(service, tmp_path) == 0
        assert (await service.submit("task", pair(), uid="another@example.com")).status == 200


async def test_a_submission_counts_as_old_as_its_token(tmp_path: Path) -> None:
    async with tasks_service(tmp_path, auth_mode="required") as service:
        issued = int(time.time()) - 100
        old, new = service.bearer(PERSON, iat=issued), service.bearer(PERSON, iat=issued + 1)
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        await service.hear(
            AccountDeleted(user_id=PERSON, deleted_at=long_ago, profile_version=0, signed_out_until=issued)
        )
        assert (await service.submit("task", pair(), uid=PERSON, headers=old)).status == 410
        assert await files(service, tmp_path) == 0
        assert (await service.submit("task", pair(), uid=PERSON, headers=new)).status == 200


async def test_a_picture_whose_job_is_erased_while_it_arrives_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tasks_service(tmp_path, auth_mode="legacy") as service:
        job_id = await service.new_job("task", uid=PERSON)
        publish = service.photos.publish

        async def erased_meanwhile(writers: Sequence[PhotoWriter]) -> None:
            await publish(writers)
            async with service.database.write() as connection:
                await connection.exec_driver_sql("DELETE FROM tasks_job")

        monkeypatch.setattr(service.photos, "publish", erased_meanwhile)
        path = REPORT_PICTURES_PATH.format(job_id=job_id, name="image")
        answer = await service.internal("PUT", path, data=photo(300_000))
        assert answer.status == 404
        assert await files(service, tmp_path) == 0


async def test_deletions_are_listed_by_pseudonym_for_a_restore(tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    async with tasks_service(tmp_path, auth_mode="legacy") as service:
        await service.hear(AccountDeleted(user_id=PERSON, deleted_at=at, profile_version=0))
        listed = await Erasures(service.database, Outbox(outbox), SERVICE_TOKEN).deletions()
    assert listed == [(pseudonym(SERVICE_TOKEN, PERSON), at)]
