"""The public routes of tasks: parse, call, map."""

import asyncio
import itertools
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from contracts.public import (
    JobDone,
    JobFailed,
    JobUnfinished,
    ServiceStatus,
    SubmissionAnswer,
    Task,
    TaskPage,
    TaskPhoto,
    UserId,
)
from contracts.public import Problem as ProblemDocument
from contracts.reports import report_image_name
from contracts.user_ids import normalised
from services.chassis.access import Caller
from services.chassis.problems import Problem
from services.chassis.requests import unless_client_leaves
from services.tasks.export import ARCHIVE, Export
from services.tasks.idempotency import read_key
from services.tasks.jobs import JobState, was_adopted
from services.tasks.photos.store import PhotoNotFoundError
from services.tasks.privacy.work import UnreadableError
from services.tasks.reports import done_answer
from services.tasks.store import Standing
from services.tasks.submissions import read_submission
from services.tasks.uploads import received

log = structlog.get_logger(__name__)

router = APIRouter()

FOREIGN = "You are signed in as somebody else. Please sign in with the account that these tasks belong to."

_SUBMISSION_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["uid", "task_json"],
                    "properties": {
                        "uid": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 255,
                            "description": "whose task it is: the account's e-mail address",
                        },
                        "task_json": {
                            "type": "string",
                            "minLength": 1,
                            "description": "the task as JSON. Temperatures are strings in °F, or in °C with their unit "
                            "(`71.5`, `21,5 °C`, `−5`); a single comma or point is the decimal separator. Capitals and "
                            "spaces around `type` make no difference; an unknown type is stored as none.",
                            "examples": [
                                '{"id":"824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11","title":"North window","type":"window",'
                                '"state":"draft","decision":null,"insideTemp":"71","outsideTemp":"35"}'
                            ],
                        },
                        "override_detected_count": {"type": "string", "description": "ignored"},
                        "media0": {
                            "type": "string",
                            "format": "binary",
                            "description": "a photo (JPEG, PNG, WebP or HEIC; from a thermal camera BMP or TIFF too), "
                            "named `obs<N>_rgb.<ext>` or `obs<N>_thermal.<ext>`; N pairs the two photos of an "
                            "observation",
                        },
                        "media1": {
                            "type": "string",
                            "format": "binary",
                            "description": "the other photo of the pair; further ones are `media2`, `media3`, …, "
                            "or repeat the name `media`. Every part with a file name is a photo, whatever its name.",
                        },
                    },
                },
                "encoding": {name: {"contentType": "application/octet-stream"} for name in ("media0", "media1")},
            }
        },
    }
}


def _problem(description: str) -> dict[str, Any]:
    return {"model": ProblemDocument, "description": description}


_NO_TOKEN = _problem("No good token")
_AWAY = _problem("Briefly unavailable; try again after the seconds in `Retry-After`")

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "a name that the client makes up for this request (a UUID, say) and sends again with each retry of "
    "it: the first job is answered again for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


@router.get("/", include_in_schema=False)
async def status() -> ServiceStatus:
    """A sign of life."""
    return ServiceStatus(status="tasks service is running", service="tasks")


@router.post(
    "/detect_leak",
    tags=["analysis"],
    summary="Submit a task with its photos",
    openapi_extra={**_SUBMISSION_FORM, "parameters": [_IDEMPOTENCY_KEY]},
    responses={
        400: _problem("No task id, a broken upload, or an `Idempotency-Key` that can be none"),
        401: _NO_TOKEN,
        403: _problem("Somebody else's account or task"),
        409: _problem("This `Idempotency-Key` came with another submission before"),
        410: _problem("The account was deleted during the upload, or since the token was issued"),
        413: _problem("A photo, or all of it, is too large, or the account has no room for more photos"),
        415: _problem("Not a form"),
        422: _problem("Something that a person must mend: a temperature, a photo, …"),
        429: _problem(
            "Too many jobs of this person have not ended, or many photos were just replaced: try again after the "
            "seconds in `Retry-After`. Without that header: there are as many tasks as an account may have"
        ),
        503: _AWAY,
    },
)
async def detect_leak(request: Request) -> SubmissionAnswer:
    """Store the task and its photos, and start the analysis.

    Submitting the same task again replaces the earlier submission. When this has answered 200, the submission is
    stored for good, and its job reaches an end.

    A retry is told from a new submission: with the same `Idempotency-Key` and the same content, the first job is
    answered again for 24 hours, however it ended; with other content, 409. Without a key, the same content for the
    same task within 2 minutes is answered with the same job, unless that has failed. Content is the task's fields and
    the bytes of its photos. While too many jobs of a person have not ended (429), a retry is told by its key alone.
    """
    begun = asyncio.get_running_loop().time()
    state = request.state
    caller = await state.access.bearer(request)
    key = read_key(request.headers.getlist("idempotency-key"))
    standing, proved_at, person = Standing(), None, None
    if caller.identity is not None:
        proved_at, person = caller.identity.proved_at, caller.identity.person
        signed_out = state.sign_outs.of(caller.identity)
        standing = await state.store.standing(caller.identity.user_ids, key, signed_out)
        caller.refuse_signed_out(standing.signed_out_until)
    state.store.admit(standing, _declared_length(request))
    job_id = str(uuid.uuid4())
    async with received(request, state.photos, job_id, state.limits) as form:
        submission = read_submission(form.fields)
        if not caller.may_use(submission.user_id):
            raise Problem(403, FOREIGN)
        submission = replace(submission, user_id=await _account(request, caller, submission.user_id))
        newest = await state.profiles.newest_household(submission.user_id)
        # The commit may succeed although we do not hear of it: from here on only the sweeper may remove photos.
        form.keep()
        answered = await state.store.submit(
            job_id, submission, form.photos, key, begun, proved_at, newest=newest, person=person
        )
        if answered != job_id:
            form.release()
    return SubmissionAnswer(jobId=answered)


def _declared_length(request: Request) -> int:
    """The length of the body, as far as the client tells it beforehand."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


@router.get(
    "/detect_leak/{job_id}",
    tags=["analysis"],
    summary="Follow a job",
    response_model=JobUnfinished | JobFailed | JobDone,
    responses={401: _NO_TOKEN, 404: _problem("Job not found"), 503: _AWAY},
)
async def follow_job(request: Request, job_id: str) -> Response:
    """How far the job is; once it is done, the report and its image in base64."""
    state = request.state
    caller = await state.access.bearer(request)
    job = await state.store.follow_job(job_id, state.sign_outs.of(caller.identity))
    if job is None or not caller.owns(job.userID):
        raise Problem(404, "Job not found")
    caller.refuse_signed_out(job.signedOutUntil)
    if job.state == JobState.ERROR:
        return JSONResponse({"status": job.state, "error": job.error})
    if job.state != JobState.DONE:
        return JSONResponse({"status": job.state})
    image = None
    if job.imageID:
        try:
            if was_adopted(job_id):
                opening = state.shown_photos.open(job.imageID, job.userID)
                image = await unless_client_leaves(request.receive, opening)
            else:
                image = await state.shown_photos.open_drawn(job.imageID)
        except (PhotoNotFoundError, UnreadableError):  # the report itself is not lost with its picture
            state.metrics.report_images_lost.inc()
            log.exception("the image of a report is lost", job=job_id)
    return done_answer(job.report, report_image_name(job.taskID), image)


@router.get(
    "/v1/tasks",
    tags=["tasks"],
    summary="List tasks",
    responses={401: _NO_TOKEN, 403: _problem("Somebody else's tasks"), 503: _AWAY},
)
async def list_tasks(
    request: Request,
    user_id: Annotated[UserId, Query(alias="userID")],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(max_length=128, description="`next` of the page before")] = None,
) -> TaskPage:
    """The user's tasks, the newest first, each with its newest report."""
    caller = await request.state.access.caller(request)
    if not caller.may_use(user_id):
        raise Problem(403, FOREIGN)
    owners = {await _account(request, caller, normalised(user_id))}
    if caller.identity is not None:
        owners |= caller.identity.user_ids
    found = [await request.state.store.list_tasks(owner, _cursor(before), limit + 1) for owner in sorted(owners)]
    tasks = sorted(itertools.chain(*found), key=_place, reverse=True)
    page = tasks[:limit]
    more = len(tasks) > limit
    return TaskPage(
        tasks=tuple(_task(task) for task in page),
        next=_cursor_after(page[-1]) if more else None,
    )


@router.get(
    "/v1/tasks/{task_id}",
    tags=["tasks"],
    summary="Read a task",
    responses={401: _NO_TOKEN, 404: _problem("Task not found"), 503: _AWAY},
)
async def read_task(request: Request, task_id: str) -> Task:
    """The task, with the report of its newest submission."""
    return _task(await _own_task(request, task_id))


@router.get(
    "/v1/tasks/{task_id}/photos/{photo_id}",
    tags=["tasks"],
    summary="Fetch a photo",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
        401: _NO_TOKEN,
        404: _problem("Photo not found"),
        503: _AWAY,
    },
)
async def read_photo(request: Request, task_id: str, photo_id: str) -> Response:
    """A photo of the task as it looks: without GPS, dates, and whatever else is not needed to show it.

    Not found, too, is a photo that is so damaged that its picture cannot be told from what it says of people and
    places.
    """
    task = await _own_task(request, task_id)
    row = next((row for row in task["photos"] if row["photoID"] == photo_id), None)
    if row is None:
        raise Problem(404, "Photo not found")
    try:
        opening = request.state.shown_photos.open_listed(row, task["userID"] or "")
        photo = await unless_client_leaves(request.receive, opening)
    except PhotoNotFoundError:
        raise Problem(404, "Photo not found") from None
    except UnreadableError:
        raise Problem(404, "The photo is damaged and cannot be shown.") from None
    return StreamingResponse(
        photo.chunks,
        media_type=photo.media_type,
        headers={
            "Content-Length": str(photo.size),
            # It may be a page or a script too: opened in a browser, it is a download that can do nothing.
            "Content-Disposition": "attachment",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "no-store",
        },
    )


@router.get(
    "/v1/account/export",
    tags=["accounts"],
    summary="Take everything along",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A ZIP archive: profile.json, tasks.json, and a folder of photos for each task",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        401: _NO_TOKEN,
        503: _AWAY,
    },
)
async def export_account(request: Request) -> StreamingResponse:
    """Everything that is kept of the caller: profile, tasks with their reports, photos. A token is always needed."""
    identity = await request.state.access.person(request)
    export: Export = request.state.export
    user_ids = sorted(identity.user_ids)
    profiles = await request.state.profiles.stored(user_ids)
    return StreamingResponse(
        export.archive(user_ids, profiles),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{ARCHIVE}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )


async def _account(request: Request, caller: Caller, user_id: str) -> str:
    """The caller's account; without a token, the one that the name leads to. Raises :class:`Problem` 403 for none."""
    if caller.identity is not None and caller.identity.account is not None:
        return caller.identity.account
    account: str = await request.state.accounts.named(user_id)
    return account


def _place(task: Mapping[str, Any]) -> tuple[bool, datetime, str]:
    """Where a task stands in a list: by time, and last those whose time is unknown."""
    created: datetime | None = task["createdAt"]
    return created is not None, created or datetime.min.replace(tzinfo=UTC), task["taskID"]


async def _own_task(request: Request, task_id: str) -> Mapping[str, Any]:
    caller = await request.state.access.caller(request)
    task: Mapping[str, Any] | None = await request.state.store.find_task(task_id)
    if task is None or not caller.owns(task["userID"]):
        raise Problem(404, "Task not found")
    return task


def _task(row: Mapping[str, Any]) -> Task:
    return Task(
        taskID=row["taskID"],
        title=row["title"],
        type=row["type"],
        state=row["state"] or "draft",
        decision=row["decision"],
        closedResult=row["closedResult"],
        insideTemp=row["insideTemp"],
        outsideTemp=row["outsideTemp"],
        createdAt=row["createdAt"],
        updatedAt=row["updatedAt"],
        jobId=row["jobID"],
        report=row["report"],
        photos=tuple(TaskPhoto(photoID=p["photoID"], kind=p["kind"], name=p["name"]) for p in row["photos"]),
    )


def _cursor_after(task: Mapping[str, Any]) -> str:
    """``createdAt~taskID``, the time without a zone: a ``+`` in it would be a space to careless clients."""
    created: datetime | None = task["createdAt"]
    return f"{created.replace(tzinfo=None).isoformat() if created else ''}~{task['taskID']}"


def _cursor(before: str | None) -> tuple[datetime | None, str] | None:
    if before is None:
        return None
    created, separator, task_id = before.partition("~")
    try:
        if not separator:
            raise ValueError("no separator")
        return datetime.fromisoformat(created).replace(tzinfo=UTC) if created else None, task_id
    except ValueError:
        raise Problem(422, "'before' must be the 'next' of an earlier page.") from None
