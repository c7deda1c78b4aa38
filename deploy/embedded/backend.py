"""The four services, wired into one process."""

import base64
import fcntl
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from deploy.embedded.epoch import is_restored, note_epoch
from deploy.embedded.issuer import CLIENT_ID, TOKEN_PATH, create_issuer, new_key
from deploy.embedded.settings import EmbeddedSettings
from gateway.app import Services
from gateway.app import create_app as create_gateway
from gateway.limits import BodyLimits, Limited
from gateway.routes import IDLE_SECONDS, JSON_BYTES, JSON_SECONDS
from gateway.settings import GatewaySettings
from services.analysis.app import create_app as create_analysis
from services.analysis.settings import AnalysisSettings
from services.auth.app import create_app as create_auth
from services.auth.models import sign_outs as auth_sign_outs
from services.auth.settings import AuthSettings
from services.chassis.database import Database
from services.chassis.messaging.local import LocalBroker
from services.chassis.metrics import Metrics
from services.chassis.serving import bind, listening, running
from services.chassis.settings import load
from services.chassis.signouts import SignOuts
from services.chassis.startup import StartupError
from services.tasks.app import create_app as create_tasks
from services.tasks.models import sign_outs as tasks_sign_outs
from services.tasks.photos.files import FilePhotos
from services.tasks.settings import TasksSettings


@asynccontextmanager
async def backend(settings: EmbeddedSettings, metrics: Metrics) -> AsyncIterator[ASGIApp]:
    """Start everything; inside, the gateway as an ASGI app that is ready to be served.

    Raises :class:`StartupError` when the data folder cannot be used.
    """
    async with AsyncExitStack() as stack:
        data = stack.enter_context(_own(settings.data_dir))
        # What services say to each other over HTTP goes through an address that only this process knows.
        sock = bind("127.0.0.1", 0)
        stack.callback(sock.close)
        inside = f"http://127.0.0.1:{sock.getsockname()[1]}"
        issuer = _issuer(data / "issuer.pem")
        google: dict[str, Any] = {"auth_mode": settings.mode, "google_client_ids": settings.google_client_ids}
        if settings.has_development_issuer:
            google |= {"google_client_ids": (CLIENT_ID,), "google_certs_url": f"{inside}/dev/certs"}
        between = {
            "rabbitmq_url": "in-process",
            # Kept, because the pseudonyms of people who signed out or deleted their accounts are made with it.
            "service_token": _kept(data / "service.key", lambda: secrets.token_hex(32).encode()).decode(),
            "auth_url": f"{inside}/auth",
            "tasks_url": f"{inside}/tasks",
        }
        seed = _kept(data / "access-token.key", lambda: base64.b64encode(secrets.token_bytes(32)))
        auth_settings = load(
            AuthSettings, **google, **between, sql_url=_sqlite(data / "auth.sqlite3"), access_token_keys=seed.decode()
        )
        tasks_settings = load(
            TasksSettings, **google, **between, sql_url=_sqlite(data / "tasks.sqlite3"), mongo_url="files"
        )
        gateway_settings = load(GatewaySettings, **google, **between)
        analysis_settings = load(AnalysisSettings, **between)
        is_restored_copy = is_restored(data)
        broker = LocalBroker(data / "events.sqlite3", metrics)

        development = f"/dev{TOKEN_PATH}" if settings.has_development_issuer else None
        auth = await stack.enter_async_context(
            running(create_auth(auth_settings, metrics, lambda: broker, development))
        )
        tasks = await stack.enter_async_context(
            running(create_tasks(tasks_settings, metrics, lambda: broker, lambda: FilePhotos(data / "photos")))
        )
        if is_restored_copy:
            await _sign_out_everybody(auth_settings, tasks_settings)
        note_epoch(data)
        routes = [Mount("/auth", auth), Mount("/tasks", tasks), Mount("/dev", issuer)]
        await stack.enter_async_context(listening(Starlette(routes=routes), sock))
        await stack.enter_async_context(
            running(create_analysis(analysis_settings, metrics, lambda: broker, _emptied(data / "scratch")))
        )
        gateway = create_gateway(gateway_settings, metrics, Services(auth=auth, tasks=tasks))
        if settings.has_development_issuer:
            body = BodyLimits(JSON_BYTES, IDLE_SECONDS, JSON_SECONDS)
            gateway.mount("/dev", Limited(issuer, body))
        yield await stack.enter_async_context(running(gateway))


async def _sign_out_everybody(auth: AuthSettings, tasks: TasksSettings) -> None:
    for settings, table in ((auth, auth_sign_outs), (tasks, tasks_sign_outs)):
        database = Database(settings.sql_url)
        try:
            signed_out = SignOuts(database, table, settings.service_token.get_secret_value())
            await signed_out.note_everybody(int(time.time()))
        finally:
            await database.close()


@contextmanager
def _own(folder: Path) -> Iterator[Path]:
    """The data folder, for this process alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # one that somebody made keeps its mode
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StartupError(f"Cannot use the data folder {folder}: {error.strerror}. Set DATA_DIR.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartupError(
                f"Another backend is using the data folder {folder}. Stop it, or set DATA_DIR."
            ) from None
        yield folder.resolve()


def _emptied(folder: Path) -> Path:
    """A folder without what a process that was killed has left in it: photos, in that of the analysis."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StartupError(f"Cannot use the data folder: {folder}: {error.strerror}. Set DATA_DIR.") from None
    return folder


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """A secret that is made once and kept, readable by its owner only."""
    try:
        if not path.exists():
            # Complete under another name first: half a key would end every later start.
            new = path.with_suffix(".new")
            new.unlink(missing_ok=True)
            new.touch(mode=0o600)
            new.write_bytes(make())
            new.replace(path)
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"Cannot use the data folder: {path}: {error.strerror}. Set DATA_DIR.") from None


def _issuer(path: Path) -> ASGIApp:
    pem = _kept(path, new_key)
    try:
        return create_issuer(pem)
    except (ValueError, TypeError):
        raise StartupError(f"{path} holds no RSA key. Remove it, and a new one is made.") from None


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path}"
