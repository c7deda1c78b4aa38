"""Everything that auth and tasks do to their database, once, so that the SQL of it can be recorded.

Nothing here depends on the time of day: what looks back so many seconds is told to look a minute ahead.
"""

from datetime import UTC, datetime

from contracts.events import Household, ProfileUpdated
from services.auth.accounts import Accounts
from services.auth.models import outbox as auth_outbox
from services.auth.models import sign_outs
from services.auth.store import UserStore
from services.chassis.database import Database
from services.chassis.metrics import Metrics
from services.chassis.outbox import Outbox, Relay
from services.chassis.signouts import SignOuts
from services.tasks.erasure import Erasures
from services.tasks.models import outbox as tasks_outbox
from services.tasks.store import StoredPicture, TaskStore
from tests.brokers import RecordingBroker
from tests.integration.services.tasks.test_store import ME, completed, submission, uploaded
from tests.tokens import proved

SECRET = "of the pseudonyms"
SOON = -60.0  # seconds ago
PROFILE = {
    "zipCode": "15213",
    "ownership": "Own",
    "energyCompany": "Duquesne Light",
    "retrofitBudget": "up to $200",
    "appliances": ["Window AC"],
}


async def play(database: Database) -> None:
    """Do it, on migrated and empty tables."""
    accounts, tasks = Outbox(auth_outbox), Outbox(tasks_outbox)
    await _accounts(database, accounts)
    await _relay(database, accounts, "auth")
    await _relay_in_vain(database, accounts, "auth")
    await _tasks(database, tasks, "a")
    await _relay(database, tasks, "tasks")
    await _tasks(database, tasks, "b")
    await _relay(database, tasks, "tasks")
    await _relay_in_vain(database, tasks, "tasks")


async def _relay(database: Database, waiting: Outbox, service: str) -> None:
    relay = Relay(database, waiting, RecordingBroker(), Metrics(), service)
    await relay.measure()
    await relay.relay_handed()
    assert await relay.relay_batch() > 0
    assert await relay.relay_batch() == 0


async def _relay_in_vain(database: Database, waiting: Outbox, service: str) -> None:
    # Comes last: when the row is due again is a matter of time.
    broker = RecordingBroker()
    broker.away = True
    async with database.write() as connection:
        await waiting.add(connection, ProfileUpdated(user_id=ME, version=1, household=Household()))
    assert await Relay(database, waiting, broker, Metrics(), service).relay_batch() == 1


async def _accounts(database: Database, waiting: Outbox) -> None:
    users = UserStore(database, waiting, SignOuts(database, sign_outs, SECRET))
    accounts = Accounts(database, waiting, SignOuts(database, sign_outs, SECRET))
    await accounts.open(proved(ME))
    await accounts.open(proved(ME))
    await users.change_profile(ME, PROFILE)
    await users.change_profile("nobody@example.com", PROFILE)
    await users.find(ME)


async def _tasks(database: Database, waiting: Outbox, name: str) -> None:
    store = TaskStore(database, waiting, Erasures(database, waiting, SECRET))
    household = Household(zip_code="15213", appliances=("Window AC",))
    for version in (2, 3, 1):
        await store.remember_household(ProfileUpdated(user_id=ME, version=version, household=household))
    photos = uploaded(2)
    first, second, third, fourth = (f"job-{name}-{number}" for number in range(4))
    task, other = f"task-{name}", f"other-{name}"
    await store.submit(first, submission(task), photos)
    await store.start_job(first)
    await store.find_job_photo(first, photos[0].photo_id)
    await store.submit(second, submission(task, title="Again"), uploaded(1))
    assert not await store.fail_job(first, "The job had been replaced.")
    await store.republish_unfinished(SOON, 10)
    result = completed(second, task, by=name)
    pictures = [
        StoredPicture(str(result.image_id), "report", "r.jpg"),
        StoredPicture(str(result.thumbnail_id), "thumbnail", "t.jpg"),
    ]
    assert await store.complete_job(result, pictures)
    assert not await store.complete_job(result, pictures)
    await store.find_job(second)
    await store.follow_job(second, {"signed_out_people": []})
    await store.standing([ME], None, {"signed_out_people": []})
    await store.submit(third, submission(other), [])
    assert await store.fail_job(third, "No photo could be read.")
    await store.submit(fourth, submission(other), [])
    await store.unfinished()
    assert await store.end_overdue(SOON) == 1
    dropped = await store.dropped_photos(SOON, 10)
    assert dropped
    await store.unknown_photos(dropped)
    await store.forget_photos(dropped)
    await store.find_task(task)
    await store.list_tasks(ME, None, 50)
    await store.list_tasks(ME, (datetime(2100, 1, 1, tzinfo=UTC), task), 50)
    await store.list_tasks(ME, (None, task), 50)
