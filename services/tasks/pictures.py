"""What kind of picture some bytes are. Clients name every file ``application/octet-stream``, so only bytes count."""

ANALYSED = frozenset({"image/jpeg", "image/png", "image/webp", "image/heic"})
"""What analysis reads, and so what we take. The store holds others that the old backend took: they are only shown."""

HEAD_BYTES = 32
"""So many of a file's first bytes tell any type."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"avif")


def media_type(head: bytes) -> str | None:
    """The media type that the first HEAD_BYTES bytes of a file tell, or None when they are no picture that we know."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "image/avif" if head[8:12] == b"avif" else "image/heic"
    if head.startswith((b"II*\x00", b"MM\x00*")):
        return "image/tiff"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"BM") and head[6:10] == bytes(4):  # two letters alone begin many a text
        return "image/bmp"
    return None
