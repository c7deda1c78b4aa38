"""A running tasks service: the real app on a real port, with whatever stores a test gives it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from contracts.events import EventData
from contracts.internal import HOUSEHOLD_PATH, PROFILE_PATH, NewestHousehold
from contracts.topology import TASKS_ACCOUNTS, TASKS_PROFILES, TASKS_RESULTS
from services.chassis.database import Database
from services.chassis.messaging.broker import Broker
from services.chassis.metrics import Metrics
from services.chassis.serving import bind, listening, running
from services.tasks.app import create_app
from services.tasks.photos.files import FilePhotos
from services.tasks.photos.store import PhotoStore
from services.tasks.settings import TasksSettings
from tests.brokers import RecordingBroker
from tests.loopback import served
from tests.tokens import CLIENT_ID, EMAIL, AccessIssuer
from tests.unit.services.tasks.forms import CONTENT_TYPE, File, app_form

SERVICE_TOKEN = "between services only"


@dataclass
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """The service, and a client of it."""

    url: str
    http: aiohttp.ClientSession
    broker: RecordingBroker
    photos: Any
    access: AccessIssuer
    metrics: Metrics
    profiles: dict[str, Any]  # what auth answers about a user id: a profile, or a status
    households: dict[str, NewestHousehold | int]  # the same of households; 404, as an older release has it, by default
    auth_is_silent: asyncio.Event  # while it is set, auth takes requests and does not answer
    database: Database
    token: str | None = None

    def bearer(self, user: str = EMAIL, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access.token(sub=user, **claims)}"}

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        async with self.http.request(method, self.url + path, **how) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **how: Any) -> Answer:
        return await self.ask("GET", path, **how)

    async def submit(self, task_id: str = "task", files: Iterable[File] = (), **how: Any) -> Answer:
        """What the app does; ``headers`` beside, anything else changes the form."""
        headers = {"Content-Type": CONTENT_TYPE, **how.pop("headers", {})}
        return await self.ask("POST", "/detect_leak", data=app_form(task_id, files, **how), headers=headers)

    async def new_job(self, task_id: str = "task", files: Iterable[File] = (), **how: Any) -> str:
        answer = await self.submit(task_id, files, **how)
        assert answer.status == 200, answer.body
        return str(answer.json["jobId"])

    async def hear(self, event: EventData) -> None:
        """Let the service consume an event."""
        queues = (TASKS_RESULTS.queue, TASKS_PROFILES.queue, TASKS_ACCOUNTS.queue)
        handlers = {kind: handler for queue in queues for kind, handler in self.broker.handlers[queue].items()}
        await handlers[type(event)](event)

    async def internal(self, method: str, path: str, token: str | None = SERVICE_TOKEN, **how: Any) -> Answer:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.ask(method, path, headers=headers, **how)


@asynccontextmanager
async def tasks_service(
    folder: Path,
    *,
    make_broker: Callable[[], Broker] | None = None,
    make_photos: Callable[[], PhotoStore] | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    """Run it while the context lasts; embedded stores in ``folder`` unless others are given."""
    access = AccessIssuer()

    async def jwks(_: web.Request) -> web.Response:
        return web.Response(body=access.jwks(), content_type="application/json")

    profiles: dict[str, Any] = {}
    households: dict[str, NewestHousehold | int] = {}
    silent = asyncio.Event()

    async def profile(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {SERVICE_TOKEN}":
            return web.json_response({"detail": "This is for services only."}, status=401)
        found = profiles.get(request.query["userID"])
        if isinstance(found, int):
            return web.json_response({}, status=found)
        return web.json_response(found or {}, status=404 if found is None else 200)

    async def certificates(_: web.Request) -> web.Response:
        return web.json_response({"keys": []})

    async def household(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {SERVICE_TOKEN}"
        found = households.get(request.query["userID"], 404)
        if isinstance(found, int):
            return web.json_response({}, status=found)
        return web.json_response(found.model_dump(mode="json"))

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({})

    @web.middleware
    async def silence(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        while silent.is_set():
            await asyncio.sleep(0.02)
        answer: web.StreamResponse = await handler(request)
        return answer

    auth = web.Application(middlewares=[silence])
    auth.router.add_get("/certs", certificates)
    auth.router.add_get(PROFILE_PATH, profile)
    auth.router.add_get(HOUSEHOLD_PATH, household)
    auth.router.add_get("/healthz", healthz)
    auth.router.add_get("/.well-known/jwks.json", jwks)
    async with AsyncExitStack() as stack:
        auth_url = await stack.enter_async_context(served(auth))
        given: dict[str, Any] = {
            "sql_url": f"sqlite:///{folder}/tasks.sqlite3",
            "mongo_url": "files",
            "rabbitmq_url": "in-process",
            "auth_url": auth_url,
            "google_client_ids": (CLIENT_ID,),
            "google_certs_url": f"{auth_url}/certs",
            "service_token": SERVICE_TOKEN,
            "max_photo_bytes": 2_000_000,
        }
        broker, metrics = RecordingBroker(), Metrics()
        photos = make_photos() if make_photos else FilePhotos(folder / "photos")
        app = create_app(TasksSettings(**given | settings), metrics, make_broker or (lambda: broker), lambda: photos)
        ready = await stack.enter_async_context(running(app))
        sock = bind("127.0.0.1", 0)
        stack.callback(sock.close)
        await stack.enter_async_context(listening(ready, sock))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        database = Database(str((given | settings)["sql_url"]))
        stack.push_async_callback(database.close)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        yield Service(url, http, broker, photos, access, metrics, profiles, households, silent, database)
