"""False-colour palettes as cameras draw them, given by a few anchors from cold to hot.

``iron``, ``rainbow`` and ``rainbow-hc`` follow palette records that FLIR cameras write into their R-JPEGs, sampled at
29 places; ``arctic`` and ``lava`` follow the presets of open thermal-camera firmware (DIY-Thermocam). Cameras
differ from each other and from any table that an analysis carries: each scene draws its own shades of them.
"""

import numpy as np
from numpy.typing import NDArray

ANCHORS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "iron": (
        (0, 17, 24), (0, 7, 69), (21, 0, 107), (51, 0, 134), (76, 0, 151), (100, 0, 162), (124, 0, 167),
        (144, 2, 166), (163, 10, 160), (180, 19, 150), (196, 29, 136), (208, 40, 119), (221, 53, 100),
        (230, 68, 81), (238, 82, 64), (246, 98, 46), (252, 114, 29), (255, 130, 15), (255, 145, 3), (255, 161, 0),
        (255, 176, 0), (255, 190, 0), (255, 204, 10), (255, 218, 29), (255, 229, 54), (255, 239, 90),
        (252, 247, 135), (247, 255, 191), (243, 255, 255),
    ),
    "rainbow": (
        (0, 3, 73), (0, 3, 82), (0, 32, 110), (0, 50, 136), (0, 67, 162), (0, 79, 188), (0, 94, 208),
        (1, 111, 223), (3, 127, 213), (10, 143, 164), (28, 156, 108), (84, 177, 43), (129, 193, 15), (169, 204, 1),
        (206, 213, 2), (228, 211, 5), (241, 204, 9), (249, 191, 15), (253, 166, 20), (254, 140, 28), (255, 87, 41),
        (251, 42, 56), (249, 26, 65), (246, 38, 85), (248, 81, 103), (251, 117, 121), (255, 158, 143),
        (254, 206, 179), (255, 230, 204),
    ),
    "rainbow-hc": (
        (0, 0, 0), (67, 0, 68), (135, 0, 136), (205, 0, 205), (189, 0, 216), (121, 0, 193), (52, 0, 170),
        (0, 15, 158), (0, 82, 180), (0, 150, 202), (0, 217, 224), (0, 192, 172), (0, 148, 104), (0, 104, 38),
        (28, 97, 0), (90, 139, 0), (153, 181, 0), (216, 223, 0), (205, 180, 0), (175, 116, 0), (146, 54, 0),
        (125, 2, 2), (152, 14, 15), (179, 28, 29), (206, 41, 42), (222, 82, 82), (232, 137, 138), (242, 192, 191),
        (252, 247, 247),
    ),
    "white-hot": (
        (0, 0, 0), (255, 255, 255),
    ),
    "black-hot": (
        (255, 255, 255), (0, 0, 0),
    ),
    "arctic": (
        (0, 0, 151), (0, 0, 227), (1, 77, 255), (30, 190, 255), (58, 238, 238), (84, 172, 173), (97, 104, 104),
        (154, 99, 62), (215, 99, 22), (255, 121, 0), (255, 190, 0), (255, 231, 83), (255, 249, 207),
    ),
    "lava": (
        (0, 0, 0), (30, 64, 155), (0, 100, 167), (0, 123, 151), (0, 141, 136), (115, 54, 123), (170, 30, 73),
        (206, 21, 40), (255, 51, 34), (255, 91, 0), (255, 165, 0), (255, 217, 0), (255, 255, 255),
    ),
}  # fmt: skip


def table(name: str, rng: np.random.Generator | None = None) -> NDArray[np.uint8]:
    """RGB of 256 steps from cold to hot; with ``rng`` in the slightly different shades of one camera of many."""
    anchors = np.array(ANCHORS[name], np.float64)
    at = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    colours = np.stack(channels, 1)
    if rng is not None and name not in ("white-hot", "black-hot"):
        waves = np.stack([np.interp(np.arange(256), np.linspace(0, 255, 7), rng.normal(0, 3, 7)) for _ in range(3)], 1)
        colours = colours + waves
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)
