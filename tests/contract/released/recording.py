"""SQL as a driver was given it, written down and played again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event

from services.chassis.database import Database


@dataclass(frozen=True, slots=True)
class Statement:
    """One call of the driver, and how many rows it found or changed."""

    sql: str
    values: list[Any]  # a list for each row, when there are several
    many: bool
    rows: int


@contextmanager
def recorded(database: Database) -> Iterator[list[Statement]]:
    """Every statement on ``database`` while the context lasts."""
    found: list[Statement] = []
    engines = {database.engine.sync_engine, database._reading.sync_engine}

    def note(_: Any, cursor: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
        if statement.startswith("BEGIN"):  # of one transaction each; they are played in a few
            return
        values = [list(row) for row in parameters] if many else list(parameters)
        found.append(Statement(statement, [_plain(value) for value in values], many, cursor.rowcount))

    for engine in engines:
        event.listen(engine, "after_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "after_cursor_execute", note)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return {"datetime": value.isoformat()} if isinstance(value, datetime) else value


def _driver_value(value: Any) -> Any:
    return datetime.fromisoformat(value["datetime"]) if isinstance(value, dict) else value


def save(statements: list[Statement], path: Path) -> None:
    """Write ``statements`` down, one a line."""
    lines = ",\n".join(json.dumps(asdict(statement), ensure_ascii=False) for statement in statements)
    path.write_text(f"[\n{lines}\n]\n")


def load(path: Path) -> list[Statement]:
    """Read what :func:`save` wrote."""
    return [Statement(**fields) for fields in json.loads(path.read_text())]


async def play(statements: list[Statement], database: Database) -> None:
    """Run ``statements``; raises when one fails, or finds or changes another number of rows than it did then."""
    async with database.write(seconds=None) as connection:
        for number, statement in enumerate(statements):
            values: Any = [_driver_value(value) for value in statement.values]
            given = [tuple(map(_driver_value, row)) for row in values] if statement.many else tuple(values)
            result = await connection.exec_driver_sql(statement.sql, given)
            rows = len(result.all()) if result.returns_rows else result.rowcount
            assert rows == statement.rows or statement.rows < 0, f"statement {number}: {rows} rows: {statement.sql}"
