"""The events that travel between services: CloudEvents 1.0 in JSON, with versioned types.

Within a version fields are only ever added, with a default, and readers ignore what they do not know
(:class:`contracts.wire.Wire`). A change that readers could not ignore is a new version: a new class with a new
``TYPE``, published beside the old one until nobody reads that.

Delivery is at least once and in no particular order, so each event carries what its reader needs to recognise a
repetition: a job's id, a profile's version, or the time that it is about.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import uuid4

from pydantic import AwareDatetime, Field

from contracts.reports import Report
from contracts.wire import Wire


class TaskType(StrEnum):
    """What was photographed. Spaces around a value and capitals make no difference to a reader."""

    WINDOW = "window"
    DOOR = "door"
    WALL = "wall"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        folded = value.strip().casefold() if isinstance(value, str) else None
        return next((member for member in cls if member.value == folded), None)


class PhotoKind(StrEnum):
    """How a photo was taken, as its file name claims."""

    RGB = "rgb"
    THERMAL = "thermal"


class Household(Wire):
    """What is known of the submitter's home; every field may be missing.

    ``ownership`` is ``Own`` or ``Rent``; ``retrofit_budget`` one of the app's phrases (``up to $200``,
    ``up to $1000``, ``up to $5000``, ``show me all retrofits``). Both are free text in old profiles.
    """

    zip_code: str | None = None
    ownership: str | None = None
    energy_company: str | None = None
    retrofit_budget: str | None = None
    appliances: tuple[str, ...] = ()


class Photo(Wire):
    """A stored photo that a submission points at; the bytes are fetched from tasks (claim check)."""

    photo_id: str
    kind: PhotoKind
    observation: Annotated[int, Field(ge=0)]
    name: str
    media_type: str
    size: Annotated[int, Field(ge=0, description="bytes")]


class EventData(Wire):
    """The payload of an event. ``TYPE`` is its versioned name on the wire, ``SOURCE`` the service that says it."""

    TYPE: ClassVar[str]
    SOURCE: ClassVar[str]

    @property
    def subject(self) -> str:
        """The id of what the event is about; events on one subject concern one thing."""
        raise TypeError(f"{type(self).__name__} names no subject")


class TaskSubmitted(EventData):
    """A submission is stored, with its photos, and waits for its analysis."""

    TYPE = "home-energy-audit.task.submitted.v1"
    SOURCE = "/services/tasks"

    job_id: str
    task_id: str
    task_type: TaskType | None = None
    inside_temp_f: float | None = Field(None, description="°F")
    outside_temp_f: float | None = Field(None, description="°F")
    household: Household | None = None
    photos: tuple[Photo, ...] = ()

    @property
    def subject(self) -> str:
        """The job."""
        return self.job_id


class AnalysisStarted(EventData):
    """A worker has begun; the job shows as processing."""

    TYPE = "home-energy-audit.analysis.started.v1"
    SOURCE = "/services/analysis"

    job_id: str

    @property
    def subject(self) -> str:
        """The job."""
        return self.job_id


class AnalysisCompleted(EventData):
    """The report is ready, and its pictures lie in the photo store under the ids given."""

    TYPE = "home-energy-audit.analysis.completed.v1"
    SOURCE = "/services/analysis"

    job_id: str
    report: Report
    image_id: str | None = None
    thumbnail_id: str | None = None

    @property
    def subject(self) -> str:
        """The job."""
        return self.job_id


class AnalysisFailed(EventData):
    """There will be no report; ``reason`` is a sentence for the person who waits."""

    TYPE = "home-energy-audit.analysis.failed.v1"
    SOURCE = "/services/analysis"

    job_id: str
    reason: str

    @property
    def subject(self) -> str:
        """The job."""
        return self.job_id


class ProfileUpdated(EventData):
    """A user's profile as it stands after a change. ``version`` grows with each change; the highest wins."""

    TYPE = "home-energy-audit.profile.updated.v1"
    SOURCE = "/services/auth"

    user_id: str
    version: Annotated[int, Field(ge=1)]
    household: Household

    @property
    def subject(self) -> str:
        """The user."""
        return self.user_id


class AccountBound(EventData):
    """Names lead to this account from now on: at its owner's first sign-in, and when an address changes hands.

    Of several events about one name the highest version holds. ``user_id`` is the account's id, as everywhere.
    """

    TYPE = "home-energy-audit.account.bound.v1"
    SOURCE = "/services/auth"

    user_id: str
    names: tuple[str, ...]
    version: Annotated[int, Field(ge=1)]

    @property
    def subject(self) -> str:
        """The account."""
        return self.user_id


class SignedOut(EventData):
    """A person has signed out everywhere: no token counts any more that was issued by then."""

    TYPE = "home-energy-audit.account.signed-out.v1"
    SOURCE = "/services/auth"

    user_id: str
    until: Annotated[int, Field(ge=0, description="Unix time in seconds of the last token that does not count")]

    @property
    def subject(self) -> str:
        """The user."""
        return self.user_id


class AccountDeleted(EventData):
    """A person has deleted the account: whatever is kept of it from before that time is to be erased for good.

    The same person may open a new account later. ``profile_version`` is the highest of the old one's profiles: no
    ProfileUpdated up to it may bring a household back, and those of a new account are higher. ``signed_out_until`` is
    that of the sign-out that comes with the deletion: what was done with a token that was issued by then was done with
    the old account, whenever it was. ``names_version`` is the highest of the names that led to the account: no
    AccountBound up to it may bring one back.
    """

    TYPE = "home-energy-audit.account.deleted.v1"
    SOURCE = "/services/auth"

    user_id: str
    deleted_at: AwareDatetime
    profile_version: Annotated[int, Field(ge=0)]
    signed_out_until: Annotated[
        int, Field(ge=0, description="Unix time in seconds of the last token that does not count")
    ] = 0
    names_version: Annotated[int, Field(ge=0)] = 0

    @property
    def subject(self) -> str:
        """The user."""
        return self.user_id


EVENTS: tuple[type[EventData], ...] = (
    TaskSubmitted,
    AnalysisStarted,
    AnalysisCompleted,
    AnalysisFailed,
    ProfileUpdated,
    AccountBound,
    SignedOut,
    AccountDeleted,
)


class Envelope(Wire):
    """A CloudEvents 1.0 envelope around any event.

    ``id`` is the same on every delivery of the same event. ``traceparent`` (W3C Trace Context, as CloudEvents'
    distributed-tracing extension names it) carries the correlation id from the request that caused the event.
    """

    specversion: Literal["1.0"] = "1.0"
    id: str
    type: str
    source: str
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    data: dict[str, Any]

    @classmethod
    def wrap(cls, data: EventData, *, traceparent: str | None) -> Self:
        """Put ``data`` into a new envelope, with a new id and the present time."""
        return cls(
            id=str(uuid4()),
            type=data.TYPE,
            source=data.SOURCE,
            subject=data.subject,
            time=datetime.now(UTC),
            traceparent=traceparent,
            data=data.model_dump(mode="json"),
        )
