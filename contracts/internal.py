"""The HTTP APIs that tasks offers to analysis, and auth to tasks, and to nobody else.

The caller proves itself with ``Authorization: Bearer <SERVICE_TOKEN>``. The gateway forwards none of these paths.
An answer 410 means that the job has ended or was replaced meanwhile: there is nothing left to do for it.
"""

from typing import Annotated

from pydantic import Field

from contracts.events import Household
from contracts.public import Profile
from contracts.wire import Wire

PROFILE_PATH = "/internal/profile"  # auth, GET ?userID=<account>: KeptProfile, or 404
HOUSEHOLD_PATH = "/internal/household"  # auth, GET ?userID=<account>: NewestHousehold
# auth, POST PersonProved: the person's AccountAnswer, opened if need be, or 401 after a sign-out; GET ?name=: whom the
# name leads to.
ACCOUNT_PATH = "/internal/account"
PHOTO_PATH = "/internal/jobs/{job_id}/photos/{photo_id}"  # GET: the bytes as they were uploaded
REPORT_PICTURES_PATH = "/internal/jobs/{job_id}/pictures/{name}"  # PUT: the bytes of a picture -> StoredPicture


class StoredPicture(Wire):
    """Where a picture of a report was stored; it becomes visible when AnalysisCompleted names it."""

    photo_id: str


class NewestHousehold(Wire):
    """The household of a person's profile, and the version that ProfileUpdated has it under.

    ``household`` is None when there is no account. Version 0 is an old backend's profile, which no event has told of.
    """

    version: Annotated[int, Field(ge=0)] = 0
    household: Household | None = None


class PersonProved(Wire):
    """A person whose ID token was good; see :class:`services.chassis.people.Identity`."""

    person: str = Field(min_length=1, max_length=255)
    email: str | None = Field(None, max_length=255)
    proved_at: int = Field(ge=0)


class HeldName(Wire):
    """A name that leads to an account. Of two answers about one name the higher version holds."""

    name: str
    version: int


class AccountAnswer(Wire):
    """The account, and the names that it holds. None: nobody holds the name that was asked for."""

    account: str | None
    names: tuple[HeldName, ...] = ()


class KeptProfile(Profile):
    """What is kept of an account: the profile, and what leads to it."""

    person: str | None = Field(None, description="whose it is: the subject, or a digest of issuer and subject")
    names: tuple[str, ...] = ()
