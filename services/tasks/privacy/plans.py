"""How a photo is to be shown, as a few bytes that are kept beside it: where its pieces lie, never the pieces.

A photo is then looked at once, however often and by whichever replica it is shown. Its plan is larger than some hundred
bytes only if the file has many parts, and then smaller than the file.
"""

import base64
import json
from dataclasses import dataclass

from services.tasks.privacy.pieces import Blank, Kept, Pieces
from services.tasks.privacy.work import UnreadableError

# Raise it with every change of what is shown of a photo: plans that were made by other rules are then made anew.
RULES = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The media type of a photo and what may be shown of it; None when its picture cannot be told from the rest."""

    shown: tuple[str, Pieces] | None


def written(plan: Plan, size: int) -> bytes:
    """Return ``plan`` for a photo of ``size`` bytes as JSON."""
    value: dict[str, object] = {"rules": RULES, "size": size}
    if plan.shown is not None:
        value["type"], pieces = plan.shown
        value["pieces"] = [_piece(piece) for piece in pieces]
    return json.dumps(value, separators=(",", ":")).encode()


def _piece(piece: Kept | Blank | bytes) -> object:
    if isinstance(piece, Kept):
        return [piece.start, piece.end]
    return piece.size if isinstance(piece, Blank) else base64.b64encode(piece).decode()


def read(data: bytes, size: int) -> Plan | None:
    """Return the plan in ``data``; None when it breaks off, follows other rules, or is for a photo of another size."""
    try:
        value = json.loads(data)
        if (value["rules"], value["size"]) != (RULES, size):
            return None
        if "type" not in value:
            return Plan(None)
        pieces = Pieces(size)
        for piece in value["pieces"]:
            if isinstance(piece, list):
                pieces.keep(*piece)
            elif isinstance(piece, int):
                pieces.blank(piece)
            else:
                pieces.put(base64.b64decode(piece, validate=True))
        return Plan((value["type"], pieces))
    except (ValueError, KeyError, TypeError, UnreadableError):
        return None
