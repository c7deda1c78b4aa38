"""The HTTP APIs that tasks offers to analysis, and auth to tasks, and to nobody else.

The caller proves itself with ``Authorization: Bearer <SERVICE_TOKEN>``. The gateway forwards none of these paths.
An answer 410 means that the job has ended or was replaced meanwhile: there is nothing left to do for it.
"""

from typing import Annotated

from pydantic import Field

from contracts.events import Household
from contracts.wire import Wire

PROFILE_PATH = "/internal/profile"  # auth, GET ?userID=: contracts.public.Profile, or 404
HOUSEHOLD_PATH = "/internal/household"  # auth, GET ?userID=: NewestHousehold
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
