"""The public HTTP API: what the published app sends, and what it gets.

Names are camelCase (and as uneven) as the app's. Requests are read leniently where the old backend was lenient;
free text is bounded by what the database holds.
"""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from contracts.reports import Report
from contracts.wire import Wire

# An e-mail address has at most 254 characters (RFC 5321, 4.5.3.1.3), Google's subject 255.
UserId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


class LoginRequest(Wire):
    """An ID token of a trusted issuer, and the account that it should open: its e-mail address (or its subject)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id_token": "eyJhbGciOi…", "uid": "someone@example.com"}]},
    )

    id_token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8192)]
    uid: UserId


class SignInIssuer(Wire):
    """Somebody who signs people in for us (OpenID Connect)."""

    issuer: str = Field(description="as its tokens name it in `iss`")
    clientIds: tuple[str, ...] = Field(description="what its tokens must be made for")  # noqa: N815
    discovery: str | None = Field(description="where the issuer describes itself")
    developmentTokenUrl: str | None = Field(  # noqa: N815
        None, description="where a backend for development signs tokens in the issuer's place"
    )


class SignInOptions(Wire):
    """Whom one can sign in with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "issuers": [
                        {
                            "issuer": "https://accounts.google.com",
                            "clientIds": ["1234.apps.googleusercontent.com"],
                            "discovery": "https://accounts.google.com/.well-known/openid-configuration",
                            "developmentTokenUrl": None,
                        }
                    ]
                }
            ]
        }
    )

    issuers: tuple[SignInIssuer, ...]


class LoginAnswer(Wire):
    """The account is open; ``access_token`` may be sent as Bearer from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "success",
                    "user_id": "someone@example.com",
                    "action": "created",
                    "access_token": "eyJhbGciOi…",
                    "token_type": "Bearer",
                    "expires_in": 3600,
                }
            ]
        }
    )

    status: Literal["success"] = "success"
    user_id: str
    action: Literal["created", "exists"]
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - not a secret
    expires_in: int = Field(description="seconds")


class ProfileUpdate(Wire):
    """What changed in a profile; an absent or null field leaves the stored value alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userID": "someone@example.com",
                    "zip": "15213",
                    "ownership": "Rent",
                    "electricCompany": "Duquesne Light",
                    "budget": "up to $200",
                    "appliances": ["Window AC", "Fridge/Freezer"],
                }
            ]
        }
    )

    userID: UserId  # noqa: N815 - the app's name
    zip: Annotated[str, StringConstraints(strip_whitespace=True, max_length=16)] | None = Field(
        None,
        description="a US ZIP code (`02134`, `02134-1234`); a report says which climate it took, and why when no state "
        "can be told",
    )
    ownership: Annotated[str, StringConstraints(max_length=100)] | None = Field(None, examples=["Own", "Rent"])
    electricCompany: Annotated[str, StringConstraints(max_length=255)] | None = None  # noqa: N815
    budget: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        None, examples=["up to $200", "up to $1000", "up to $5000", "show me all retrofits"]
    )
    appliances: (
        Annotated[tuple[Annotated[str, StringConstraints(max_length=100)], ...], Field(max_length=50)] | None
    ) = None


class ProfileUpdateAnswer(Wire):
    """The profile is stored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "profile updated", "userID": "someone@example.com"}]}
    )

    status: Literal["profile updated"] = "profile updated"
    userID: str  # noqa: N815


class Profile(Wire):
    """A profile as it is stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userID": "someone@example.com",
                    "zipCode": "15213",
                    "ownership": "Rent",
                    "energyCompany": "Duquesne Light",
                    "retrofitBudget": "up to $200",
                    "appliances": ["Window AC", "Fridge/Freezer"],
                    "createdAt": "2026-01-15T17:12:15.011967Z",
                    "updatedAt": "2026-01-15T17:13:02.420000Z",
                }
            ]
        }
    )

    userID: str  # noqa: N815
    zipCode: str | None = None  # noqa: N815
    ownership: str | None = None
    energyCompany: str | None = None  # noqa: N815
    retrofitBudget: str | None = None  # noqa: N815
    appliances: tuple[str, ...] | None = None
    createdAt: AwareDatetime | None = None  # noqa: N815
    updatedAt: AwareDatetime | None = None  # noqa: N815


class SignOutAnswer(Wire):
    """No token that was issued until now counts any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "signed out"}]})

    status: Literal["signed out"] = "signed out"


class AccountDeletionAnswer(Wire):
    """The account is closed; everything that was kept of it is being erased."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "account deleted",
                    "detail": "Your account is closed, and you are signed out everywhere. "
                    "Your tasks, photos and reports are being erased; this takes a minute or two.",
                }
            ]
        }
    )

    status: Literal["account deleted"] = "account deleted"
    detail: str = (
        "Your account is closed, and you are signed out everywhere. "
        "Your tasks, photos and reports are being erased; this takes a minute or two."
    )


class SubmissionAnswer(Wire):
    """The submission is stored for good; its job can be followed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"jobId": "0b9c5f0e-6a53-4c1e-8d0e-7f1f5c9f2a11", "status": "queued"}]}
    )

    jobId: str  # noqa: N815
    status: Literal["queued"] = "queued"


class ReportImage(Wire):
    """A picture inside a JSON answer."""

    filename: str
    data: str = Field(description="the picture's bytes in base64")


class JobUnfinished(Wire):
    """The job waits, or is being worked on: ask again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "processing"}]})

    status: Literal["queued", "processing"]


class JobFailed(Wire):
    """The job has ended without a report."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "error", "error": "obs0_thermal.jpg is damaged. Please take the photo again."}]
        }
    )

    status: Literal["error"]
    error: str = Field(description="why, in a sentence for a person")


_REPORT_EXAMPLE: JsonDict = {
    "taskID": "824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11",
    "leakSeverity": "Moderate",
    "energyLossValue": 8.0,
    "energyLossCost": 6.1,
    "savingsPercent": 75.0,
    "savingsCost": 4.6,
    "imagePath": "824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11_analysis_image.jpg",
    "thumbPath": "824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11_analysis_image.jpg",
    "suggestions": [
        {
            "suggestionID": "19d7a6a7-80e7-55cf-8a61-d5e25ffd38c0",
            "title": "Weatherstripping",
            "subtitle": "Seal the moving joints of the sash",
            "difficulty": "Easy",
            "costRange": "$10–20",
            "estimatedReduction": "35–55%",
            "lifetime": "3–5 years",
        }
    ],
}


class JobDone(Wire):
    """The job has ended with a report."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "done",
                    "report": _REPORT_EXAMPLE,
                    "image": {"filename": _REPORT_EXAMPLE["imagePath"], "data": "/9j/4AAQSkZJ…"},
                }
            ]
        }
    )

    status: Literal["done"]
    report: Report
    image: ReportImage | None


class TaskPhoto(Wire):
    """A photo of a task; its bytes are at `/v1/tasks/{task_id}/photos/{photo_id}`."""

    photoID: str  # noqa: N815
    kind: Literal["rgb", "thermal", "report", "thumbnail"]
    name: str


class Task(Wire):
    """A task as it is stored, with the report of its newest submission."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "taskID": "824389a5-6a5e-4b0c-9a53-0f7d5c1f2e11",
                    "title": "North window",
                    "type": "window",
                    "state": "open",
                    "decision": None,
                    "closedResult": None,
                    "insideTemp": 71.0,
                    "outsideTemp": 35.0,
                    "createdAt": "2026-01-15T17:12:15.011967Z",
                    "updatedAt": "2026-01-15T17:12:17.300000Z",
                    "jobId": "0b9c5f0e-6a53-4c1e-8d0e-7f1f5c9f2a11",
                    "report": _REPORT_EXAMPLE,
                    "photos": [{"photoID": "6968f0a10123456789abcdef", "kind": "thermal", "name": "obs0_thermal.jpg"}],
                }
            ]
        }
    )

    taskID: str  # noqa: N815
    title: str | None
    type: str | None
    state: str
    decision: str | None
    closedResult: str | None  # noqa: N815
    insideTemp: float | None = Field(description="°F")  # noqa: N815
    outsideTemp: float | None = Field(description="°F")  # noqa: N815
    createdAt: AwareDatetime | None  # noqa: N815
    updatedAt: AwareDatetime | None  # noqa: N815
    jobId: str | None = Field(description="the job of its newest submission")  # noqa: N815
    report: Report | None
    photos: tuple[TaskPhoto, ...]


class TaskPage(Wire):
    """A page of tasks, the newest first; ``next`` is the `before` of the page after it."""

    tasks: tuple[Task, ...]
    next: str | None


class ServiceStatus(Wire):
    """A sign of life."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "home energy audit backend is running", "service": "gateway"}]}
    )

    status: str
    service: str


class Problem(Wire):
    """An error: the ``detail`` that the app shows, beside the members of RFC 9457.

    ``detail`` is a sentence, or, for a request of the wrong form, a list with one entry per fault.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "detail": "The inside temperature must be a number in °F, such as 71.5. Please correct it.",
                    "type": "about:blank",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "correlationId": "2b064170488e9c990a520f6a8d87de60",
                }
            ]
        }
    )

    detail: str | list[dict[str, Any]]
    type: str = "about:blank"
    title: str
    status: int
    correlationId: str | None = Field(None, description="names this request in the logs")  # noqa: N815
