"""What tasks does with the events that it consumes."""

import structlog

from contracts.events import AnalysisCompleted, AnalysisFailed, AnalysisStarted, ProfileUpdated
from contracts.reports import report_image_name
from services.chassis.messaging.broker import Handlers
from services.chassis.metrics import Metrics
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
    """Handlers of auth's events."""

    async def on_profile(event: ProfileUpdated) -> None:
        await store.remember_household(event)

    return {ProfileUpdated: on_profile}
