"""What remains of a file: stretches of it, bytes put in their place, and zeros; never a copy of the whole."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

MOST_PIECES = 10_000  # a photo has dozens; with this, a list of pieces stays small whatever a file says of itself
MOST_PARTS = 50_000  # of an overlay: strips, most of them neighbours
_ZEROS = bytes(64 * 1024)


class UnreadableError(Exception):
    """The file's form is so broken or so odd that its picture cannot be told from the rest."""


@dataclass(frozen=True, slots=True)
class _Kept:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Blank:
    size: int


class Pieces:
    """The pieces of a new file, in the order of the old one, which has ``source_size`` bytes."""

    def __init__(self, source_size: int) -> None:
        self._source_size = source_size
        self._pieces: list[_Kept | _Blank | bytes] = []
        self._reached = 0
        self.size = 0

    @property
    def everything(self) -> bool:
        """Whether the new file is the old one."""
        return self._pieces == [_Kept(0, self._source_size)]

    def keep(self, start: int, end: int) -> None:
        """Go on with the old file's bytes from ``start`` to before ``end``. Raises :class:`UnreadableError`."""
        if not self._reached <= start <= end <= self._source_size:
            raise UnreadableError("a part lies outside of the file, or twice in it")
        if start == end:
            return
        self._reached = end
        self.size += end - start
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, _Kept) and last.end == start:
            self._pieces[-1] = _Kept(last.start, end)
        else:
            self._add(_Kept(start, end))

    def put(self, data: bytes) -> None:
        """Go on with ``data``."""
        self.size += len(data)
        self._add(data)

    def blank(self, size: int) -> None:
        """Go on with ``size`` zeros."""
        self.size += size
        self._add(_Blank(size))

    def _add(self, piece: _Kept | _Blank | bytes) -> None:
        if len(self._pieces) >= MOST_PIECES:
            raise UnreadableError("the file has too many parts")
        self._pieces.append(piece)

    async def of(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The new file in chunks, out of the old one's. Raises :class:`EOFError` when the old one ends too early."""
        at, chunk = 0, b""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            elif isinstance(piece, _Blank):
                for done in range(0, piece.size, len(_ZEROS)):
                    yield _ZEROS[: piece.size - done]
            else:
                start = piece.start
                while start < piece.end:
                    while at + len(chunk) <= start:
                        at += len(chunk)
                        following = await anext(chunks, None)
                        if following is None:
                            raise EOFError("the photo is shorter than it was")
                        chunk = following
                    part = chunk[start - at : piece.end - at]
                    yield part
                    start += len(part)


class Overlay:
    """``size`` bytes of which only what is kept, or written anew, remains: the rest becomes zeros.

    For files whose parts are found by their offsets, which therefore have to stay.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[int, int]] = []
        self._written: dict[int, bytes] = {}

    def keep(self, start: int, end: int) -> None:
        """Leave the bytes from ``start`` to before ``end``. Raises :class:`UnreadableError`."""
        if not 0 <= start <= end <= self._size:
            raise UnreadableError("a part lies outside of the file")
        if len(self._kept) >= MOST_PARTS:
            raise UnreadableError("the file has too many parts")
        self._kept.append((start, end))

    def write(self, start: int, data: bytes) -> None:
        """Put ``data`` at ``start``, over what is kept there. Raises :class:`UnreadableError`."""
        if not 0 <= start <= start + len(data) <= self._size:
            raise UnreadableError("a part lies outside of the file")
        if data:
            self._written[start] = data

    def onto(self, pieces: Pieces, at: int = 0, start: int = 0, end: int | None = None) -> None:
        """Add its bytes from ``start`` to before ``end`` (the end) to ``pieces``; in the file they lie from ``at``."""
        for first, last, data in self._runs():
            low, high = max(first, start), min(last, self._size if end is None else end)
            if low >= high:
                continue
            if data is None:
                pieces.keep(at + low - start, at + high - start)
            elif data:
                pieces.put(data[low - first : high - first])
            else:
                pieces.blank(high - low)

    def _runs(self) -> list[tuple[int, int, bytes | None]]:
        """(from, to, what): None for what is kept, nothing for zeros, else what is written."""
        kept: deque[tuple[int, int]] = deque()
        for start, end in sorted(self._kept):
            if kept and start <= kept[-1][1]:
                kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
            else:
                kept.append((start, end))
        runs: list[tuple[int, int, bytes | None]] = []
        at = 0
        for start, data in [*sorted(self._written.items()), (self._size, b"")]:
            if start < at:
                raise UnreadableError("two parts overlap")
            while at < start:
                while kept and kept[0][1] <= at:
                    kept.popleft()
                inside = bool(kept) and kept[0][0] <= at
                stop = min(start, kept[0][1 if inside else 0]) if kept else start
                runs.append((at, stop, None if inside else b""))
                at = stop
            if data:
                at = start + len(data)
                runs.append((start, at, data))
        return runs
