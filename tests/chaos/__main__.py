"""``python -m tests.chaos``: see ``make chaos``."""

# ruff: noqa: S311 - chance must follow from the seed

import argparse
import asyncio
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.chaos import report
from tests.chaos.nemeses import NEMESES
from tests.chaos.plants import PLANTS, plant
from tests.chaos.run import Course, Run, new_history
from tests.chaos.system import COMPILER, ROOT, Pace, running
from tests.chaos.workload import Camera
from tests.e2e.issuer import issuing
from tests.synthetic import make_scene

SCENES = (25, 26, 27)  # seeds of the photos for the real analysis


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16), help="chooses all that is random")
    parser.add_argument("--phones", type=int, default=6)
    parser.add_argument("--only", default="", help="nemeses whose group or name contains one of these, comma separated")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="break the system on purpose before the check")
    parser.add_argument("--analyzer", choices=("mock", "thermography"), default="mock")
    return parser.parse_args()


async def _main(arguments: argparse.Namespace) -> tuple[Path, Course]:
    folder = ROOT / "out" / "chaos" / f"seed-{arguments.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    words = [word for word in arguments.only.split(",") if word]
    chosen = [n for n in NEMESES if not words or any(word in f"{n.group} {n.name}" for word in words)]
    rng = random.Random(arguments.seed)
    scenes = [make_scene(seed) for seed in SCENES] if arguments.analyzer == "thermography" else []
    camera = Camera(arguments.seed, [(scene.colour, scene.thermal) for scene in scenes])
    history = new_history(folder)
    mock = arguments.analyzer == "mock"
    with issuing("127.0.0.1") as issuer:
        async with running(folder, issuer, pace=Pace(), analyzer=arguments.analyzer, rng=rng) as system:
            run = Run(system, history, arguments.seed, arguments.phones, camera)
            try:
                await run.go(arguments.minutes * 60, chosen)
                if arguments.minutes >= 3:
                    await run.sweep()
                if arguments.plant:
                    stores = await run.stores()
                    await asyncio.to_thread(plant, arguments.plant, system, stores, run.acknowledged())
                    await run.poll_all()
                await run.judge(constant_image=mock)
            finally:
                history.close()
                path = report.write(folder, run.course, history.events)
    return path, run.course


async def _until_stopped(arguments: argparse.Namespace) -> tuple[Path, Course]:
    """Run; Ctrl-C and SIGTERM cancel it, so that processes and containers are removed."""
    task = asyncio.ensure_future(_main(arguments))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def main() -> None:
    """Run, and end with status 1 when a promise was broken."""
    arguments = _arguments()
    sys.stderr.write(f"Faults for {arguments.minutes:g} minutes, SEED={arguments.seed} …\n")
    if COMPILER is None:
        sys.stderr.write("There is no C compiler (cc): clocks do not jump.\n")
    with suppress(asyncio.CancelledError):
        path, course = asyncio.run(_until_stopped(arguments))
        sys.stdout.write(path.read_text(encoding="utf-8"))
        sys.stderr.write(f"In {path.parent.relative_to(ROOT)}: report, history, and the processes' logs.\n")
        raise SystemExit(1 if course.violations else 0)
    raise SystemExit(130)


if __name__ == "__main__":
    main()
