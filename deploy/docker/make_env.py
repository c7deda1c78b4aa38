"""Prints .env.example with a random value for every secret that it leaves empty. Needs nothing but Python."""

import base64
import re
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def filled(example: str) -> str:
    """``example`` with a secret of 32 random bytes for each empty value: keys in base64, others in hexadecimal."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        random = secrets.token_bytes(32)
        return f"{name}={base64.b64encode(random).decode() if name.endswith('_KEYS') else random.hex()}"

    return re.sub(r"^([A-Z_]+)=$", fill, example, flags=re.MULTILINE)


if __name__ == "__main__":
    sys.stdout.write(filled(EXAMPLE.read_text()))
