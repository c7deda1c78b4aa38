"""ICC profiles of colour spaces that phones and cameras write, built from their definitions."""

import struct

_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_GAMMA_2_2 = (2.19921875, 1.0, 0.0, 0.0, 0.0)

# Primaries adapted to D50 (XYZ), and the parameters of the tone curve.
SPACES = {
    "Display P3": (((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)), _SRGB_CURVE),
    "Adobe RGB": (((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), _GAMMA_2_2),
}


def profile_of(space: str) -> bytes:
    """A display profile with a matrix and one tone curve (ICC.1, version 2 header with parametric curves)."""
    primaries, curve = SPACES[space]

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = space.encode()
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
    }
    for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = b"XYZ " + bytes(4) + fixed(*primary)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(*curve)
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[0:4] = struct.pack(">I", at + len(body))
    head[8:12] = bytes((4, 0x30, 0, 0))
    head[12:24] = b"mntrRGB XYZ "
    head[36:40] = b"acsp"
    head[68:80] = fixed(0.9642, 1.0, 0.8249)
    return bytes(head) + table + body
