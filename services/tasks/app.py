"""Wiring of the tasks service: nothing happens at import time, everything in the lifespan."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypedDict

import aiohttp
from fastapi import FastAPI

from contracts.topology import TASKS_ACCOUNTS, TASKS_NAMES, TASKS_PROFILES, TASKS_RESULTS
from services.chassis.access import Access
from services.chassis.background import background
from services.chassis.database import TRANSIENT, Database
from services.chassis.documents import CachedDocument
from services.chassis.health import KEYS, Checks, health_router
from services.chassis.identity import AccessTokens, Bearers
from services.chassis.issuers import id_tokens
from services.chassis.messaging.broker import Broker, measure_dead_letters
from services.chassis.messaging.connecting import connected
from services.chassis.metrics import Metrics
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox, Relay
from services.chassis.problems import install_problems
from services.chassis.requests import NO_TELEMETRY, RequestScope
from services.chassis.signouts import SignOuts
from services.tasks.accounts import Accounts
from services.tasks.api import router
from services.tasks.erasure import Erasures
from services.tasks.events import account_handlers, name_handlers, profile_handlers, result_handlers
from services.tasks.export import Export
from services.tasks.internal_api import router as internal_router
from services.tasks.models import outbox, sign_outs
from services.tasks.photos.store import PhotoStore, PhotoStoreError
from services.tasks.privacy.photos import ShownPhotos
from services.tasks.profiles import Profiles
from services.tasks.quota import Quota
from services.tasks.report_pictures import ReportPictures
from services.tasks.settings import TasksSettings
from services.tasks.store import Bounds, TaskStore
from services.tasks.sweeper import Sweeper
from services.tasks.uploads import Limits

SERVICE = "tasks"
MIGRATIONS = Path(__file__).parent / "migrations"
CONCURRENCY = 8  # events at a time; each holds one connection to the database
DRAIN_SECONDS = 2.0


class State(TypedDict):
    """What lives as long as the app."""

    store: TaskStore
    photos: PhotoStore
    shown_photos: ShownPhotos
    report_pictures: ReportPictures
    access: Access
    accounts: Accounts
    sign_outs: SignOuts
    profiles: Profiles
    export: Export
    limits: Limits
    service_token: str
    metrics: Metrics
    checks: Checks


def create_app(
    settings: TasksSettings, metrics: Metrics, make_broker: Callable[[], Broker], make_photos: Callable[[], PhotoStore]
) -> FastAPI:
    """The tasks service as an ASGI app."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            database = Database(settings.sql_url)
            stack.push_async_callback(database.close)
            await database.start()
            await migrate(database, SERVICE, MIGRATIONS)
            photos = make_photos()
            stack.push_async_callback(photos.close)
            await photos.start()
            broker = make_broker()
            stack.push_async_callback(broker.close)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            waiting = Outbox(outbox)
            service_token = settings.service_token.get_secret_value()
            signed_out = SignOuts(database, sign_outs, service_token)
            erasures = Erasures(database, waiting, service_token)
            quota = Quota(settings.max_stored_bytes, settings.max_tasks)
            bounds = Bounds(settings.max_unfinished_jobs, settings.max_outbox_rows, quota)
            store = TaskStore(database, waiting, erasures, bounds)
            report_pictures = ReportPictures(database)
            accounts = Accounts(database, erasures, http, settings.auth_url, service_token)
            relay = Relay(database, waiting, broker, metrics, SERVICE)
            sweeper = Sweeper(store, erasures, waiting, photos, report_pictures, broker, settings, metrics)
            queues = (TASKS_RESULTS, TASKS_PROFILES, TASKS_ACCOUNTS, TASKS_NAMES)
            measure = partial(measure_dead_letters, broker, queues, metrics)
            await stack.enter_async_context(background(relay.run, relay.measure_forever, sweeper.run, measure))

            async def subscribe() -> None:
                await broker.subscribe(TASKS_RESULTS, result_handlers(store, metrics), concurrency=CONCURRENCY)
                await broker.subscribe(TASKS_PROFILES, profile_handlers(store), concurrency=CONCURRENCY)
                await broker.subscribe(
                    TASKS_ACCOUNTS, account_handlers(erasures, signed_out, accounts), concurrency=CONCURRENCY
                )
                await broker.subscribe(TASKS_NAMES, name_handlers(accounts), concurrency=CONCURRENCY)

            stack.push_async_callback(broker.drain, DRAIN_SECONDS)
            await stack.enter_async_context(connected(broker, subscribe))
            jwks = CachedDocument(f"{settings.auth_url}/.well-known/jwks.json", http)
            tokens = await stack.enter_async_context(id_tokens(settings))
            bearers = Bearers(AccessTokens(jwks), tokens)
            shown = ShownPhotos(photos, settings.max_photo_bytes)
            profiles = Profiles(http, settings.auth_url, service_token)
            stack.push_async_callback(profiles.close)
            stack.callback(shown.close)
            yield State(
                store=store,
                photos=photos,
                shown_photos=shown,
                report_pictures=report_pictures,
                access=Access(bearers, settings.auth_mode, accounts.find, signed_out.refuse),
                accounts=accounts,
                sign_outs=signed_out,
                profiles=profiles,
                export=Export(store, shown),
                limits=Limits(settings.max_photo_bytes, settings.max_photos),
                service_token=service_token,
                metrics=metrics,
                checks={"sql": database.ping, "photos": photos.ping, "broker": broker.ping, KEYS: tokens.check},
            )

    app = FastAPI(
        title="tasks",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
    )
    app.include_router(router)
    app.include_router(internal_router)
    app.include_router(health_router(dispensable={"broker", KEYS}))  # events wait in the outbox meanwhile
    install_problems(app, transient=(*TRANSIENT, PhotoStoreError, OSError, asyncio.TimeoutError))
    app.add_middleware(RequestScope, service=SERVICE, metrics=metrics)
    return app
