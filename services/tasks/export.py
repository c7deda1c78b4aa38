"""Everything that is kept of a person, as one ZIP archive that is made while it is sent.

In memory are a page of tasks and a chunk of a photo, however much there is. The archive begins only when auth has
told the profile; whatever fails later cuts the answer off, so that nobody takes half an archive for all of it.
"""

import io
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from services.tasks.photos.store import PhotoNotFoundError
from services.tasks.privacy.photos import ShownPhotos
from services.tasks.privacy.work import UnreadableError
from services.tasks.store import TaskStore

ARCHIVE = "home-energy-audit.zip"

_UNPRINTABLE = re.compile(r"[^\w .()+-]")
_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "image/avif": ".avif",
    "image/tiff": ".tiff",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
}


class Export:
    """Collects what is kept of a person; user ids are given normalised."""

    def __init__(self, store: TaskStore, shown: ShownPhotos) -> None:
        self._store = store
        self._photos = shown

    async def archive(self, user_ids: Sequence[str], profiles: Sequence[Mapping[str, Any]]) -> AsyncIterator[bytes]:
        """The bytes of the archive."""
        out = _Out()
        with ZipFile(out, "w") as archive:
            archive.writestr(_entry("profile.json", ZIP_DEFLATED), _json(profiles))
            yield out.taken()
            with archive.open(_entry("tasks.json", ZIP_DEFLATED), "w", force_zip64=True) as file:
                between = b"["
                async for number, task in self._tasks(user_ids):
                    file.write(between + b"\n" + _json(_readable(number, task)))
                    between = b","
                    yield out.taken()
                file.write(b"[]\n" if between == b"[" else b"\n]\n")
            async for number, task in self._tasks(user_ids):
                for photo, name in _named(number, task):
                    async for piece in self._stored(archive, out, photo, task["userID"] or "", name):
                        yield piece
        yield out.taken()

    async def _stored(
        self, archive: ZipFile, out: "_Out", row: Mapping[str, Any], person: str, name: str
    ) -> AsyncIterator[bytes]:
        """Put a photo into the archive, as it is shown; one that is gone or damaged is left out."""
        try:
            photo = await self._photos.open_listed(row, person)
        except (PhotoNotFoundError, UnreadableError):
            return
        if not PurePosixPath(name).suffix:
            name += _EXTENSIONS.get(photo.media_type, "")
        with archive.open(_entry(name, ZIP_STORED), "w", force_zip64=True) as file:
            async for chunk in photo.chunks:
                file.write(chunk)
                yield out.taken()

    async def _tasks(self, user_ids: Sequence[str]) -> AsyncIterator[tuple[int, Mapping[str, Any]]]:
        """Each task of the person with what belongs to it, numbered from 1."""
        number = 0
        async for task in self._store.everything_of(user_ids):
            number += 1
            yield number, task


class _Out(io.RawIOBase):
    """Where the archive is written: what has been written is taken away again and again."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


def _entry(name: str, compression: int) -> ZipInfo:
    entry = ZipInfo(name, datetime.now(UTC).timetuple()[:6])
    entry.compress_type = compression
    entry.external_attr = 0o600 << 16
    return entry


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_text).encode()


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_LISTS = frozenset({"RGBphotoIDs", "thermalPhotoIDs", "reportPhotoID"})  # ids inside our photo store


def _readable(number: int, task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as a person reads it: without what only we need, with the names of its photos in the archive."""
    names = [name for _, name in _named(number, task)]
    return {
        **{name: value for name, value in task.items() if name not in _LISTS},
        "jobs": [
            {name: job[name] for name in ("jobID", "state", "error", "report", "submittedAt", "endedAt")}
            for job in task["jobs"]
        ],
        "suggestions": [{k: v for k, v in row.items() if k != "taskID"} for row in task["suggestions"]],
        "photos": names,
    }


def _named(number: int, task: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    """The task's photos, each with a name of its own: ``photos/<number> <title>/<name>``."""
    title = _UNPRINTABLE.sub("_", task["title"] or "untitled")[:60].strip(" .") or "untitled"
    folder, taken, named = f"photos/{number:04} {title}", set(), []
    for photo in task["photos"]:
        path = PurePosixPath(_UNPRINTABLE.sub("_", photo["name"]) or "photo")
        name, again = path.name, 1
        while name.lower() in taken:
            again += 1
            name = f"{path.stem} ({again}){path.suffix}"
        taken.add(name.lower())
        named.append((photo, f"{folder}/{name}"))
    return named
