"""What suites that run against several implementations of one thing share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.database import Database


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.docker("mysql"))])
def any_sql_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """``SQL_URL`` of an empty database of each kind."""
    if request.param == "mysql":
        url: str = request.getfixturevalue("sql_url")
        return url
    return f"sqlite:///{tmp_path}/data.sqlite3"


@pytest.fixture
async def database(any_sql_url: str) -> AsyncIterator[Database]:
    """An empty database of each kind, started."""
    database = Database(any_sql_url)
    await database.start()
    yield database
    await database.close()
