"""The HTTP APIs that tasks offers to analysis, and auth to tasks, and to nobody else.

The caller proves itself with ``Authorization: Bearer <SERVICE_TOKEN>``. The gateway forwards none of these paths.
An answer 410 means that the job has ended or was replaced meanwhile: there is nothing left to do for it.
"""

from contracts.wire import Wire

PROFILE_PATH = "/internal/profile"  # auth, GET ?userID=: contracts.public.Profile, or 404
PHOTO_PATH = "/internal/jobs/{job_id}/photos/{photo_id}"  # GET: the bytes as they were uploaded
REPORT_PICTURES_PATH = "/internal/jobs/{job_id}/pictures/{name}"  # PUT: the bytes of a picture -> StoredPicture


class StoredPicture(Wire):
    """Where a picture of a report was stored; it becomes visible when AnalysisCompleted names it."""

    photo_id: str
