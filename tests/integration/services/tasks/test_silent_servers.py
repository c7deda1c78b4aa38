"""The service while MySQL or MongoDB is silent, or RabbitMQ cut off: what it says, and that it gets well by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from contracts.topology import ANALYSIS_SUBMISSIONS
from services.chassis import outbox
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics
from services.tasks.photos.gridfs import GridFSPhotos
from tests.proxy import Proxy
from tests.servers import RabbitMqServer
from tests.tokens import EMAIL
from tests.unit.services.tasks.forms import CONTENT_TYPE, app_form, pair, photo
from tests.unit.services.tasks.running import Answer, Service, tasks_service
from tests.waiting import LONGEST_SECONDS

PATIENCE_SECONDS = 60.0  # far longer than it takes on a machine with nothing else to do: 7 at most


@dataclass
class Links:
    """A service, and its links to its servers."""

    service: Service
    mysql: Proxy
    mongo: Proxy


@pytest.fixture
async def links(sql_url: str, mongo_url: str, tmp_path: Path) -> AsyncIterator[Links]:
    mysql = make_url(sql_url)
    mongo = mongo_url.removeprefix("mongodb://").rpartition("@")[2].partition("/")[0]
    mongo_host, _, mongo_port = mongo.partition(":")
    async with AsyncExitStack() as stack:
        to_mysql = await stack.enter_async_context(Proxy(lambda: (str(mysql.host), mysql.port or 3306)))
        to_mongo = await stack.enter_async_context(Proxy(lambda: (mongo_host, int(mongo_port or 27017))))
        through = mongo_url.replace(mongo, f"127.0.0.1:{to_mongo.port}") + "&directConnection=true"
        service = await stack.enter_async_context(
            tasks_service(
                tmp_path,
                make_photos=lambda: GridFSPhotos(through),
                auth_mode="required",
                sql_url=mysql.set(host="127.0.0.1", port=to_mysql.port).render_as_string(hide_password=False),
            )
        )
        yield Links(service, to_mysql, to_mongo)
        to_mysql.heal()
        to_mongo.heal()


async def submitted(service: Service, task_id: str, who: str = EMAIL) -> Answer:
    return await service.submit(task_id, pair(), uid=who, headers=service.bearer(who))


async def until_submitted(service: Service, task_id: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await submitted(service, task_id)).status != 200:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("silent", ["mysql", "mongo"])
async def test_everybody_is_told_in_time_to_come_again_and_nothing_needs_a_restart(links: Links, silent: str) -> None:
    service, proxy = links.service, links.mysql if silent == "mysql" else links.mongo
    assert (await submitted(service, "before")).status == 200
    for round_ in range(2):
        proxy.silence()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answers = await asyncio.gather(*(submitted(service, f"during-{number}") for number in range(30)))
        assert {answer.status for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        async with asyncio.timeout(PATIENCE_SECONDS):  # by now nobody waits: all of them one after the other
            for number in range(50):
                assert (await submitted(service, f"later-{number}")).status == 503
        assert (await service.get("/healthz")).status == 200
        assert (await service.get("/readyz")).status == 503
        proxy.heal()
        await until_submitted(service, f"after-{round_}")


async def test_an_upload_in_its_middle_ends_when_mongodb_falls_silent(links: Links) -> None:
    service = links.service
    body = app_form("half", [("media0", "obs0_rgb.jpg", photo(1_500_000))])
    begun = asyncio.Event()
    goes_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:600_000]
        begun.set()
        await goes_on.wait()
        yield body[600_000:]

    headers = service.bearer() | {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
    upload = asyncio.create_task(service.ask("POST", "/detect_leak", data=chunks(), headers=headers))
    await begun.wait()
    await asyncio.sleep(0.2)
    links.mongo.silence()
    goes_on.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await upload).status == 503
    links.mongo.heal()
    await until_submitted(service, "half")


async def test_jobs_are_followed_while_mongodb_is_silent(links: Links) -> None:
    job_id = (await submitted(links.service, "before")).json["jobId"]
    links.mongo.silence()
    answer = await links.service.get(f"/detect_leak/{job_id}", headers=links.service.bearer())
    assert answer.json == {"status": "queued"}


async def test_without_a_broker_submissions_are_taken_up_to_a_bound_and_published_later(
    rabbitmq_server: RabbitMqServer, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MEASURE_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "LAST_RETRY_SECONDS", 0.5)
    address = urlsplit(rabbitmq_url)
    async with Proxy(lambda: (str(address.hostname), address.port or 5672)) as proxy:
        through = address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{proxy.port}").geturl()
        async with tasks_service(
            tmp_path,
            make_broker=lambda: RabbitBroker(through, Metrics(), "tasks"),
            auth_mode="required",
            max_outbox_rows=5,
        ) as service:
            proxy.cut()
            accepted = 0
            async with asyncio.timeout(LONGEST_SECONDS):
                # Of other people each: one job of a person is announced at a time.
                while (
                    answer := await submitted(service, f"task-{accepted}", f"person-{accepted}@example.com")
                ).status == 200:
                    accepted += 1
                    await asyncio.sleep(0.05)
            assert accepted >= 5
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            proxy.heal()
            await until_submitted(service, "later")
        reader = RabbitBroker(rabbitmq_url, Metrics(), "reader")
        await reader.start()
        assert (await reader.depth(ANALYSIS_SUBMISSIONS)).waiting >= accepted + 1 - 5  # the outbox has fallen below 5
        await reader.close()
