"""``python -m tests.contract.released``: record what the present version does, when it is released.

Needs MySQL: a Docker engine, or ``TEST_SQL_URL``.
"""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

from contracts.events import EVENTS, Envelope
from services.auth.app import MIGRATIONS as AUTH
from services.chassis.database import Database
from services.chassis.migrations import migrate
from services.tasks.app import MIGRATIONS as TASKS
from tests import servers
from tests.contract.consumers.test_events import READINGS, SCHEMAS
from tests.contract.released import recording, scenario

HERE = Path(__file__).parent


async def _record(sql_url: str, name: str) -> None:
    database = Database(sql_url)
    await database.start()
    for service, folder in (("auth", AUTH), ("tasks", TASKS)):
        await migrate(database, service, folder)
    with recording.recorded(database) as statements:
        await scenario.play(database)
    await database.close()
    recording.save(statements, HERE / "sql" / f"{name}.json")


def main() -> None:
    """Write everything anew."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_record(f"sqlite:///{folder}/data.sqlite3", "sqlite"))
    with servers.started(servers.mysql_server()) as server, server.fresh_url() as url:
        asyncio.run(_record(url, "mysql"))
    newest = {
        service: max(p.stem[:4] for p in folder.glob("0*.py")) for service, folder in (("auth", AUTH), ("tasks", TASKS))
    }
    (HERE / "revisions.json").write_text(json.dumps(newest, indent=2) + "\n")
    for event in EVENTS:
        shutil.copy(SCHEMAS / f"{event.TYPE}.json", HERE / "schemas")
    for reading in READINGS:
        for form in ("least", "full"):
            data = reading.event.model_validate(getattr(reading, form))
            envelope = Envelope.wrap(data, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
            path = HERE / "events" / f"{reading.event.TYPE}.{form}.json"
            path.write_text(json.dumps(envelope.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
