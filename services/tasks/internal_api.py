"""The routes that only analysis may use; see :mod:`contracts.internal`. The gateway forwards none of them."""

import asyncio
import hashlib

from fastapi import APIRouter, Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from contracts.internal import PHOTO_PATH, REPORT_PICTURES_PATH, StoredPicture
from services.chassis.access import only_services
from services.chassis.problems import Problem
from services.tasks.photos.store import PhotoMetadata, PhotoNotFoundError, new_photo_id
from services.tasks.pictures import HEAD_BYTES, media_type
from services.tasks.report_pictures import ReportPictures, raise_if_ended

router = APIRouter(include_in_schema=False, dependencies=[Depends(only_services)])


@router.get(PHOTO_PATH)
async def read_job_photo(request: Request, job_id: str, photo_id: str) -> StreamingResponse:
    """The bytes of a photo that was submitted with a job that has not ended."""
    photo = await request.state.store.find_job_photo(job_id, photo_id)
    if photo is None:
        job = await request.state.store.find_job(job_id)
        raise_if_ended(None if job is None else job["state"])
        raise Problem(404, "Photo not found")
    raise_if_ended(photo["jobState"])
    try:
        stored = await request.state.photos.open(photo_id)
    except PhotoNotFoundError:
        raise Problem(404, "Photo not found") from None
    return StreamingResponse(
        stored.chunks, media_type="application/octet-stream", headers={"Content-Length": str(stored.size)}
    )


@router.put(REPORT_PICTURES_PATH)
async def store_picture(request: Request, job_id: str, name: str) -> StoredPicture:
    """Store a picture of a report. Nothing refers to it until AnalysisCompleted does; without that it is swept."""
    photo_id = new_photo_id()
    pictures: ReportPictures = request.state.report_pictures
    await pictures.begin(photo_id, job_id)
    writer = request.state.photos.writer(photo_id, PhotoMetadata(f"{job_id}_{name}"))
    digest, head, size = hashlib.sha256(), b"", 0
    try:
        async for data in request.stream():
            size += len(data)
            if size > request.state.limits.photo_bytes:
                raise Problem(413, "The picture is too large.")
            head += data[: HEAD_BYTES - len(head)] if len(head) < HEAD_BYTES else b""
            digest.update(data)
            await writer.write(data)
        found = media_type(head)
        if found is None:
            raise Problem(422, "Not a picture.")
        await writer.end(found, digest.hexdigest())
        await request.state.photos.publish([writer])
        # Last: the job may have ended during the upload. When it ends later, the sweeper finds the picture listed.
        await pictures.finish(photo_id, job_id, size)
    except BaseException as error:
        await asyncio.shield(writer.abort())
        if isinstance(error, ClientDisconnect):
            raise Problem(400, "The upload broke off.") from error
        raise
    return StoredPicture(photo_id=photo_id)
