"""Contact sheets: every scene as colour, thermal, truth and result, the failures first."""

from pathlib import Path

import cv2
import numpy as np

from tests.evaluation.outcome import Outcome

_PER_SHEET = 24


def failed(outcome: Outcome) -> bool:
    """Whether a scene belongs among the failures."""
    return outcome.false_alarm or not outcome.found or outcome.truth is not outcome.said


def write_sheets(outcomes: list[Outcome], cells: Path, out: Path) -> None:
    """Join the scenes' pictures in ``cells`` into sheets in ``out``: failures, then the rest."""
    for title, chosen in (
        ("failures", [outcome for outcome in outcomes if failed(outcome)]),
        ("passed", [outcome for outcome in outcomes if not failed(outcome)]),
    ):
        for number, at in enumerate(range(0, len(chosen), _PER_SHEET)):
            rows = [
                np.asarray(cv2.imread(str(cells / f"{outcome.condition.name.lower()}-{outcome.seed}.jpg")), np.uint8)
                for outcome in chosen[at : at + _PER_SHEET]
            ]
            while len(rows) % 2:
                rows.append(np.zeros_like(rows[0]))
            pairs = [np.hstack(rows[i : i + 2]) for i in range(0, len(rows), 2)]
            cv2.imwrite(str(out / f"{title}-{number}.jpg"), np.vstack(pairs), [cv2.IMWRITE_JPEG_QUALITY, 85])
