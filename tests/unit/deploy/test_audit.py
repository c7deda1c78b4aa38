"""The audit of packages never calls it success when it could not look."""

from pathlib import Path
from typing import Any

import pytest

from deploy.audit import CLEAN, UNKNOWN, VULNERABLE, Report, audit

LOCKS = [Path("locks/one.txt"), Path("locks/two.txt")]
GOOD: dict[str, Any] = {"name": "good", "version": "1.0", "vulns": []}
BAD: dict[str, Any] = {
    "name": "bad",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-0000-1", "fix_versions": ["2.1"]}, {"id": "PYSEC-0000-2", "fix_versions": []}],
}
SKIPPED: dict[str, Any] = {"name": "odd", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("pypi", "osv", "status", "said"),
    [
        ([GOOD, GOOD], None, CLEAN, "2 packages, none with a known vulnerability"),
        ([GOOD, BAD], None, VULNERABLE, "bad 2.0: PYSEC-0000-1, fixed in 2.1"),
        ([GOOD, BAD], None, VULNERABLE, "bad 2.0: PYSEC-0000-2, fixed in none"),
        ([BAD, SKIPPED], None, VULNERABLE, "NOT AUDITED, no service knows 1 of 2 packages"),
        ([GOOD, SKIPPED], None, UNKNOWN, "NOT AUDITED, no service knows 1 of 2 packages"),
        ([GOOD, SKIPPED], [GOOD, GOOD], CLEAN, "none with a known vulnerability"),
        ([SKIPPED, SKIPPED], [SKIPPED, GOOD], UNKNOWN, "no service knows 1 of 2 packages"),
        (None, [GOOD], CLEAN, "1 packages, none"),
        (None, None, UNKNOWN, "NOT AUDITED, no vulnerability service could be reached"),
    ],
)
def test_what_is_said_and_returned_follows_from_what_was_learnt(
    capsys: pytest.CaptureFixture[str],
    pypi: list[dict[str, Any]] | None,
    osv: list[dict[str, Any]] | None,
    status: int,
    said: str,
) -> None:
    def ask(lock: Path, service: str) -> Report:
        packages = {"pypi": pypi, "osv": osv}[service]
        return None if packages is None else {"dependencies": packages}

    assert audit(LOCKS, ask) == status
    out = capsys.readouterr().out
    for lock in LOCKS:
        assert f"{lock.name}: " in out
    assert said in out
    assert ("none with a known" in out) == (status == CLEAN)


def test_one_lock_that_could_not_be_looked_up_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    def ask(lock: Path, service: str) -> Report:
        return {"dependencies": [GOOD]} if lock == LOCKS[0] else None

    assert audit(LOCKS, ask) == UNKNOWN
    assert "one.txt: 1 packages, none" in capsys.readouterr().out
