"""Colour profiles that convert colours visibly, and tell something in every place that their form has for it."""

import struct

WHITE = (0.9642, 1.0, 0.8249)
# Wide primaries in another order than usual: colours that lost this profile look wrong at once.
PRIMARIES = {
    b"rXYZ": (0.14922, 0.06322, 0.74457),
    b"gXYZ": (0.60974, 0.31111, 0.01947),
    b"bXYZ": (0.20528, 0.62567, 0.06087),
}
GAMMA = 0x0180


def profile(told: bytes, *, version: int = 2, table: bool = False) -> bytes:
    """A profile of that version of the form; with a ``table`` instead of primaries."""
    text = localised if version == 4 else described
    tags = {
        b"desc": text(told),
        b"cprt": localised(told) if version == 4 else b"text" + bytes(4) + told + b"\0",
        b"dmnd": text(told),
        b"dmdd": text(told),
        b"targ": b"text" + bytes(4) + told + b"\0",
        b"wtpt": xyz(*WHITE) + told,
    }
    if table:
        tags[b"A2B0"] = lookup()
    else:
        curve = b"curv" + bytes(4) + struct.pack(">IH", 1, GAMMA) + bytes(2) + told
        tags |= {name: xyz(*value) + told for name, value in PRIMARIES.items()}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return assembled(tags, told, version, b"Lab " if table else b"XYZ ")


def assembled(tags: dict[bytes, bytes], told: bytes, version: int, space: bytes) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    entries, data = b"", b""
    places: dict[bytes, int] = {}
    for name, value in tags.items():
        if value not in places:
            places[value] = at + len(data)
            data += value + bytes(-len(value) % 4)
        entries += struct.pack(">4sII", name, places[value], len(value))
    body = struct.pack(">I", len(tags)) + entries + data + told
    header = struct.pack(
        ">I4sI4s4s4s",
        128 + len(body),
        told[:4],
        version << 24,
        b"scnr" if space == b"Lab " else b"mntr",
        b"RGB ",
        space,
    )
    header += struct.pack(">6H4s", 2026, 1, 15, 17, 12, 15, b"acsp") + told[:4] + struct.pack(">I", 0)
    header += told[4:12] + bytes(8) + struct.pack(">I", 0) + b"".join(map(fixed, WHITE)) + told[:4]
    return header.ljust(128, b"\0") + body


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + fixed(x) + fixed(y) + fixed(z)


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def described(text: bytes) -> bytes:
    """How version 2 writes a text."""
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)


def localised(text: bytes) -> bytes:
    """How version 4 writes a text."""
    wide = text.decode().encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(wide), 28) + wide


def lookup() -> bytes:
    """A table from RGB to Lab with two steps in each direction: everything is shown inverted."""
    head = b"mft1" + bytes(4) + bytes((3, 3, 2, 0)) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    straight = bytes(range(256)) * 3
    corners = b"".join(
        bytes((255 - (r + g + b) * 85, 128 + (g - r) * 60, 128 + (b - g) * 60))
        for r in (0, 1)
        for g in (0, 1)
        for b in (0, 1)
    )
    return head + straight + corners + straight
