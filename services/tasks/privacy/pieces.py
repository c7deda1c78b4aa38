"""What remains of a file: stretches of it, bytes put in their place, and zeros; never a copy of the whole."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from services.tasks.privacy.work import UnreadableError, Work

MOST_PIECES = 10_000  # a photo has dozens; with this, a list of pieces stays small whatever a file says of itself
MOST_PUT_BYTES = 320 * 1024  # a page of a TIFF has 1 KB, a colour profile of a PNG seldom more than 10 KB
_ZEROS = bytes(64 * 1024)


@dataclass(frozen=True, slots=True)
class Kept:
    """The bytes of the old file from ``start`` to before ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Blank:
    """``size`` zeros."""

    size: int


Piece = Kept | Blank | bytes


class Pieces:
    """The pieces of a new file, in the order of the old one, which has ``source_size`` bytes."""

    def __init__(self, source_size: int) -> None:
        self.source_size = source_size
        self._pieces: list[Piece] = []
        self._reached = 0
        self._put = 0
        self.size = 0

    def is_same(self, source: bytes) -> bool:
        """Return whether the new file is the old one, which ``source`` is."""
        if self.size != self.source_size:
            return False
        at = 0
        for piece in self._pieces:
            if isinstance(piece, Kept):
                size, same = piece.end - piece.start, piece.start == at
            elif isinstance(piece, Blank):
                size, same = piece.size, source[at : at + piece.size] == bytes(piece.size)
            else:
                size, same = len(piece), source.startswith(piece, at)
            if not same:
                return False
            at += size
        return True

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._pieces)

    def keep(self, start: int, end: int) -> None:
        """Go on with the old file's bytes from ``start`` to before ``end``. Raises :class:`UnreadableError`."""
        if not self._reached <= start <= end <= self.source_size:
            raise UnreadableError("a part lies outside of the file, or twice in it")
        if start == end:
            return
        self._reached = end
        self.size += end - start
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Kept) and last.end == start:
            self._pieces[-1] = Kept(last.start, end)
        else:
            self._add(Kept(start, end))

    def put(self, data: bytes) -> None:
        """Go on with ``data``. Raises :class:`UnreadableError`."""
        if not data:
            return
        self._put += len(data)
        if self._put > MOST_PUT_BYTES:
            raise UnreadableError("too much of the file would have to be written anew")
        self.size += len(data)
        self._add(data)

    def blank(self, size: int) -> None:
        """Go on with ``size`` zeros. Raises :class:`UnreadableError`."""
        if not 0 <= size <= self.source_size:
            raise UnreadableError("a part is larger than the file")
        self.size += size
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Blank):
            self._pieces[-1] = Blank(last.size + size)
        elif size:
            self._add(Blank(size))

    def _add(self, piece: Piece) -> None:
        if len(self._pieces) >= MOST_PIECES:
            raise UnreadableError("the file has too many parts")
        self._pieces.append(piece)

    async def of(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The new file in chunks, out of the old one's. Raises :class:`EOFError` when the old one ends too early."""
        at, chunk = 0, b""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            elif isinstance(piece, Blank):
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


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes from ``start`` to before ``end``: those of the file when ``data`` is None, zeros when it is empty."""

    start: int
    end: int
    data: bytes | None


class Overlay:
    """``size`` bytes of which only what is kept, or written anew, remains: the rest becomes zeros.

    For files whose parts are found by their offsets, which therefore have to stay. Nothing is added once it has been
    settled.
    """

    def __init__(self, size: int, work: Work) -> None:
        self._size = size
        self._work = work
        self._kept: list[tuple[int, int]] = []
        self._erased: list[tuple[int, int]] = []
        self._written: list[tuple[int, int, bytes]] = []  # from, to, what
        self._runs: Sequence[Run] | None = None

    def keep(self, start: int, end: int) -> None:
        """Leave the bytes from ``start`` to before ``end``. Raises :class:`UnreadableError`."""
        self._check(start, end)
        self._kept.append((start, end))

    def write(self, start: int, data: bytes) -> None:
        """Put ``data`` at ``start``, over what is kept there. Raises :class:`UnreadableError`."""
        self._check(start, start + len(data))
        if data:
            self._written.append((start, start + len(data), data))

    def erase(self, start: int, end: int) -> None:
        """Put zeros from ``start`` to before ``end``, over what is kept there. Raises :class:`UnreadableError`."""
        self._check(start, end)
        if start < end:
            self._erased.append((start, end))

    def lay(self, start: int, other: "Overlay") -> None:
        """Put from ``start`` what ``other`` does not keep, over what is kept there. Raises :class:`UnreadableError`."""
        for run in other.settle():
            if run.data:
                self.write(start + run.start, run.data)
            elif run.data is not None:
                self.erase(start + run.start, start + run.end)

    def _check(self, start: int, end: int) -> None:
        self._work.step()
        if not 0 <= start <= end <= self._size:
            raise UnreadableError("a part lies outside of the file")

    def onto(self, pieces: Pieces, at: int = 0, start: int = 0, end: int | None = None) -> None:
        """Add its bytes from ``start`` to before ``end`` (the end) to ``pieces``; in the file they lie from ``at``."""
        end = self._size if end is None else end
        runs = self.settle()
        for index in range(bisect_right(runs, start, key=lambda run: run.end), len(runs)):
            run = runs[index]
            if run.start >= end:
                return
            self._work.step()
            low, high = max(run.start, start), min(run.end, end)
            if run.data is None:
                pieces.keep(at + low - start, at + high - start)
            elif run.data:
                pieces.put(run.data[low - run.start : high - run.start])
            else:
                pieces.blank(high - low)

    def applied(self, source: bytes) -> bytes:
        """Return its bytes, which are laid over ``source``. Raises :class:`UnreadableError`."""
        self._work.look(self._size)
        return b"".join(
            source[run.start : run.end] if run.data is None else run.data or bytes(run.end - run.start)
            for run in self.settle()
        )

    def settle(self) -> Sequence[Run]:
        """Return all its bytes in their order. Raises :class:`UnreadableError` when two parts overlap."""
        if self._runs is None:
            self._runs = self._made()
        return self._runs

    def _made(self) -> list[Run]:
        runs: list[Run] = []
        kept = _merged(self._kept)
        erased = [(start, end, b"") for start, end in _merged(self._erased)]
        number = at = 0
        for start, end, data in [*sorted(self._written + erased), (self._size, self._size, b"")]:
            if start < at:
                raise UnreadableError("two parts overlap")
            while at < start:
                self._work.step()
                while number < len(kept) and kept[number][1] <= at:
                    number += 1
                inside = number < len(kept) and kept[number][0] <= at
                stop = min(start, kept[number][1 if inside else 0]) if number < len(kept) else start
                runs.append(Run(at, stop, None if inside else b""))
                at = stop
            if start < end:
                runs.append(Run(start, end, data))
                at = end
        return runs


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes as ``ranges``, in their order, with a gap between any two."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
