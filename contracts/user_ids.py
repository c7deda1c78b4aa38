"""How a person is named in requests and events: an e-mail address, or an id without an ``@``."""

import string
import unicodedata

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def normalised(user_id: str) -> str:
    """Return a user id as it is stored and compared: an e-mail address with A to Z in lower case, other ids unchanged.

    Unicode's own lower case would make one address of two: that of the Kelvin sign is the letter k.
    """
    user_id = user_id.strip()
    return user_id.translate(_LOWER) if "@" in user_id else user_id


def is_lookalike(user_id: str) -> bool:
    """Return whether ``user_id`` is an address in characters that stand for others, as full-width letters do.

    Such an address reads like another one, and a mail server may take it for that one (Unicode's NFKC).
    """
    standard = unicodedata.normalize("NFKC", user_id)
    return "@" in standard and standard != user_id
