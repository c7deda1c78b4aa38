"""What tasks does with the events that it consumes."""

import structlog

from contracts.events import (
    AccountBound,
    AccountDeleted,
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
    ProfileUpdated,
    SignedOut,
)
from contracts.reports import report_image_name
from services.chassis.messaging.broker import Handlers
from services.chassis.metrics import Metrics
from services.chassis.signouts import SignOuts
from services.tasks.accounts import Accounts
from services.tasks.erasure import Erasures
from services.tasks.store import StoredPicture, TaskStore

log = structlog.get_logger(__name__)


def result_handlers(store: TaskStore, metrics: Metrics) -> Handlers:
    """Handlers of analysis' events."""

    async def on_started(event: AnalysisStarted) -> None:
        await store.start_job(event.job_id)

    async def on_completed(event: AnalysisCompleted) -> None:
        name = report_image_name(event.report.taskID)
        pictures = [
            StoredPicture(photo_id, kind, name)
            for photo_id, kind in ((event.image_id, "report"), (event.thumbnail_id, "thumbnail"))
            if photo_id is not None
        ]
        _tell("done", await store.complete_job(event, pictures))

    async def on_failed(event: AnalysisFailed) -> None:
        _tell("error", await store.fail_job(event.job_id, event.reason))

    def _tell(outcome: str, changed: bool) -> None:
        if changed:
            metrics.jobs_ended.labels(outcome).inc()
        log.info("job ended" if changed else "a job that had ended before stays as it is", outcome=outcome)

    return {AnalysisStarted: on_started, AnalysisCompleted: on_completed, AnalysisFailed: on_failed}


def profile_handlers(store: TaskStore) -> Handlers:
    """Handlers of auth's events about profiles."""

    async def on_profile(event: ProfileUpdated) -> None:
        await store.remember_household(event)

    return {ProfileUpdated: on_profile}


def name_handlers(accounts: Accounts) -> Handlers:
    """Handlers of auth's events about what accounts are called."""

    async def on_bound(event: AccountBound) -> None:
        await accounts.note(event)

    return {AccountBound: on_bound}


def account_handlers(erasures: Erasures, sign_outs: SignOuts, accounts: Accounts) -> Handlers:
    """Handlers of auth's events about accounts."""

    async def on_signed_out(event: SignedOut) -> None:
        await sign_outs.note(event.user_id, event.until)

    async def on_deleted(event: AccountDeleted) -> None:
        await erasures.note(event)
        accounts.forget(event.user_id)
        log.info("an account is to be erased")

    return {SignedOut: on_signed_out, AccountDeleted: on_deleted}
