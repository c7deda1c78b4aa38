"""Multipart headers as clients write them, which is not always as the standards have them."""

import re
from email.message import Message

from multipart import MultipartSegment, parse_options_header

_UNQUOTED_BOUNDARY = re.compile(r";\s*boundary\s*=\s*([^\s\";][^\";]*)", re.IGNORECASE)


def read_content_type(header: str) -> tuple[str, str]:
    """Return the media type and the boundary of a ``Content-Type``; "" when there is none.

    A boundary may hold ``( ) , / : = ?`` (RFC 2046) and must then be quoted (RFC 2045); some clients do not quote it.
    """
    media_type, options = parse_options_header(header)
    unquoted = _UNQUOTED_BOUNDARY.search(header)
    return media_type, unquoted[1].rstrip() if unquoted else options.get("boundary", "")


def read_file_name(segment: MultipartSegment) -> str | None:
    """Return the file name of a part; None for a part that is no file.

    RFC 7578 forbids ``filename*`` (RFC 8187) in forms, but some clients send nothing else for a name that is not ASCII.
    """
    name: str | None = segment.filename
    if name is not None:
        return name
    disposition = segment.header("Content-Disposition") or ""
    if "filename*" not in disposition.lower():
        return None
    message = Message()
    message["Content-Disposition"] = disposition
    try:
        return message.get_filename("")
    except ValueError:  # a character set that cannot be one, or bytes that it does not know
        return ""
