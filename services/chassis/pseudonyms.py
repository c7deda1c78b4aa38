"""What a service remembers of a person who is to be forgotten: a keyed digest of the user id, and never the id.

Without the key nobody can tell whose it is; a bare digest would not do, because e-mail addresses can be guessed.
"""

import hashlib
import hmac

PSEUDONYM_LENGTH = 64


def pseudonym(secret: str, user_id: str) -> str:
    """PSEUDONYM_LENGTH hexadecimal digits for a normalised user id: HMAC-SHA256 with a key made from ``secret``."""
    return hmac.new(f"pseudonyms {secret}".encode(), user_id.encode(), hashlib.sha256).hexdigest()
