import pytest

from contracts.version import VERSION
from deploy.release_notes import CHANGELOG, section

TEXT = "# Changelog\n\nIntroduction.\n\n## 2.0.0\n\n### For users\n- two\n\n## 1.0.0 (old)\n- one\n"


def test_a_section_ends_before_the_next_version() -> None:
    assert section(TEXT, "2.0.0") == "### For users\n- two\n"


def test_the_last_section_ends_with_the_file() -> None:
    assert section(TEXT, "1.0.0") == "- one\n"


@pytest.mark.parametrize("version", ["1.0", "3.0.0", ""])
def test_a_version_without_a_heading_is_an_error(version: str) -> None:
    with pytest.raises(LookupError, match="no section"):
        section(TEXT, version)


def test_the_changelog_has_a_section_for_the_present_version() -> None:
    assert section(CHANGELOG.read_text(encoding="utf-8"), VERSION)
