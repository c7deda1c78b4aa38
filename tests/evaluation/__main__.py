"""The command: ``python -m tests.evaluation [--scenes N] [--seed-range dev|held-out] [--pictures FOLDER]``."""

import argparse
import os
from pathlib import Path

from tests.evaluation.run import SEED_RANGES, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.evaluation", description="Evaluate the thermographic analysis."
    )
    parser.add_argument("--scenes", type=int, default=300, help="synthetic winter scenes (half of them sound)")
    parser.add_argument("--seed-range", choices=sorted(SEED_RANGES), default="dev")
    parser.add_argument(
        "--pictures",
        type=Path,
        default=os.environ.get("THERMAL_PICTURES"),
        help="folder of real pictures with labels.json (default: environment variable THERMAL_PICTURES)",
    )
    chosen = parser.parse_args()
    run(scenes=chosen.scenes, seed_range=chosen.seed_range, pictures=chosen.pictures)
