"""A file inside a photo that is cut into stretches, such as the segments of a JPEG."""

from collections.abc import Sequence

from services.tasks.privacy.pieces import Overlay, Pieces
from services.tasks.privacy.work import Work


def joined(photo: bytes, stretches: Sequence[tuple[int, int]], work: Work) -> bytes:
    """Return the file that lies in these ``stretches`` (from, to) of ``photo``."""
    work.look(sum(end - start for start, end in stretches))
    return b"".join(photo[start:end] for start, end in stretches)


class Spread:
    """What may be shown of such a file: the stretch that begins at a place, as pieces of the photo."""

    def __init__(self, stretches: Sequence[tuple[int, int]], overlay: Overlay) -> None:
        """Raise :class:`UnreadableError` when parts of ``overlay`` contradict each other."""
        overlay.settle()
        self._overlay = overlay
        self._begins: dict[int, int] = {}  # of a stretch in the photo: of its bytes in the file
        begin = 0
        for start, end in stretches:
            self._begins[start] = begin
            begin += end - start

    def __contains__(self, start: int) -> bool:
        return start in self._begins

    def onto(self, pieces: Pieces, start: int, end: int) -> None:
        """Add the stretch from ``start`` to before ``end`` to ``pieces``."""
        begin = self._begins[start]
        self._overlay.onto(pieces, start, begin, begin + end - start)
