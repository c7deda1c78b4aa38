"""What each pixel of a view would show if nothing were wrong with it: the thermal index of the sound part there."""

import cv2
import numpy as np
from numpy.typing import NDArray

from services.analysis.thermography.basis.building import sound_glass_index
from services.analysis.thermography.basis.constants import SOUND_WALL_INDEX
from services.analysis.thermography.finding.opening import Opening

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

COLD_PANE = 0.085
"""Index below sound double glazing from which on a pane is a defect."""

_WALL_BAND = 0.05  # how far pixels of one wall lie apart
# How far a wall may be from the level of a sound one (standard deviations). The camera or the typed temperature may be
# off by two degrees or three; a colder level may as well be the defect.
_WARMER_WALL, _COLDER_WALL = 0.16, 0.1
_LEVELS = 0.65, 1.2  # between which a wall is looked for
_BORDER = 12  # by which the view's sides are divided: the rim
_ENOUGH = 0.22  # of the view: of two levels as common as that the likelier one is the wall, not the commoner
_RIM_COUNTS = 3  # a warm thing that hardly reaches the rim is no wall
_WARMED = 0.02  # above the wall: warmed by the sun or by air from a radiator
_WIDEST_PLUME = 0.20  # m
_NARROW = 0.12  # m, across: a frame's parts and the cold stripe along a leaking joint
_BLUR = 2.0  # pixels: a phone camera's, and what an outline may be off
_FRAME = 0.06  # m, thickness of a frame
_POOREST_FRAME = 0.66  # of wood or plastic: U = 2.6 W/m²K
_REVEAL, _REVEAL_REACH = 0.04, 0.05  # the wall beside an opening is colder by so much, and how far (m)
# The frame tells how far the typed temperatures are off: what a wooden or plastic one lacks, how much less or more is
# believed, and the power of it that glass lacks more, as the frame's own make scatters by more than the temperatures.
_USUAL_FRAME, _FRAME_RANGE, _FRAME_SAYS = 0.25, (0.5, 2.0), 0.3
_PANE = 0.5  # of what a cold pane lacks that all of it lacks
_SMALLEST_PANE = 0.01  # of the opening
_RANK = 0.7  # a part is what fills this share of its row or column
_ALONG = 0.8  # of a row or column that its level is taken from


def wall_level(index: Field, valid: Mask, start: float | None = None) -> Field:
    """The index of the sound wall, as if it went on behind everything else in view; ``start`` is where that is known.

    A surface c0 + c1·x + c2·y + c3·(x² + y²), which covers warm air below the ceiling and a lens's vignetting, through
    the pixels near the commonest level; Tukey's weights leave out all else.
    """
    h, w = index.shape
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
    step = max(1, round(np.sqrt(h * w / 5000)))
    f, ok = index[::step, ::step].ravel(), valid[::step, ::step].ravel()
    basis = np.stack([np.ones_like(x), x, y, x * x + y * y - 0.67])
    a = basis[:, ::step, ::step].reshape(4, -1)
    if start is None:
        start = _commonest_level(f, ok, _on_rim((h, w))[::step, ::step].ravel())
    c = np.array([start, 0, 0, 0], np.float64)
    ridge = np.diag([0.01, 0.03, 0.03, 0.03]) * max(int(ok.sum()), 1)
    for _ in range(6):
        r = (f - c @ a) / _WALL_BAND
        weight = np.where(ok & (np.abs(r) < 1), (1 - r**2) ** 2, 0.0)
        normal = (a * weight) @ a.T + ridge
        c = np.linalg.solve(normal, (a * weight) @ f + ridge @ np.array([start, 0, 0, 0]))
    return np.asarray(np.tensordot(c, basis, 1), np.float32)


def _commonest_level(index: Field, seen: Mask, rim: Mask) -> float:
    """Return the commonest index near that of a sound wall; ``rim`` are the pixels near the border of the view."""
    levels = np.arange(_LEVELS[0], _LEVELS[1], 0.005)
    off = levels - SOUND_WALL_INDEX
    prior = np.exp(-0.5 * (off / np.where(off > 0, _WARMER_WALL, _COLDER_WALL)) ** 2)
    alike = (np.abs(index - levels[:, None].astype(np.float32)) < 0.02) & seen
    count = np.minimum(alike.sum(1), _RIM_COUNTS * (alike & rim).sum(1))  # walls reach the rim of the view
    start = float(levels[np.argmax((np.minimum(count, _ENOUGH * seen.sum()) + 0.01 * seen.sum()) * prior)])
    near = np.abs(levels - start) <= _WALL_BAND
    return float(levels[near][np.argmax(count[near])])


def _on_rim(shape: tuple[int, int]) -> Mask:
    """Return the pixels near the border of a view."""
    h, w = shape
    rim = np.ones(shape, bool)
    rim[h // _BORDER : -(h // _BORDER) or h, w // _BORDER : -(w // _BORDER) or w] = False
    return rim


def sound_glass(wall: Field, frame: float | None = None) -> Field:
    """The index that intact double glazing shows where the sound wall shows ``wall`` and a window's frame ``frame``.

    The wall tells how warm the room is better than what was typed: its own index is known to two hundredths. It is
    never taken for colder than sound, for a wall may lack insulation all over. The frame tells a part of what the
    outside temperature is off: what is typed for it scatters by two degrees.
    """
    deficit = 1.0 - sound_glass_index()
    if frame is not None:
        deficit *= float(np.clip((1.0 - frame) / _USUAL_FRAME, *_FRAME_RANGE)) ** _FRAME_SAYS
    return np.asarray((1.0 - deficit) * np.maximum(wall / SOUND_WALL_INDEX, 1.0), np.float32)


def sound_from_front(index: Field, wall: Field, glass: Field, unknown: Mask, opening: Opening, metres: float) -> Field:
    """The index of the sound wall and of a sound window or door in it, seen from the front.

    Inside: the commoner level along its row or its column, whichever is colder. A frame runs through its row or column,
    a pane fills most of both; a leak does neither, unless it runs along a whole edge: but then it is narrow, and colder
    than the frame and what lies around it. What is warmer than the wall hides the window (a hand, the sun, a radiator's
    warm air) and has no say. Nothing sound is clearly colder than double glazing.
    """
    to_front, size = opening.to_front, opening.size
    hidden = unknown | (index > wall + _WARMED)
    seen = cv2.warpPerspective(index, to_front, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    dark = cv2.warpPerspective(
        hidden.astype(np.uint8), to_front, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=1
    )
    part = np.where(dark > 0, np.float32(np.nan), seen).astype(np.float32)
    frame = _frame_level(part, _rim(opening, index.shape, metres))
    level = np.fmin(_level_along_rows(part), _level_along_rows(part.T).T)
    level = np.fmax(level, _without_narrow_cold(part, frame, metres))
    double = cv2.warpPerspective(glass, to_front, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    level = _without_cold_panes(level, np.asarray(double, np.float32))
    filled = np.where(np.isnan(level), np.float32(1.0), level).astype(np.float32)
    back = cv2.warpPerspective(
        filled,
        to_front,
        index.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    inside = opening.covers(index.shape)
    apart = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3) * metres
    beside = wall - np.float32(_REVEAL) * np.exp(-apart / np.float32(_REVEAL_REACH))
    sound = np.where(inside, np.minimum(back, wall), beside).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(sound, (0, 0), _BLUR), np.float32)


def _without_cold_panes(level: Field, glass: Field) -> Field:
    """The levels of an opening, where those of double glazing instead of what is clearly colder, pane by pane."""
    below = glass - level
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (below > _PANE * COLD_PANE).astype(np.uint8), connectivity=4
    )
    cold = below > COLD_PANE
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] > _SMALLEST_PANE * level.size:
            pane = labels == label
            cold[pane] = float(np.median(below[pane])) > COLD_PANE
    return np.where(cold, glass, level)


def _without_narrow_cold(part: Field, frame: float, metres: float) -> Field:
    """An opening seen from the front, without what is narrow and colder than its surroundings, unless it is structure.

    Structure is no colder than the frame.
    """
    size = max(3, round(_NARROW / metres)) | 1
    known = np.where(np.isnan(part), np.float32(0.0), part)
    closed = cv2.morphologyEx(known, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    return np.where(np.isnan(part), np.float32(np.nan), np.minimum(closed, np.maximum(known, frame))).astype(np.float32)


def sound_askew(index: Field, wall: Field, glass: Field, unknown: Mask, metres: float) -> Field:
    """The index to expect in a window or door seen aslant or too near to tell its parts: that of its surroundings.

    What is narrower than a plume is compared with what lies around it, and all with sound double glazing.
    """
    around = _closed(np.where(unknown, 0.0, np.minimum(index, wall)).astype(np.float32), metres)
    return np.minimum(np.maximum(np.where(around > 0, around, wall), glass), wall).astype(np.float32)


def _closed(field: Field, metres: float) -> Field:
    """Fill what is darker than its surroundings and narrower than the widest plume."""
    size = max(3, round(_WIDEST_PLUME / metres)) | 1
    kernel = np.ones((size, size), np.uint8)  # square: it must not fill the corners of a pane
    return np.asarray(cv2.morphologyEx(field, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def _rim(opening: Opening, shape: tuple[int, int], metres: float) -> Mask:
    """The pixels of the frame's outer parts in the opening seen from the front; none where the photo cuts it off."""
    w, h = opening.size
    thick = max(2, round(_FRAME / metres))
    x0, y0, x1, y1 = opening.box
    rim = np.zeros((h, w), bool)
    if y0 > 1:
        rim[:thick] = True
    if y1 < shape[0] - 1:
        rim[-thick:] = True
    if x0 > 1:
        rim[:, :thick] = True
    if x1 < shape[1] - 1:
        rim[:, -thick:] = True
    return rim


def _frame_level(part: Field, rim: Mask) -> float:
    """What a frame may have: the commonest index along the rim of the opening, where it is in view.

    Never less than a poor frame has, for a leak may run along all of the rim that is in view.
    """
    values = part[rim & ~np.isnan(part)]
    return max(float(np.median(values)), _POOREST_FRAME) if len(values) else _POOREST_FRAME


def _level_along_rows(field: Field) -> Field:
    """The running upper quantile along each row over most of its length; NaN pixels do not count."""
    h, w = field.shape
    step = max(1, w // 48)
    columns = w // step
    with np.errstate(invalid="ignore"):
        blocks = field[:, : columns * step].reshape(h, columns, step)
        known = ~np.isnan(blocks)
        coarse = np.where(known, blocks, 0).sum(2) / np.maximum(known.sum(2), 1)
        coarse[~known.any(2)] = np.nan
    reach = max(1, round(_ALONG * columns / 2))
    offsets = np.unique(np.linspace(-reach, reach, 15).round().astype(int))
    padded = np.pad(coarse, ((0, 0), (reach, reach)), constant_values=np.nan)
    stack = np.sort(np.stack([padded[:, reach + o : reach + o + columns] for o in offsets]), axis=0)  # NaN come last
    rank = np.rint((np.count_nonzero(~np.isnan(stack), axis=0) - 1) * _RANK).astype(int)
    level = np.take_along_axis(stack, np.maximum(rank, 0)[None], axis=0)[0]
    at = np.clip((np.arange(w) + 0.5) / step - 0.5, 0, columns - 1)
    left = np.floor(at).astype(int)
    right = np.minimum(left + 1, columns - 1)
    share = (at - left).astype(np.float32)
    return np.asarray(level[:, left] * (1 - share) + level[:, right] * share, np.float32)
