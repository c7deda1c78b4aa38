"""``python -m services.tasks``: serve, ``migrate``, look after dead letters, copy the photos for a backup, list
the accounts that were deleted, or sign everybody out."""

import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import typer

from contracts.topology import TASKS_ACCOUNTS, TASKS_NAMES, TASKS_PROFILES, TASKS_RESULTS
from services.chassis.access import warn_of_legacy
from services.chassis.command_line import Commands, command_line
from services.chassis.database import Database
from services.chassis.logs import configure_logs
from services.chassis.messaging.broker import Broker
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics, served
from services.chassis.migrations import migrate, migrate_alone
from services.chassis.outbox import Outbox
from services.chassis.serving import HELD_BACK_SECONDS, Stop, bind, run
from services.chassis.serving import serve as serve_app
from services.chassis.settings import load
from services.chassis.signouts import SignOuts
from services.tasks.app import MIGRATIONS, SERVICE, create_app
from services.tasks.erasure import Erasures
from services.tasks.models import outbox, sign_outs
from services.tasks.photos.archive import ArchiveError, Copied, export_photos, import_photos, remove_orphans
from services.tasks.photos.gridfs import GridFSPhotos
from services.tasks.photos.store import PhotoStoreError
from services.tasks.settings import TasksSettings
from services.tasks.store import TaskStore


async def _serve(stop: Stop) -> None:
    settings = load(TasksSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    warn_of_legacy(settings.auth_mode)
    metrics = Metrics()
    app = create_app(
        settings,
        metrics,
        lambda: RabbitBroker(settings.rabbitmq_url, metrics, SERVICE),
        lambda: GridFSPhotos(settings.mongo_url),
    )
    address = bind(settings.host, settings.port, unread_seconds=HELD_BACK_SECONDS)
    with address as sock, served(metrics, settings.host, settings.metrics_port):
        await serve_app(app, sock, stop)


async def _migrate() -> None:
    settings = load(TasksSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    await migrate_alone(settings.sql_url, SERVICE, MIGRATIONS)


def _broker() -> Broker:
    return RabbitBroker(load(TasksSettings).rabbitmq_url, Metrics(), f"{SERVICE} dead letters")


def _deletions() -> None:
    """Print which accounts were deleted in the last 30 days: a pseudonym and the time a line.

    After a restore `python -m services.auth repeat-deletions` reads it. It names nobody.
    """
    deletions: list[tuple[str, datetime]] | None = None

    async def main(_: Stop) -> None:
        nonlocal deletions
        settings = load(TasksSettings)
        database = Database(settings.sql_url)
        try:
            await database.start()
            secret = settings.service_token.get_secret_value()
            deletions = await Erasures(database, Outbox(outbox), secret).deletions()
        finally:
            await database.close()

    run(main)
    if deletions is None:
        _fail("Interrupted.")
    for person, deleted_at in deletions:
        typer.echo(f"{person} {deleted_at.isoformat()}")


def _sign_out_everybody() -> None:
    """Refuse every token from before now, as after a restore: the sign-outs since the backup are lost."""
    is_done = False

    async def main(_: Stop) -> None:
        nonlocal is_done
        settings = load(TasksSettings)
        database = Database(settings.sql_url)
        try:
            await database.start()
            await migrate(database, SERVICE, MIGRATIONS)
            secret = settings.service_token.get_secret_value()
            await SignOuts(database, sign_outs, secret).note_everybody(int(time.time()))
            is_done = True
        finally:
            await database.close()

    run(main)
    if not is_done:
        _fail("Interrupted.")
    typer.echo("Tokens from before now are refused by tasks.")


def _photos() -> typer.Typer:
    app = typer.Typer(help="Every photo as one stream, for backups.", no_args_is_help=True)

    @app.command("export")
    def export(
        records_from: float | None = typer.Option(
            None, help="when the records of the same backup were read (Unix time): too long ago is a failure"
        ),
    ) -> None:
        """Write every photo to standard output."""
        grace = load(TasksSettings).photo_grace_seconds
        _copy(lambda store: export_photos(store, sys.stdout.buffer))
        if records_from is not None and time.time() - records_from >= grace:
            _fail(f"This took longer than PHOTO_GRACE_SECONDS ({grace:.0f} s): photos of the records may be missing.")

    @app.command("import")
    def import_(
        overwrite: bool = typer.Option(False, "--overwrite", help="remove the photos that are there first"),
    ) -> None:
        """Read photos from standard input into an empty database."""
        _copy(lambda store: import_photos(store, sys.stdin.buffer, overwrite=overwrite))

    @app.command("remove-orphans")
    def remove_orphans_() -> None:
        """Remove photos that no record refers to, however old: the sweeper looks back a few days only."""
        removed: int | None = None

        async def main(_: Stop) -> None:
            nonlocal removed
            settings = load(TasksSettings)
            database, store = Database(settings.sql_url), GridFSPhotos(settings.mongo_url)
            try:
                await database.start()
                end = datetime.now(UTC) - timedelta(seconds=settings.photo_grace_seconds)
                waiting = Outbox(outbox)
                erasures = Erasures(database, waiting, settings.service_token.get_secret_value())
                removed = await remove_orphans(store, TaskStore(database, waiting, erasures), end)
            finally:
                await store.close()
                await database.close()

        _run(main)
        if removed is None:
            _fail("Interrupted.")
        typer.echo(f"{removed} photos that no record refers to were removed.", err=True)

    return app


def _copy(copy: Callable[[GridFSPhotos], Awaitable[Copied]]) -> None:
    copied: Copied | None = None

    async def main(_: Stop) -> None:
        nonlocal copied
        store = GridFSPhotos(load(TasksSettings).mongo_url)
        try:
            copied = await copy(store)
        finally:
            await store.close()

    _run(main)
    if copied is None:
        _fail("Interrupted.")
    left_out = f"; {copied.partial} more were removed meanwhile" if copied.partial else ""
    typer.echo(f"{copied.photos} photos, {copied.bytes / 1e6:.1f} MB{left_out}.", err=True)


def _run(main: Callable[[Stop], Awaitable[None]]) -> None:
    try:
        run(main)
    except (ArchiveError, PhotoStoreError) as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app = command_line(
        Commands(SERVICE, _serve, _migrate, _broker, (TASKS_RESULTS, TASKS_PROFILES, TASKS_ACCOUNTS, TASKS_NAMES))
    )
    app.command("deletions")(_deletions)
    app.command("sign-out-everybody")(_sign_out_everybody)
    app.add_typer(_photos(), name="photos")
    app()
