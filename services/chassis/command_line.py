"""``python -m services.<name>``: serve, and the few things that an operator does by hand."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

import typer

from contracts.topology import Subscription
from services.chassis.logs import configure_logs
from services.chassis.messaging.broker import Broker, PublishError
from services.chassis.serving import Stop, run
from services.chassis.startup import StartupError

BROKER_SECONDS = 10.0  # an operator waits for the broker no longer, and hears that it is away


@dataclass(frozen=True, slots=True)
class Commands:
    """What a service can be told to do."""

    name: str
    serve: Callable[[Stop], Awaitable[None]]
    migrate: Callable[[], Awaitable[None]] | None = None
    broker: Callable[[], Broker] | None = None
    queues: Sequence[Subscription] = ()


def command_line(commands: Commands) -> typer.Typer:
    """The command line of a service. Without a command it serves."""
    app = typer.Typer(help=f"The {commands.name} service.", add_completion=False, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def default(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            run(commands.serve)
        else:  # whose answer on standard output may be read by a program
            configure_logs(commands.name, "warning", "console", sys.stderr)

    @app.command()
    def serve() -> None:
        """Serve until SIGTERM or Ctrl-C (the default)."""
        run(commands.serve)

    if commands.migrate is not None:
        _add_migrate(app, commands.migrate)
    if commands.broker is not None and commands.queues:
        app.add_typer(_dead_letters(commands.broker, commands.queues), name="dead-letters")
    return app


def _add_migrate(app: typer.Typer, migrate: Callable[[], Awaitable[None]]) -> None:
    @app.command("migrate")
    def migrate_() -> None:
        """Bring the database's tables up to date, and exit."""

        done = False

        async def main(_: Stop) -> None:
            nonlocal done
            await migrate()
            done = True

        run(main)
        if not done:  # a signal came first
            raise typer.Exit(1)
        typer.echo("The tables are up to date.")


def _dead_letters(make_broker: Callable[[], Broker], queues: Sequence[Subscription]) -> typer.Typer:
    app = typer.Typer(help="Deliveries that failed for good.", no_args_is_help=True)
    names = ", ".join(subscription.queue for subscription in queues)

    def chosen(queue: str | None) -> Sequence[Subscription]:
        picked = [subscription for subscription in queues if queue in (None, subscription.queue)]
        if not picked:
            raise typer.BadParameter(f"there is no queue {queue}; choose from {names}")
        return picked

    def with_broker(action: Callable[[Broker], Awaitable[None]]) -> None:
        done = False

        async def main(_: Stop) -> None:
            nonlocal done
            broker = make_broker()
            try:
                async with asyncio.timeout(BROKER_SECONDS):
                    await broker.start()
                await action(broker)
            except (TimeoutError, PublishError) as error:
                raise StartupError(f"The broker does not answer{f': {error}' if str(error) else ''}.") from None
            finally:
                await broker.close()
            done = True

        run(main)
        if not done:  # a signal came first
            raise typer.Exit(1)

    @app.command("list")
    def list_(
        queue: str | None = typer.Option(None, help=f"one of {names}; all of them by default"),
        limit: int = typer.Option(100, min=1, help="at most so many per queue"),
        bodies: bool = typer.Option(False, "--bodies", help="show the whole events too (they hold personal data)"),
    ) -> None:
        """Print dead letters, one JSON object a line, oldest first. They stay where they are."""

        async def action(broker: Broker) -> None:
            for subscription in chosen(queue):
                for letter in await broker.dead_letters(subscription, limit):
                    line = {"queue": subscription.queue, **asdict(letter)}
                    if not bodies:
                        del line["body"], line["subject"]  # a profile's subject is an e-mail address
                    typer.echo(json.dumps(line))

        with_broker(action)

    @app.command()
    def replay(
        queue: str = typer.Argument(help=f"one of {names}"),
        limit: int = typer.Option(100, min=1, help="at most so many, the oldest first"),
    ) -> None:
        """Put dead letters back into their queue, to be handled as if they were new."""
        (subscription,) = chosen(queue)

        async def action(broker: Broker) -> None:
            moved = await broker.replay(subscription, limit)
            typer.echo(f"{moved} put back into {subscription.queue}.")

        with_broker(action)

    return app
