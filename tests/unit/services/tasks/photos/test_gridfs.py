"""Which addresses of a MongoDB are accepted; what the store does is tested with a server."""

import pytest

from services.chassis.startup import StartupError
from services.tasks.photos.gridfs import GridFSPhotos


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mongo:27017",
        "http://u:hunter2@mongo/",
        "mongodb://",
        "mongodb://[::1",
        "mongodb://u:hunter2@mongo:port/",
        "mongodb://u:hu@nter2@mongo/",
        "mongodb://u:hu/nter2@mongo/",
    ],
)
def test_what_is_no_address_ends_the_start_without_being_repeated(url: str) -> None:
    with pytest.raises(StartupError, match=r"^MONGO_URL: ") as refusal:
        GridFSPhotos(url)
    assert "nter2" not in str(refusal.value)
