"""``make release-notes``: print what the changelog says of this version."""

import sys
from pathlib import Path

from contracts.version import VERSION

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def section(changelog: str, version: str) -> str:
    """Return the text below the heading ``## version``, up to the next such heading.

    Raises :class:`LookupError` when the changelog has no such heading.
    """
    parts = f"\n{changelog}".split("\n## ")
    for part in parts[1:]:
        heading, _, text = part.partition("\n")
        if heading.split()[:1] == [version]:
            return text.strip() + "\n"
    raise LookupError(f"CHANGELOG.md has no section for version {version}.")


def main() -> None:
    """Print the section, or end with 1 and a sentence."""
    try:
        sys.stdout.write(section(CHANGELOG.read_text(encoding="utf-8"), VERSION))
    except LookupError as error:
        raise SystemExit(str(error.args[0])) from error


if __name__ == "__main__":
    main()
