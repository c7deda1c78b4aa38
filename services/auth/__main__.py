"""``python -m services.auth``: serve, ``migrate``, announce every profile again, delete accounts, or sign
everybody out."""

import re
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import typer

from contracts.user_ids import normalised
from services.auth.accounts import Accounts
from services.auth.app import MIGRATIONS, SERVICE, create_app
from services.auth.models import outbox, sign_outs
from services.auth.settings import AuthSettings
from services.auth.store import UserStore, announce_names, announce_profiles, deleted_before
from services.chassis.access import warn_of_legacy
from services.chassis.command_line import Commands, command_line
from services.chassis.database import Database
from services.chassis.logs import configure_logs
from services.chassis.messaging.rabbitmq import RabbitBroker
from services.chassis.metrics import Metrics, served
from services.chassis.migrations import migrate, migrate_alone
from services.chassis.outbox import Outbox
from services.chassis.serving import Stop, bind, run
from services.chassis.serving import serve as serve_app
from services.chassis.settings import load
from services.chassis.signouts import SignOuts

T = TypeVar("T")

# A line of what `python -m services.tasks deletions` prints: a pseudonym, and when the account was deleted.
_DELETION = re.compile(r"^([0-9a-f]{64}) (\S+[+]00:00)$")


async def _serve(stop: Stop) -> None:
    settings = load(AuthSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    warn_of_legacy(settings.auth_mode)
    metrics = Metrics()
    # It consumes nothing, and declares nothing either: its user may publish its events, and that is all.
    app = create_app(
        settings, metrics, lambda: RabbitBroker(settings.rabbitmq_url, metrics, SERVICE, (), is_guest=True)
    )
    with bind(settings.host, settings.port) as sock, served(metrics, settings.host, settings.metrics_port):
        await serve_app(app, sock, stop)


async def _migrate() -> None:
    settings = load(AuthSettings)
    configure_logs(SERVICE, settings.log_level, settings.log_format)
    await migrate_alone(settings.sql_url, SERVICE, MIGRATIONS)


def _announce_profiles() -> None:
    """Tell the other services again of every profile, and of what accounts are called.

    Events may have been lost, as before a restore.
    """

    async def main(database: Database, _: str) -> int:
        await announce_names(database, Outbox(outbox))
        return await announce_profiles(database, Outbox(outbox))

    typer.echo(f"{_once(main)} profiles are announced again.")


def _delete_account(user_id: str = typer.Argument(help="as the person signs in: an e-mail address, mostly")) -> None:
    """Delete an account as its owner would: at once here, within a minute or two what tasks keeps of it."""

    async def main(database: Database, secret: str) -> bool:
        accounts = _accounts(database, secret)
        account = await accounts.named(normalised(user_id))
        owner = None if account is None else await accounts.owner(account)
        if owner is not None:
            await _users(database, secret).delete_account(owner)
        return owner is not None

    if not _once(main):
        typer.echo("There is no such account; nothing was done.", err=True)
        raise typer.Exit(1)
    typer.echo("The account is deleted; tasks and photos follow.")


def _repeat_deletions() -> None:
    """After a restore: delete again what was deleted since, by the list that `services.tasks deletions` printed."""
    deletions: dict[str, datetime] = {}
    for number, line in enumerate(sys.stdin, start=1):
        try:
            person, when = _DELETION.findall(line)[0]
            deletions[person] = datetime.fromisoformat(when)
        except (IndexError, ValueError):
            typer.echo(f"Line {number} is none of a list of deletions; nothing was done.", err=True)
            raise typer.Exit(1) from None

    async def main(database: Database, secret: str) -> int:
        store, accounts = _users(database, secret), _accounts(database, secret)
        user_ids = await deleted_before(database, secret, deletions)
        for user_id in user_ids:
            owner = await accounts.owner(user_id)
            if owner is not None:
                await store.delete_account(owner)
        return len(user_ids)

    typer.echo(f"{_once(main)} of {len(deletions)} deletions repeated; the other accounts are not here.")


def _sign_out_everybody() -> None:
    """Refuse every token from before now, as after a restore: the sign-outs since the backup are lost."""

    async def main(database: Database, secret: str) -> None:
        await migrate(database, SERVICE, MIGRATIONS)
        await SignOuts(database, sign_outs, secret).note_everybody(int(time.time()))

    _once(main)
    typer.echo("Tokens from before now are refused by auth.")


def _users(database: Database, secret: str) -> UserStore:
    return UserStore(database, Outbox(outbox), SignOuts(database, sign_outs, secret))


def _accounts(database: Database, secret: str) -> Accounts:
    return Accounts(database, Outbox(outbox), SignOuts(database, sign_outs, secret))


def _once(main: Callable[[Database, str], Awaitable[T]]) -> T:
    """What ``main`` returns, given the database and the service token; a signal ends the process with status 1."""
    done: list[T] = []

    async def with_database(_: Stop) -> None:
        settings = load(AuthSettings)
        database = Database(settings.sql_url)
        try:
            await database.start()
            done.append(await main(database, settings.service_token.get_secret_value()))
        finally:
            await database.close()

    run(with_database)
    if not done:
        raise typer.Exit(1)
    return done[0]


if __name__ == "__main__":
    app = command_line(Commands(SERVICE, serve=_serve, migrate=_migrate))
    app.command("announce-profiles")(_announce_profiles)
    app.command("delete-account")(_delete_account)
    app.command("sign-out-everybody")(_sign_out_everybody)
    app.command("repeat-deletions")(_repeat_deletions)
    app()
