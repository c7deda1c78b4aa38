"""Receiving a submission: the multipart stream is parsed once, and each photo goes straight into the photo store.

Memory stays bounded for any input: a piece of the stream, one chunk of a photo, and the text of the FIELDS up to
FIELD_BYTES each. Other fields are passed over; every file is a photo, so that none gets lost unseen. Photos are
written under ids allocated here; unless the caller keeps the form, leaving the context removes whatever was written,
after a cancellation too.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser
from starlette.requests import ClientDisconnect, Request

from contracts.events import PhotoKind
from services.chassis.problems import Problem
from services.tasks.multipart_headers import read_content_type, read_file_name
from services.tasks.photos.store import PhotoMetadata, PhotoStore, PhotoWriter, new_photo_id
from services.tasks.pictures import ANALYSED, ANALYSED_IF_THERMAL, HEAD_BYTES, ThermalProbe, media_type

FIELDS = frozenset({"uid", "task_json"})
FIELD_BYTES = 1024 * 1024
PART_COUNT = 1100
NAME_LENGTH = 200

_NAME = re.compile(r"obs(\d{1,4})_(rgb|thermal)\b", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\w .()+-]")

BROKEN = "The upload broke off or is damaged. Please submit it again."
NO_BOUNDARY = "The Content-Type of the form names no boundary. Write it as: multipart/form-data; boundary=…"
WRONG_BOUNDARY = "The form does not begin with the boundary that its Content-Type names. Both must be alike."
NO_FILE_NAME = (
    "The part '{}' holds a photo but names no file. Please send each photo with a file name, such as obs0_rgb.jpg."
)
NESTED = "The part '{}' is a form of its own. Please send each photo as a part: media0, media1, …"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a submission may bring."""

    photo_bytes: int
    photos: int


@dataclass(frozen=True, slots=True)
class UploadedPhoto:
    """A photo that lies whole in the store, and that nothing refers to yet."""

    photo_id: str
    kind: PhotoKind
    observation: int
    position: int
    name: str
    media_type: str
    size: int
    sha256: str


@dataclass(slots=True)
class Form:
    """What was received."""

    fields: dict[str, str] = field(default_factory=dict)
    photos: list[UploadedPhoto] = field(default_factory=list)
    kept: bool = False

    def keep(self) -> None:
        """From now on the photos may be referred to by a record: only the sweeper, who looks, may remove them."""
        self.kept = True

    def release(self) -> None:
        """No record refers to the photos, and none ever will: they are removed at the end after all."""
        self.kept = False


@asynccontextmanager
async def received(request: Request, store: PhotoStore, job_id: str, limits: Limits) -> AsyncIterator[Form]:
    """Read the whole body of ``request`` as a form.

    Raises :class:`Problem` 400 (broken), 413 (too large), 415 (no form), 422 (no photo, not a photo), and what the
    store raises. On leaving without :meth:`Form.keep`, or with a :class:`Problem`, every photo of it is removed.
    """
    form = Form()
    reader = _Reader(store, job_id, limits, form)
    try:
        await reader.read(request)
        await reader.publish()
        yield form
    except Problem:
        form.release()  # refused for certain, and rolled back
        raise
    finally:
        if not form.kept:
            # Shielded: a cancelled request must not leave its photos behind.
            await asyncio.shield(reader.remove_all())


class _Reader:
    def __init__(self, store: PhotoStore, job_id: str, limits: Limits, form: Form) -> None:
        self._store = store
        self._job_id = job_id
        self._limits = limits
        self._form = form
        self._part: _PhotoPart | _FieldPart | _OtherPart | None = None
        self._parts = 0
        self._writers: list[PhotoWriter] = []
        self._of_kind = dict.fromkeys(PhotoKind, 0)

    async def read(self, request: Request) -> None:
        content_type, boundary = read_content_type(request.headers.get("content-type", ""))
        if content_type != "multipart/form-data":
            raise Problem(415, "Send the task and its photos as multipart/form-data.")
        if not boundary:
            raise Problem(400, NO_BOUNDARY)
        first_line = f"--{boundary}\r\n".encode()
        head = b""
        try:
            parser = PushMultipartParser(boundary, max_segment_count=PART_COUNT)
            async for data in request.stream():
                head += data[: len(first_line) - len(head)]
                for event in parser.parse(data) if data else ():
                    await self._take(event)
            parser.close()  # raises when the end of the form is missing
        except ClientDisconnect as error:
            raise Problem(400, BROKEN) from error
        except MultipartError as error:
            is_foreign = self._parts == 0 and not first_line.startswith(head)
            raise Problem(400, WRONG_BOUNDARY if is_foreign else BROKEN) from error

    async def _take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._parts += 1
            self._part = self._begin(event)
        elif self._part is not None:
            if event is None:
                part, self._part = self._part, None
                await part.end()
            else:
                await self._part.write(event)

    def _begin(self, segment: MultipartSegment) -> "_PhotoPart | _FieldPart | _OtherPart":
        name = segment.name or ""
        if name in FIELDS:
            return _FieldPart(self._form.fields, name)
        if (segment.content_type or "").startswith("multipart/"):
            raise Problem(422, NESTED.format(_clean(name)))
        # Whatever its field is called, a file is a photo: the app says media0, others say files[] or photo.
        file_name = read_file_name(segment)
        if file_name is None:
            return _OtherPart(name)
        if len(self._form.photos) >= self._limits.photos:
            raise Problem(422, f"There are more than {self._limits.photos} photos. Please submit fewer at a time.")
        photo_name = _clean(file_name)
        photo_id = new_photo_id()
        writer = self._store.writer(photo_id, PhotoMetadata(f"{self._job_id}_{photo_name}"))
        self._writers.append(writer)
        return _PhotoPart(self._form.photos, writer, photo_id, photo_name, self._limits, self._of_kind)

    async def publish(self) -> None:
        await self._store.publish(self._writers)

    async def remove_all(self) -> None:
        # All at once: while the store is away each one takes its time to fail, and somebody waits for the answer.
        await asyncio.gather(*(writer.abort() for writer in self._writers))


class _FieldPart:
    def __init__(self, fields: dict[str, str], name: str) -> None:
        self._fields = fields
        self._name = name
        self._value = bytearray()

    async def write(self, data: bytes | bytearray) -> None:
        self._value += data
        if len(self._value) > FIELD_BYTES:
            raise Problem(413, f"The field '{self._name}' is too large.")

    async def end(self) -> None:
        try:
            self._fields.setdefault(self._name, self._value.decode())
        except UnicodeDecodeError:
            raise Problem(422, f"The field '{self._name}' is not UTF-8 text.") from None


class _OtherPart:
    """A field that nobody asked for: passed over, unless it is a photo, which must not get lost unseen."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._head = b""

    async def write(self, data: bytes | bytearray) -> None:
        self._head += bytes(data[: HEAD_BYTES - len(self._head)])

    async def end(self) -> None:
        if media_type(self._head) is not None:
            raise Problem(422, NO_FILE_NAME.format(_clean(self._name)))


class _PhotoPart:
    def __init__(
        self,
        photos: list[UploadedPhoto],
        writer: PhotoWriter,
        photo_id: str,
        name: str,
        limits: Limits,
        of_kind: dict[PhotoKind, int],
    ) -> None:
        self._photos = photos
        self._writer = writer
        self._id = photo_id
        self._name = name
        self._limits = limits
        self._of_kind = of_kind
        self._size = 0
        self._head = b""
        self._probe = ThermalProbe()
        self._hash = hashlib.sha256()

    async def write(self, data: bytes | bytearray) -> None:
        self._size += len(data)
        if self._size > self._limits.photo_bytes:
            largest = f"{self._limits.photo_bytes / (1024 * 1024):.3g} MB"
            raise Problem(413, f"The photo {self._name} is larger than {largest}. Please use a smaller one.")
        self._probe.feed(bytes(data))
        if len(self._head) < HEAD_BYTES:
            self._head += bytes(data[:HEAD_BYTES])
            if len(self._head) >= HEAD_BYTES:
                self._refuse_what_is_no_photo()
        self._hash.update(data)
        await self._writer.write(bytes(data))

    def _refuse_what_is_no_photo(self, *, at_end: bool = False) -> str:
        """Return the media type. Whether a BMP or TIFF is a thermal one is known at its end."""
        found = media_type(self._head)
        taken = found in ANALYSED or (found in ANALYSED_IF_THERMAL and (not at_end or self._probe.is_thermal()))
        if found is None or not taken:
            raise Problem(
                422, f"{self._name} is not a photo that we can read. Please send a JPEG, PNG, WebP or HEIC picture."
            )
        return found

    async def end(self) -> None:
        if not self._size:
            raise Problem(422, f"The photo {self._name} is empty. Please take it again.")
        found = self._refuse_what_is_no_photo(at_end=True)
        digest = self._hash.hexdigest()
        await self._writer.end(found, digest)
        kind, observation = self._described()
        self._photos.append(
            UploadedPhoto(
                photo_id=self._id,
                kind=kind,
                observation=observation,
                position=len(self._photos),
                name=self._name,
                media_type=found,
                size=self._size,
                sha256=digest,
            )
        )

    def _described(self) -> tuple[PhotoKind, int]:
        """Kind and observation, by the app's pattern of names; without it, the n-th photo of a kind is of the n-th."""
        match = _NAME.search(self._name)
        if match:
            return PhotoKind(match.group(2).lower()), int(match.group(1))
        kind = PhotoKind.THERMAL if "thermal" in self._name.lower() else PhotoKind.RGB
        self._of_kind[kind] += 1
        return kind, self._of_kind[kind] - 1


def _clean(name: str) -> str:
    """A file name without a path, without anything but letters, digits and plain punctuation, and never a mere dot."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    return _UNPRINTABLE.sub("_", name)[-NAME_LENGTH:].strip(". ") or "photo"
