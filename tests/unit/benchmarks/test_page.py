"""The page about performance holds what runs have found, and nothing typed by hand."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.benchmarks import history, page
from tests.benchmarks.history import Line, remember
from tests.benchmarks.picture import picture
from tests.benchmarks.results import Measure, Run, as_markdown, at_least, read, write

MACHINE = {"processor": "AMD EPYC", "cores": 2, "memory": "24 GiB"}


def run(rate: float, date: str = "2026-11-23T05:00:00+00:00") -> Run:
    measure = Measure("Submissions", "of a pair", seconds=12.0)
    measure.add("submissions", "/s", rate - 1, rate, rate + 1)
    measure.add("raw GridFS pairs", "/s", 100.0)
    measure.targets.append(at_least("submissions reach 65 % of the raw GridFS pairs", rate / 100, 0.65))
    return Run(date, "abc1234", MACHINE, [measure])


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = run(70.0)
    written.measures[0].failures.append("submissions: beside 3 good answers 1 times 503")
    write(written, tmp_path / "run.json")
    assert read(tmp_path / "run.json") == written
    assert written.failed


def test_a_run_from_before_runs_had_dates_takes_that_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-23T053656.json"
    path.write_text(json.dumps({"machine": MACHINE, "measures": []}))
    assert read(path) == Run("2026-11-23T053656", "", MACHINE, [])


def test_a_table_says_how_much_changed_and_what_failed() -> None:
    after = run(80.0)
    after.measures[0].failures.append("ConnectionError: gone")
    after.measures[0].add("new", "ms", 1.0)
    table = as_markdown(after, run(40.0))
    assert "| submissions | 40 /s | 80 /s | ±1% | +100% |" in table
    assert "| new | | 1 ms | ±0% | |" in table
    assert "**Failed**: ConnectionError: gone" in table
    assert "- met: submissions reach 65 %" in table


def test_the_page_keeps_its_prose_and_the_figures_take_the_place_of_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAGE", "PICTURE"):
        monkeypatch.setattr(page, name, tmp_path / name)
    monkeypatch.setattr(history, "HISTORY", tmp_path / "history.jsonl")
    (tmp_path / "PAGE").write_text(f"before\n{page.BEGIN}old figures\n{page.END}\nafter\n")
    for number, rate in enumerate((40.0, 80.0)):
        write(run(rate, f"2026-11-2{number}T05:00:00+00:00"), tmp_path / f"{number}.json")
        remember(read(tmp_path / f"{number}.json"))
    monkeypatch.setattr("sys.argv", ["page", str(tmp_path / "0.json"), str(tmp_path / "1.json")])
    page.main()
    page.main()
    text = (tmp_path / "PAGE").read_text()
    assert text.startswith(f"before\n{page.BEGIN}")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old figures" not in text
    assert "| Submissions: submissions reach 65 % of the raw GridFS pairs | 0.4 | 0.8 | met |" in text
    assert ">80<" in (tmp_path / "PICTURE").read_text()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_picture_can_be_drawn_of_any_number_of_runs_with_figures_missing(count: int) -> None:
    lines = [
        Line(f"2026-11-2{n}", f"commit{n}", MACHINE, {"submissions": 50.0 + n, "submissions: yardstick": 100.0})
        for n in range(count)
    ]
    drawn = ET.fromstring(picture(lines))  # noqa: S314 - our own
    assert "Submissions" in {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}


def test_runs_on_another_machine_are_not_drawn_beside_the_last() -> None:
    other = {**MACHINE, "processor": "another one"}
    lines = [Line("2026-11-20", "there", other, {"jobs": 99.0}), Line("2026-11-21", "here", MACHINE, {"jobs": 10.0})]
    drawn = picture(lines)
    assert "here" in drawn
    assert "there" not in drawn
