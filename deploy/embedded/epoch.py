"""Whether the data folder was put back from a copy, so that tokens from before must not count any more.

Sign-outs of the time between are not in the copy. A file cannot be copied with its inode and the time of its last
change: when those of the mark are not the ones noted beside it, the folder is a copy, or was written over by one.
"""

import json
from pathlib import Path

MARK, SEEN = "epoch", "epoch.seen"


def is_restored(data: Path) -> bool:
    """Return whether ``data`` holds accounts of another folder, or of this one at another time."""
    if not (data / "auth.sqlite3").exists():
        return False
    try:
        return bool(json.loads((data / SEEN).read_text()) != _found(data))
    except (OSError, ValueError):
        return True  # of a release that made no mark, or half a copy


def note_epoch(data: Path) -> None:
    """Note that the folder is what it is: after its tokens have been refused, if they had to be."""
    if not (data / MARK).exists():  # touching it would change what is noted
        (data / MARK).touch()
    new = data / f"{SEEN}.new"
    new.write_text(json.dumps(_found(data)))
    new.replace(data / SEEN)


def _found(data: Path) -> list[int]:
    mark = (data / MARK).stat()
    return [mark.st_ino, mark.st_ctime_ns]
