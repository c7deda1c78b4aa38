"""The auth service over HTTP, on SQLite and on MySQL, with an issuer of its own."""

import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import sqlalchemy as sa
from aiohttp import web

from contracts.events import ProfileUpdated
from services.auth.app import create_app
from services.auth.models import users
from services.auth.settings import AuthSettings
from services.chassis.database import Database
from services.chassis.metrics import Metrics
from services.chassis.serving import bind, listening, running
from tests.brokers import RecordingBroker
from tests.loopback import served
from tests.tokens import CLIENT_ID, GoogleIssuer
from tests.waiting import until

SERVICE_TOKEN = secrets.token_hex(16)
SEEDS = [secrets.token_bytes(32), secrets.token_bytes(32)]


def new_email() -> str:
    return f"person-{secrets.token_hex(6)}@example.com"


@dataclass
class Auth:
    """A running auth service, and what a test looks at it with."""

    url: str
    http: aiohttp.ClientSession
    google: GoogleIssuer
    broker: RecordingBroker
    database: Database
    email: str = field(default_factory=new_email)

    async def post(self, path: str, body: object, token: str | None = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with self.http.post(self.url + path, data=data, headers=headers) as response:
            return response.status, json.loads(await response.read())

    async def get(self, path: str, token: str | None = None, **query: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.get(self.url + path, params=query, headers=headers) as response:
            return response.status, json.loads(await response.read())

    def id_token(self, email: str | None = None, **claims: Any) -> str:
        """Google's token for the person, whose subject nobody shares."""
        email = email or self.email
        return self.google.token(**{"email": email, "sub": f"subject of {email}", **claims})

    async def login(self, email: str | None = None) -> str:
        """Log in; the access token."""
        email = email or self.email
        status, answer = await self.post("/login", {"id_token": self.id_token(email), "uid": email})
        assert status == 200, answer
        return str(answer["access_token"])

    async def row(self, user_id: str | None = None) -> dict[str, Any] | None:
        async with self.database.read() as connection:
            query = sa.select(users).where(users.c.userID == (user_id or self.email))
            row = (await connection.execute(query)).first()
        return None if row is None else dict(row._asdict())

    async def events(self, number: int, user_id: str | None = None) -> list[ProfileUpdated]:
        """The first ``number`` events about the user, after waiting for them."""

        def found() -> list[ProfileUpdated]:
            return [e for e in self.broker.events(ProfileUpdated) if e.user_id == (user_id or self.email)]

        await until(lambda: len(found()) >= number)
        return found()


@pytest.fixture(scope="session")
def google() -> GoogleIssuer:
    return GoogleIssuer()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mysql", marks=pytest.mark.docker("mysql"))])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for the tests of a module; each test has a person of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('auth') / 'auth.sqlite3'}"
        return
    with request.getfixturevalue("mysql_server").fresh_url() as url:
        yield url


@pytest.fixture(scope="module")
def start_auth(database_url: str, google: GoogleIssuer) -> Callable[..., Any]:
    """Start an auth service with other settings than the usual ones."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Auth]:
        async def certificates(_: web.Request) -> web.Response:
            return web.Response(body=google.certificates(), content_type="application/json")

        issuer = web.Application()
        issuer.router.add_get("/certs", certificates)
        async with AsyncExitStack() as stack:
            issuer_url = await stack.enter_async_context(served(issuer))
            broker = RecordingBroker()
            given: dict[str, Any] = {
                "sql_url": database_url,
                "rabbitmq_url": "in-process",
                "google_client_ids": (CLIENT_ID,),
                "google_certs_url": f"{issuer_url}/certs",
                "service_token": SERVICE_TOKEN,
                "access_token_keys": ",".join(base64.b64encode(seed).decode() for seed in SEEDS),
            }
            app = create_app(AuthSettings(**given | settings), Metrics(), lambda: broker)
            ready = await stack.enter_async_context(running(app))
            sock = bind("127.0.0.1", 0)
            stack.callback(sock.close)
            await stack.enter_async_context(listening(ready, sock))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            database = Database(database_url)
            stack.push_async_callback(database.close)
            yield Auth(f"http://127.0.0.1:{sock.getsockname()[1]}", http, google, broker, database)

    return start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_auth(start_auth: Callable[..., Any]) -> AsyncIterator[Auth]:
    async with start_auth() as auth:
        yield auth


@pytest.fixture
def auth(running_auth: Auth) -> Iterator[Auth]:
    """The module's auth service, for a person of the test's own."""
    yield replace(running_auth, email=new_email())
    running_auth.broker.away = False
