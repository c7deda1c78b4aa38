"""Wiring of the auth service: nothing happens at import time, everything in the lifespan."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypedDict

from fastapi import FastAPI

from contracts.public import SignInOptions
from services.auth.accounts import Accounts
from services.auth.api import router
from services.auth.internal_api import router as internal_router
from services.auth.models import outbox, sign_outs
from services.auth.settings import AuthSettings
from services.auth.sign_in import sign_in_options
from services.auth.signing import Signer, decode_seeds
from services.auth.store import UserStore
from services.chassis.access import Access
from services.chassis.background import background
from services.chassis.database import TRANSIENT, Database
from services.chassis.health import KEYS, Checks, health_router
from services.chassis.identity import AccessTokens, Bearers
from services.chassis.issuers import IdTokens, id_tokens
from services.chassis.messaging.broker import Broker
from services.chassis.messaging.connecting import connected
from services.chassis.metrics import Metrics
from services.chassis.migrations import migrate
from services.chassis.outbox import Outbox, Relay
from services.chassis.problems import install_problems
from services.chassis.requests import NO_TELEMETRY, RequestScope
from services.chassis.signouts import SignOuts

SERVICE = "auth"
MIGRATIONS = Path(__file__).parent / "migrations"


class State(TypedDict):
    """What lives as long as the app."""

    users: UserStore
    accounts: Accounts
    signer: Signer
    id_tokens: IdTokens
    sign_in: SignInOptions
    access: Access
    service_token: str
    checks: Checks


async def _nothing_to_hear() -> None:
    """Auth publishes only."""


def create_app(
    settings: AuthSettings,
    metrics: Metrics,
    make_broker: Callable[[], Broker],
    development_token_url: str | None = None,
) -> FastAPI:
    """The auth service as an ASGI app. ``development_token_url`` is where a stand-in for Google signs, if one does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            database = Database(settings.sql_url)
            stack.push_async_callback(database.close)
            await database.start()
            await migrate(database, SERVICE, MIGRATIONS)
            broker = make_broker()
            stack.push_async_callback(broker.close)
            waiting = Outbox(outbox)
            relay = Relay(database, waiting, broker, metrics, SERVICE)
            await stack.enter_async_context(background(relay.run, relay.measure_forever))
            await stack.enter_async_context(connected(broker, _nothing_to_hear))
            signer = Signer(decode_seeds(settings.access_token_keys.get_secret_value()), settings.access_token_seconds)
            tokens = await stack.enter_async_context(id_tokens(settings))
            service_token = settings.service_token.get_secret_value()
            signed_out = SignOuts(database, sign_outs, service_token)
            accounts = Accounts(database, waiting, signed_out)
            bearers = Bearers(AccessTokens(signer), tokens)
            yield State(
                users=UserStore(database, waiting, signed_out),
                accounts=accounts,
                signer=signer,
                id_tokens=tokens,
                sign_in=sign_in_options(settings, development_token_url),
                access=Access(bearers, settings.auth_mode, accounts.find, signed_out.refuse),
                service_token=service_token,
                checks={"sql": database.ping, "broker": broker.ping, KEYS: tokens.check},
            )

    app = FastAPI(
        title="auth",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
    )
    app.include_router(router)
    app.include_router(internal_router)
    app.include_router(health_router(dispensable={"broker", KEYS}))  # events wait in the outbox meanwhile
    install_problems(app, transient=(*TRANSIENT, OSError, asyncio.TimeoutError))
    app.add_middleware(RequestScope, service=SERVICE, metrics=metrics)
    return app
