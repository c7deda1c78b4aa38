"""The bound on what cleaning one photo may cost, and the way to end it early.

A file says of itself how many parts it has and where they lie, so it can name the same bytes again and again. Every
cleaner therefore reports each part that it looks at and all bytes that it searches or copies. Both are bounded by the
size of the file, whatever its form.
"""

LEAST_STEPS = 1_000  # a photo has dozens of parts, one in tiles or with strips has hundreds
BYTES_PER_STEP = 128  # beyond LEAST_STEPS; parts of real photos have hundreds or thousands of bytes each
LEAST_BYTES = 512 * 1024  # beyond LOOKS: a compressed colour profile is larger than it looks
LOOKS = 4  # how often a file may be looked at as a whole


class UnreadableError(Exception):
    """The file's form is so broken or so odd that its picture cannot be told from the rest."""


class StoppedError(Exception):
    """Nobody waits for the photo any more."""


class Work:
    """What has been done for one photo of ``size`` bytes. One thread works, and another one may stop it."""

    def __init__(self, size: int) -> None:
        self.most_steps = LEAST_STEPS + size // BYTES_PER_STEP
        self.most_bytes = LEAST_BYTES + LOOKS * size
        self.steps = 0
        self.bytes = 0
        self._is_stopped = False

    def stop(self) -> None:
        """End the work at its next step."""
        self._is_stopped = True

    def step(self, count: int = 1) -> None:
        """Count parts that are looked at. Raise :class:`UnreadableError` or :class:`StoppedError`."""
        self.steps += count
        if self.steps > self.most_steps:
            raise UnreadableError("the file has too many parts")
        if self._is_stopped:
            raise StoppedError

    def look(self, size: int) -> None:
        """Count bytes that are searched or copied. Raise :class:`UnreadableError` or :class:`StoppedError`."""
        self.bytes += size
        if self.bytes > self.most_bytes:
            raise UnreadableError("the file names the same bytes too often")
        self.step()
