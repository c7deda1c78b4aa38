"""From TaskSubmitted to its end, against a stand-in for tasks that speaks real HTTP."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pebble import ProcessExpired

from contracts.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisStarted,
    Envelope,
    Household,
    Photo,
    PhotoKind,
    TaskSubmitted,
    TaskType,
)
from contracts.reports import Report, Severity
from contracts.topology import ANALYSIS_SUBMISSIONS
from services.analysis import photos as photos_module
from services.analysis.analyser import Analysis, AnalysisRequest, UnusablePhotosError
from services.analysis.mock import MockAnalyser
from services.analysis.photos import PhotoExchange
from services.analysis.submissions import GAVE_UP, LOST, TOO_SLOW, Submissions
from services.chassis.correlation import correlated
from services.chassis.messaging.broker import Consumer, PublishError
from services.chassis.metrics import Metrics
from tests.brokers import RecordingBroker
from tests.loopback import served

TOKEN = "a-token-between-services"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class TasksServer:
    """What analysis sees of tasks: photos to fetch, and pictures that it stores."""

    url: str = ""
    photos: dict[str, bytes] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    fetching: int | None = None  # a status to answer fetches with
    storing: int | None = None
    requests: list[web.BaseRequest] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.hold:
            await self.hold.wait()
        if self.fetching:
            return web.Response(status=self.fetching)
        body = self.photos.get(request.match_info["photo_id"])
        return web.Response(status=404) if body is None else web.Response(body=body)

    async def store(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.storing:
            return web.Response(status=self.storing)
        name = request.match_info["name"]
        self.pictures[name] = await request.read()
        assert request.headers["Content-Length"] == str(len(self.pictures[name]))
        return web.json_response({"photo_id": f"stored-{name}"})


@dataclass
class FakeAnalyser:
    """Does what a test wants, and remembers what it was given."""

    act: Callable[[AnalysisRequest], Any]
    requests: list[AnalysisRequest] = field(default_factory=list)
    name: str = "fake"
    version: str = "1"

    async def analyse(self, request: AnalysisRequest) -> Analysis:
        self.requests.append(request)
        result = self.act(request)
        if asyncio.iscoroutine(result):
            result = await result
        assert isinstance(result, Analysis)
        return result

    async def close(self) -> None: ...


def report(task_id: str) -> Report:
    return Report(
        taskID=task_id,
        leakSeverity=Severity.LOW,
        energyLossValue=1.5,
        energyLossCost=None,
        savingsPercent=None,
        savingsCost=None,
        imagePath=None,
        thumbPath=None,
        suggestions=(),
    )


def draws(request: AnalysisRequest) -> Analysis:
    image, thumbnail = request.scratch / "report.jpg", request.scratch / "thumbnail.jpg"
    image.write_bytes(b"report picture " * 100_000)
    thumbnail.write_bytes(b"thumbnail")
    return Analysis(report(request.task_id), image, thumbnail)


def raises(error: Exception) -> Callable[[AnalysisRequest], Any]:
    def act(_: AnalysisRequest) -> Any:
        raise error

    return act


@pytest.fixture
def broker() -> RecordingBroker:
    return RecordingBroker()


@pytest.fixture
async def tasks() -> AsyncIterator[TasksServer]:
    server = TasksServer()
    app = web.Application(client_max_size=2**24)
    app.router.add_get("/internal/jobs/{job_id}/photos/{photo_id}", server.fetch)
    app.router.add_put("/internal/jobs/{job_id}/pictures/{name}", server.store)
    async with served(app) as server.url:
        yield server


@pytest.fixture
async def exchange(tasks: TasksServer) -> AsyncIterator[PhotoExchange]:
    async with aiohttp.ClientSession() as http:
        yield PhotoExchange(http, tasks.url, TOKEN)


@pytest.fixture(autouse=True)
def scratch_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made; empty again after every test."""
    root = tmp_path / "scratch"
    root.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    return root


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def photo(name: str = "obs0_rgb.jpg", photo_id: str = "p0", kind: PhotoKind = PhotoKind.RGB) -> Photo:
    return Photo(photo_id=photo_id, kind=kind, observation=0, name=name, media_type="image/jpeg", size=3)


def submitted(*photos: Photo, job_id: str = "job-1") -> TaskSubmitted:
    return TaskSubmitted(
        job_id=job_id,
        task_id="task-1",
        task_type=TaskType.DOOR,
        inside_temp_f=71.5,
        outside_temp_f=35.0,
        household=Household(zip_code="15213"),
        photos=photos,
    )


def outcomes(broker: RecordingBroker) -> list[str]:
    return [envelope.type.split(".")[-2] for envelope in broker.published]


# ── how a submission ends ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_submission_is_started_analysed_and_completed_in_that_order(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, scratch_root: Path
) -> None:
    tasks.photos = {"p0": b"colour" * 200_000, "p1": b"thermal"}
    seen: dict[str, bytes] = {}

    def act(request: AnalysisRequest) -> Analysis:
        assert outcomes(broker) == ["started"]
        seen.update({p.name: p.path.read_bytes() for p in request.photos})
        return draws(request)

    analyser = FakeAnalyser(act)
    thermal = photo("obs0_thermal.png", "p1", PhotoKind.THERMAL)
    await Submissions(broker, exchange, analyser).handle(submitted(photo(), thermal))
    assert seen == {"obs0_rgb.jpg": tasks.photos["p0"], "obs0_thermal.png": b"thermal"}
    (request,) = analyser.requests
    assert (request.task_id, request.job_id, request.task_type) == ("task-1", "job-1", TaskType.DOOR)
    assert (request.inside_temp_f, request.outside_temp_f) == (71.5, 35.0)
    assert request.household == Household(zip_code="15213")
    assert [(p.kind, p.path.suffix) for p in request.photos] == [(PhotoKind.RGB, ".jpg"), (PhotoKind.THERMAL, ".png")]
    assert outcomes(broker) == ["started", "completed"]
    (completed,) = broker.events(AnalysisCompleted)
    assert completed == AnalysisCompleted(
        job_id="job-1", report=report("task-1"), image_id="stored-image", thumbnail_id="stored-thumbnail"
    )
    assert tasks.pictures == {"image": b"report picture " * 100_000, "thumbnail": b"thumbnail"}
    assert left_in(scratch_root) == []


async def test_every_request_to_tasks_proves_itself_and_carries_the_trace(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    tasks.photos = {"p0": b"x"}
    with correlated(TRACE) as trace_id:
        await Submissions(broker, exchange, FakeAnalyser(draws)).handle(submitted(photo()))
    assert len(tasks.requests) == 3
    for request in tasks.requests:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["traceparent"].split("-")[1] == trace_id
    assert all((e.traceparent or "").split("-")[1] == trace_id for e in broker.published)


async def test_a_report_without_pictures_stores_none(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    analyser = FakeAnalyser(lambda request: Analysis(report(request.task_id), None))
    await Submissions(broker, exchange, analyser).handle(submitted())
    (completed,) = broker.events(AnalysisCompleted)
    assert (completed.image_id, completed.thumbnail_id, tasks.requests) == (None, None, [])


async def failed(broker: RecordingBroker, exchange: PhotoExchange, analyser: FakeAnalyser, *photos: Photo) -> str:
    await Submissions(broker, exchange, analyser).handle(submitted(*photos))
    assert outcomes(broker) == ["started", "failed"]
    (event,) = broker.events(AnalysisFailed)
    assert event.job_id == "job-1"
    return event.reason


async def test_a_lost_photo_ends_the_job_with_a_sentence(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    tasks.photos = {"p0": b"x"}
    analyser = FakeAnalyser(draws)
    assert await failed(broker, exchange, analyser, photo(), photo(photo_id="gone")) == LOST
    assert analyser.requests == []


async def test_unusable_photos_end_the_job_with_the_analysers_sentence(
    broker: RecordingBroker, exchange: PhotoExchange
) -> None:
    sentence = "The photo obs0_rgb.jpg is no picture."
    assert await failed(broker, exchange, FakeAnalyser(raises(UnusablePhotosError(sentence)))) == sentence


async def test_an_analysis_at_its_time_limit_ends_the_job_instead_of_hanging_again(
    broker: RecordingBroker, exchange: PhotoExchange
) -> None:
    assert await failed(broker, exchange, FakeAnalyser(raises(TimeoutError("Task timeout", 30.0)))) == TOO_SLOW


@pytest.mark.parametrize("status", [404, 410])
async def test_a_job_that_ended_while_it_was_analysed_is_left_alone(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, status: int
) -> None:
    tasks.storing = status
    await Submissions(broker, exchange, FakeAnalyser(draws)).handle(submitted())
    assert outcomes(broker) == ["started", "failed"], "so tasks knows that analysis is done with it"


async def test_a_job_that_has_ended_before_is_not_analysed(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    tasks.fetching = 410
    analyser = FakeAnalyser(draws)
    await Submissions(broker, exchange, analyser).handle(submitted(photo()))
    assert (outcomes(broker), analyser.requests) == (["started", "failed"], [])


# ── what is tried again ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [401, 500, 502, 503])
@pytest.mark.parametrize("step", ["fetching", "storing"])
async def test_while_tasks_answers_with_errors_the_delivery_is_tried_again(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, step: str, status: int, scratch_root: Path
) -> None:
    tasks.photos = {"p0": b"x"}
    setattr(tasks, step, status)
    with pytest.raises(aiohttp.ClientError):
        await Submissions(broker, exchange, FakeAnalyser(draws)).handle(submitted(photo()))
    assert outcomes(broker) == ["started"]
    assert left_in(scratch_root) == []


async def test_while_tasks_is_away_the_delivery_is_tried_again(broker: RecordingBroker, unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as http:
        away = PhotoExchange(http, f"http://127.0.0.1:{unused_tcp_port}", TOKEN)
        with pytest.raises(aiohttp.ClientError):
            await Submissions(broker, away, FakeAnalyser(draws)).handle(submitted(photo()))
    assert outcomes(broker) == ["started"]


async def test_while_tasks_hangs_the_delivery_is_tried_again_and_no_analysis_is_blamed(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos_module, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    tasks.hold = asyncio.Event()
    with pytest.raises(TimeoutError):
        await Submissions(broker, exchange, FakeAnalyser(draws)).handle(submitted(photo()))
    assert outcomes(broker) == ["started"]


async def test_a_photo_that_breaks_off_is_not_analysed(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    app = web.Application()
    app.router.add_get("/internal/jobs/{job_id}/photos/{photo_id}", break_off)
    analyser = FakeAnalyser(draws)
    async with served(app) as url, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await Submissions(broker, PhotoExchange(http, url, TOKEN), analyser).handle(submitted(photo()))
    assert analyser.requests == []


async def test_a_worker_that_died_is_tried_again(
    broker: RecordingBroker, exchange: PhotoExchange, scratch_root: Path
) -> None:
    with pytest.raises(ProcessExpired):
        await Submissions(broker, exchange, FakeAnalyser(raises(ProcessExpired("died", -11)))).handle(submitted())
    assert outcomes(broker) == ["started"]
    assert left_in(scratch_root) == []


async def test_while_the_broker_is_away_nothing_is_analysed(broker: RecordingBroker, exchange: PhotoExchange) -> None:
    broker.away = True
    analyser = FakeAnalyser(draws)
    with pytest.raises(PublishError):
        await Submissions(broker, exchange, analyser).handle(submitted())
    assert analyser.requests == []


async def test_when_all_tries_are_over_the_person_is_told(broker: RecordingBroker, exchange: PhotoExchange) -> None:
    await Submissions(broker, exchange, FakeAnalyser(draws)).give_up(submitted())
    assert broker.events(AnalysisFailed) == [AnalysisFailed(job_id="job-1", reason=GAVE_UP)]


async def test_a_worker_that_dies_every_time_ends_in_one_failure(
    broker: RecordingBroker, exchange: PhotoExchange, tmp_path: Path
) -> None:
    """Through the real rules of deliveries, with the pauses between them left out."""

    @dataclass
    class Delivery:
        body: bytes
        failures: int = 0
        end: str = ""

        async def ack(self) -> None:
            self.end = "acknowledged"

        async def retry(self, delay_number: int) -> None:
            self.failures, self.end = delay_number, "retried"

        async def bury(self, reason: str) -> None:
            self.end = "buried"

        async def requeue(self) -> None:
            self.end = "requeued"

    submissions = Submissions(broker, exchange, FakeAnalyser(raises(ProcessExpired("died", -11))))
    consumer = Consumer(ANALYSIS_SUBMISSIONS, submissions.handlers(), submissions.give_up, Metrics())
    delivery = Delivery(Envelope.wrap(submitted(), traceparent=None).model_dump_json().encode())
    ends = []
    while delivery.end != "buried":
        await consumer.take(delivery)  # type: ignore[arg-type]
        ends.append(delivery.end)
    assert ends == ["retried"] * len(ANALYSIS_SUBMISSIONS.retry_delays) + ["buried"]
    assert outcomes(broker) == ["started"] * len(ends) + ["failed"]


# ── the scratch folder ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_analysis_leaves_nothing_behind_and_says_nothing(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, scratch_root: Path
) -> None:
    tasks.photos = {"p0": b"x"}
    begun = asyncio.Event()

    async def endless(request: AnalysisRequest) -> Analysis:
        (request.scratch / "half a picture").write_bytes(b"x")
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    handling = asyncio.ensure_future(Submissions(broker, exchange, FakeAnalyser(endless)).handle(submitted(photo())))
    await begun.wait()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert left_in(scratch_root) == []
    assert outcomes(broker) == ["started"]


async def test_a_cancelled_fetch_leaves_nothing_behind(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, scratch_root: Path
) -> None:
    tasks.hold = asyncio.Event()
    handling = asyncio.ensure_future(Submissions(broker, exchange, FakeAnalyser(draws)).handle(submitted(photo())))
    async with asyncio.timeout(10):
        while not tasks.requests:
            await asyncio.sleep(0.005)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert left_in(scratch_root) == []


async def test_jobs_at_the_same_time_have_folders_of_their_own(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, scratch_root: Path
) -> None:
    tasks.photos = {"p0": b"x"}
    gathered = asyncio.Barrier(8)

    async def together(request: AnalysisRequest) -> Analysis:
        await gathered.wait()
        return draws(request)

    analyser = FakeAnalyser(together)
    submissions = Submissions(broker, exchange, analyser)
    await asyncio.gather(*(submissions.handle(submitted(photo(), job_id=f"job-{n}")) for n in range(8)))
    assert len({request.scratch for request in analyser.requests}) == 8
    assert sorted(e.job_id for e in broker.events(AnalysisCompleted)) == [f"job-{n}" for n in range(8)]
    assert len(broker.events(AnalysisStarted)) == 8
    assert left_in(scratch_root) == []


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("obs0_rgb.JPEG", ".jpeg"),
        ("obs0_rgb", ""),
        ("../../etc/passwd", ""),
        ("/etc/cron.d/x.sh", ".sh"),
        ("a.jpg/../../b", ""),
        ("a.\x00jpg", ""),
        ("a.jpg\n", ".jpg"),
        ("a.jp g", ""),
        ("a." + "x" * 10_000, ""),
        (".htaccess", ""),
        ("a.jpg; rm -rf ~", ""),
        ("…." * 50, ""),
        ("", ""),
        ("..", ""),
    ],
)
async def test_of_a_file_name_no_more_than_a_plain_extension_reaches_the_disk(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange, name: str, suffix: str
) -> None:
    tasks.photos = {"p0": b"x"}
    names: list[str] = []

    def act(request: AnalysisRequest) -> Analysis:
        names.extend(path.name for path in request.scratch.iterdir())
        return Analysis(report(request.task_id), None)

    analyser = FakeAnalyser(act)
    await Submissions(broker, exchange, analyser).handle(submitted(photo(name)))
    assert names == [f"photo-0{suffix}"]
    assert analyser.requests[0].photos[0].name == name, "messages name it as the app did"


async def test_a_photo_that_is_listed_twice_is_given_twice(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    tasks.photos = {"p0": b"x"}
    analyser = FakeAnalyser(lambda request: Analysis(report(request.task_id), None))
    await Submissions(broker, exchange, analyser).handle(submitted(photo(), photo()))
    assert len({p.path for p in analyser.requests[0].photos}) == 2


# ── the mock ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_mock_writes_the_old_backends_constants(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    tasks.photos = {"p0": b"thermal", "p1": b"first colour", "p2": b"second colour"}
    listed = (photo("obs0_thermal.jpg", "p0", PhotoKind.THERMAL), photo(photo_id="p1"), photo(photo_id="p2"))
    await Submissions(broker, exchange, MockAnalyser(0)).handle(submitted(*listed))
    (completed,) = broker.events(AnalysisCompleted)
    said = json.loads(completed.report.model_dump_json())
    ids = [suggestion.pop("suggestionID") for suggestion in said["suggestions"]]
    assert 1 <= len(ids) <= 5
    assert len(set(ids)) == len(ids)
    assert {name: said[name] for name in list(said)[:9]} == {
        "taskID": "task-1",
        "leakSeverity": "Moderate",
        "energyLossValue": 15.8,
        "energyLossCost": 142.0,
        "savingsPercent": 19.0,
        "savingsCost": 31.0,
        "imagePath": "task-1_analysis_image.jpg",
        "thumbPath": "task-1_analysis_image.jpg",
        "suggestions": [
            {
                "title": "Weatherstripping",
                "subtitle": "Seal around window frame",
                "difficulty": "Easy",
                "costRange": "$10–20",
                "estimatedReduction": "50–70%",
                "lifetime": "3–5 years",
                "source": None,
            }
        ]
        * len(ids),
    }
    assert tasks.pictures == {"image": b"first colour"}


async def test_the_mock_shows_a_thermal_photo_when_there_is_no_other(
    broker: RecordingBroker, tasks: TasksServer, exchange: PhotoExchange
) -> None:
    tasks.photos = {"p0": b"thermal"}
    await Submissions(broker, exchange, MockAnalyser(0)).handle(submitted(photo(kind=PhotoKind.THERMAL)))
    assert tasks.pictures == {"image": b"thermal"}


async def test_the_mock_needs_no_photo(broker: RecordingBroker, exchange: PhotoExchange) -> None:
    await Submissions(broker, exchange, MockAnalyser(0)).handle(submitted())
    (completed,) = broker.events(AnalysisCompleted)
    assert (completed.image_id, completed.report.imagePath) == (None, None)


async def test_the_mock_says_the_same_again_for_the_same_job(exchange: PhotoExchange) -> None:
    reports = []
    for job_id in ("job-1", "job-1", "job-2"):
        broker = RecordingBroker()
        await Submissions(broker, exchange, MockAnalyser(0)).handle(submitted(job_id=job_id))
        reports.append(broker.events(AnalysisCompleted)[0].report)
    assert reports[0] == reports[1]
    assert reports[0] != reports[2], "two tasks' suggestions have ids of their own"
