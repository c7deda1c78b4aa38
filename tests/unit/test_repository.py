"""No secret is kept in the repository."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What keys and tokens of the usual makers look like. Each is written so that it does not match itself, and begins with
# what it is searched by: all of them as one would take five times as long.
SECRETS = [
    re.compile(pattern)
    for pattern in (
        r"-----BEGIN [A-Z ]*PRIVATE[ ]KEY-----\s*[A-Za-z0-9+/=]",
        r"AKIA[0-9A-Z]{16}\b",
        r"AIza[\w-]{35}\b",
        r"GOCSPX-[\w-]{20,}",
        r"ya29\.[\w-]{20,}",
        r"gh[pousr]_[A-Za-z0-9]{36}\b",
        r"github_pat_\w{40,}",
        r"xox[abprs]-[\w-]{10,}",
        r"sk_live_\w{16,}",
        r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}",
        # A name that says what it is, and a value as random as it should be.
        r"(?i:password|passwd|secret|token|_keys?)\s*[=:]\s*['\"]?(?:[0-9a-f]{32,}|[A-Za-z0-9+/]{42,}={1,2})",
    )
]


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="what belongs to the repository is told by git"
)
def test_no_file_holds_what_looks_like_a_secret() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert len(paths) > 100
    assert not [path for path in paths if path.name in (".env", ".netrc", ".pypirc") or path.suffix in (".pem", ".key")]
    texts = {path: path.read_bytes().decode("latin-1") for path in paths if path.is_file()}
    found = [
        f"{path.relative_to(ROOT)}: {match.group()[:12]}…"
        for path, text in texts.items()
        for secret in SECRETS
        for match in secret.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEow",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "SERVICE_TOKEN=" + "7f3aa91c04e2b6d8" * 2,
        "ACCESS_TOKEN_KEYS: '" + "Zm9v" * 10 + "abc=" + "'",
        "password = '" + "0123456789abcdef" * 2 + "'",
    ],
)
def test_a_secret_would_be_seen(secret: str) -> None:
    assert any(pattern.search(f"some line\n{secret}\n") for pattern in SECRETS)
