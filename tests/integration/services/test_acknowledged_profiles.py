"""Which profile a submission carries, with two replicas of auth, tasks and gateway as processes on real servers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.chassis.settings import AuthMode
from tests.benchmarks.system import System
from tests.e2e.app import App, task
from tests.e2e.conftest import NO_RATE_LIMITS, SCENE_SEED
from tests.e2e.issuer import Issuer, issuing
from tests.proxy import Proxy
from tests.servers import MongoServer, MySqlServer, RabbitMqServer
from tests.synthetic import make_scene

PLACES = {"02134": "MA", "60601": "IL", "75201": "TX", "98101": "WA", "33101": "FL"}
TIMES = 50
BROKER_AWAY = range(20, 35)
ALL_SECONDS = 300.0  # for all of them to be analysed on a busy test machine


@dataclass
class Replicas:
    """Two gateways, each before an auth and a tasks of its own, and the link from all services to the broker."""

    gateways: list[str]
    link: Proxy
    issuer: Issuer

    def phones(self, uid: str, mode: AuthMode) -> list[App]:
        """A person who has logged in, on a phone at each gateway."""
        token = self.issuer.token(uid)
        assert App(self.gateways[0], uid).login(token).status == 200
        return [App(url, uid, token if mode == "required" else None) for url in self.gateways]


def start_services(system: System, mode: AuthMode) -> list[str]:
    """Start the services; the addresses of the gateways."""
    for name in ("auth", "auth-2", "tasks", "tasks-2", "analysis", "gateway", "gateway-2"):
        replica = "-2" if name.endswith("-2") else ""
        auth, tasks = (f"http://127.0.0.1:{system.port(one + replica)}" for one in ("auth", "tasks"))
        system.start(name, AUTH_MODE=mode, AUTH_URL=auth, TASKS_URL=tasks, **NO_RATE_LIMITS)
    return [f"http://127.0.0.1:{system.port(name)}" for name in ("gateway", "gateway-2")]


@pytest.fixture(params=["legacy", "required"])
def mode(request: pytest.FixtureRequest) -> AuthMode:
    mode: AuthMode = request.param
    return mode


@pytest.fixture
async def replicas(
    mysql_server: MySqlServer,
    mongo_server: MongoServer,
    rabbitmq_server: RabbitMqServer,
    sql_url: str,
    mongo_url: str,
    rabbitmq_url: str,
    tmp_path: Path,
    mode: AuthMode,
) -> AsyncIterator[Replicas]:
    broker = urlsplit(rabbitmq_url)
    async with Proxy(lambda: (broker.hostname or "", broker.port or 5672)) as link:
        linked = broker._replace(netloc=f"{broker.username}:{broker.password}@127.0.0.1:{link.port}").geturl()
        with issuing() as issuer:
            system = System(mysql_server, mongo_server, rabbitmq_server, sql_url, mongo_url, linked, issuer, tmp_path)
            try:
                gateways = await asyncio.to_thread(start_services, system, mode)
                yield Replicas(gateways, link, issuer)
            finally:
                await asyncio.to_thread(system.stop_all)


async def test_a_submission_carries_the_profile_that_another_replica_acknowledged_right_before_it(
    replicas: Replicas, mode: AuthMode
) -> None:
    scene = make_scene(SCENE_SEED)
    pair = [("obs0_rgb.jpg", scene.colour), ("obs0_thermal.jpg", scene.thermal)]
    phones = await asyncio.to_thread(replicas.phones, "moving@example.com", mode)
    sent = []
    for number, zip_code in enumerate(islice(cycle(PLACES), TIMES)):
        replicas.link.cut() if number in BROKER_AWAY else replicas.link.heal()
        here, there = phones[number % 2], phones[1 - number % 2]
        assert (await asyncio.to_thread(here.update_profile, zip=zip_code)).status == 200
        answer = await asyncio.to_thread(there.submit, task(), pair)
        assert answer.status == 200, answer.body
        sent.append((answer.json()["jobId"], PLACES[zip_code]))
    wrong = []
    for job_id, state in sent:
        said = (await asyncio.to_thread(phones[0].wait, job_id, ALL_SECONDS))["report"]["assumptions"]
        if f"Climate and energy prices are those of {state}." not in said:
            wrong.append((state, said))
    assert wrong == []
