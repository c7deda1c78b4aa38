"""Signs of five by seven dots, as small displays draw them."""

import cv2
import numpy as np
from numpy.typing import NDArray

_DOTS = {
    "0": "0e 11 13 15 19 11 0e", "1": "04 0c 04 04 04 04 0e", "2": "0e 11 01 02 04 08 1f", "3": "1f 02 04 02 01 11 0e",
    "4": "02 06 0a 12 1f 02 02", "5": "1f 10 1e 01 01 11 0e", "6": "06 08 10 1e 11 11 0e", "7": "1f 01 02 04 08 08 08",
    "8": "0e 11 11 0e 11 11 0e", "9": "0e 11 11 0f 01 02 0c", ".": "00 00 00 00 00 0c 0c", ",": "00 00 00 00 0c 04 08",
    "-": "00 00 00 1f 00 00 00", "°": "0c 12 12 0c 00 00 00", "C": "0e 11 10 10 10 11 0e", "F": "1f 10 10 1e 10 10 10",
    "K": "11 12 14 18 14 12 11", "E": "1f 10 10 1e 10 10 1f", "M": "11 1b 15 15 11 11 11", "A": "0e 11 11 11 1f 11 11",
    "X": "11 11 0a 04 0a 11 11", "I": "0e 04 04 04 04 04 0e", "N": "11 11 19 15 13 11 11", "m": "00 00 1a 15 15 11 11",
    "a": "00 00 0e 01 0f 11 0f", "x": "00 00 11 0a 04 0a 11", "i": "04 00 0c 04 04 04 0e", "n": "00 00 16 19 11 11 11",
    ":": "00 0c 0c 00 0c 0c 00", " ": "00 00 00 00 00 00 00",
}  # fmt: skip


def draw_matrix(text: str, tall: float) -> tuple[NDArray[np.float32], list[float], tuple[float, float, float, float]]:
    """Draw a text with digits ``tall`` high: its ink 0..1, the centres of its signs, and its top, foot, left, right."""
    dot = max(1, round(tall / 7))
    pad = 16 * dot
    canvas = np.zeros((7 * dot + 2 * pad, max(6 * dot * len(text), 1) + 2 * pad), np.float32)
    for at, sign in enumerate(text):
        rows = [int(row, 16) for row in _DOTS[sign].split()]
        bits = np.array([[row >> (4 - column) & 1 for column in range(5)] for row in rows], np.float32)
        x = pad + 6 * dot * at
        canvas[pad : pad + 7 * dot, x : x + 5 * dot] = cv2.resize(
            bits, (5 * dot, 7 * dot), interpolation=cv2.INTER_NEAREST
        )
    centres = [pad + 6 * dot * at + 2.5 * dot for at in range(len(text))]
    tall_signs = [at for at, sign in enumerate(text) if sign.isalnum()]
    left = pad + 6 * dot * (tall_signs[0] if tall_signs else 0)
    right = pad + 6 * dot * (tall_signs[-1] if tall_signs else 0) + 5 * dot
    return canvas, centres, (float(pad), float(pad + 7 * dot), float(left), float(right))
