"""``make audit``: known vulnerabilities of the locked packages, as pip-audit finds them at PyPI or else at OSV.

Ends with 0 when every package was looked up and none is vulnerable, with 1 when some are, and with 3 when packages
could not be looked up: where neither service can be reached, pip-audit itself would call that success.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SERVICES = ("pypi", "osv")
AUDIT_SECONDS = 300.0
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3

Report = dict[str, Any] | None
"""What pip-audit writes as JSON; None when it could not write anything."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of the packages of a lock."""

    packages: int
    vulnerable: tuple[str, ...]
    unknown: int


def pip_audit(lock: Path, service: str) -> Report:
    """Ask ``service`` about each package in ``lock``; nothing is installed or resolved."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    options = ["--progress-spinner", "off", "--format", "json", "--vulnerability-service", service, "--timeout", "10"]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*command, *options], capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS
        )
        report: Report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return report


def read(report: Report) -> Finding | None:
    """What ``report`` says."""
    if report is None:
        return None
    packages = report["dependencies"]
    vulnerable = tuple(
        f"{package['name']} {package['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'none'}"
        for package in packages
        for fault in package.get("vulns", ())
    )
    return Finding(len(packages), vulnerable, sum("skip_reason" in package for package in packages))


def find(lock: Path, ask: Callable[[Path, str], Report]) -> Finding | None:
    """The first answer that is about every package, else the one about most; None when there is none."""
    best: Finding | None = None
    for service in SERVICES:
        finding = read(ask(lock, service))
        if finding and (best is None or finding.unknown < best.unknown):
            best = finding
        if best and not best.unknown:
            break
    return best


def audit(locks: list[Path], ask: Callable[[Path, str], Report] = pip_audit) -> int:
    """Write what is known about each lock; the status to end with."""
    statuses = set()
    for lock in locks:
        finding = find(lock, ask)
        if finding is None:
            say(f"{lock.name}: NOT AUDITED, no vulnerability service could be reached")
            statuses.add(UNKNOWN)
            continue
        for fault in finding.vulnerable:
            say(f"{lock.name}: {fault}")
            statuses.add(VULNERABLE)
        if finding.unknown:
            say(f"{lock.name}: NOT AUDITED, no service knows {finding.unknown} of {finding.packages} packages")
            statuses.add(UNKNOWN)
        elif not finding.vulnerable:
            say(f"{lock.name}: {finding.packages} packages, none with a known vulnerability")
    return VULNERABLE if VULNERABLE in statuses else UNKNOWN if UNKNOWN in statuses else CLEAN


def say(line: str) -> None:
    """A line to the operator."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(audit(sorted((ROOT / "locks").glob("*.txt"))))
