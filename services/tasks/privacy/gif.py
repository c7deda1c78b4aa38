"""GIF: the pictures, and how they follow one another."""

from services.tasks.privacy.pieces import Pieces
from services.tasks.privacy.work import UnreadableError, Work

_SCREEN_BYTES, _IMAGE_BYTES = 13, 10
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_APPLICATIONS = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")  # how often the pictures are repeated


def cleaned(photo: bytes, work: Work) -> Pieces:
    """The pieces of ``photo`` that may be shown: up to its trailer."""
    try:
        return _cleaned(photo, work)
    except IndexError:
        raise UnreadableError("it breaks off") from None


def _cleaned(photo: bytes, work: Work) -> Pieces:
    pieces = Pieces(len(photo))
    at = _SCREEN_BYTES + _colours(photo[10])
    pieces.keep(0, at)
    while photo[at] != _TRAILER:
        work.step()
        if photo[at] == _IMAGE:
            start = at + _IMAGE_BYTES + _colours(photo[at + 9]) + 1  # the size of codes before the data
            shown = True
        elif photo[at] == _EXTENSION:
            start, label = at + 2, photo[at + 1]
            shown = label == _GRAPHIC_CONTROL or (label == _APPLICATION and photo.startswith(_APPLICATIONS, start))
        else:
            raise UnreadableError("an unknown block")
        end = start
        while photo[end]:
            work.step()
            end += 1 + photo[end]
        if shown:
            pieces.keep(at, end + 1)
        at = end + 1
    pieces.keep(at, at + 1)
    return pieces


def _colours(flags: int) -> int:
    """The size of a colour table in bytes."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
