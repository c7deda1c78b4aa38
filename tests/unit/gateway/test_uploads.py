"""Places for uploads: so many of each client, so many together, and each is given back."""

import pytest

from gateway.uploads import Uploads
from services.chassis.problems import Problem


def test_a_client_that_has_its_places_gets_no_other_until_it_gives_one_back():
    uploads = Uploads(100)
    uploads.enter("a", 2)
    uploads.enter("a", 2)
    with pytest.raises(Problem) as refused:
        uploads.enter("a", 2)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "5"})
    uploads.enter("b", 2)
    uploads.leave("a")
    uploads.enter("a", 2)


def test_when_all_places_are_taken_nobody_gets_one_until_one_is_given_back():
    uploads = Uploads(2)
    uploads.enter("a", 2)
    uploads.enter("b", 2)
    with pytest.raises(Problem) as refused:
        uploads.enter("c", 2)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    uploads.leave("a")
    uploads.enter("c", 2)


def test_clients_without_an_upload_are_not_remembered():
    uploads = Uploads(1)
    for number in range(1000):
        uploads.enter(str(number), 1)
        with pytest.raises(Problem):
            uploads.enter("other", 1)
        uploads.leave(str(number))
    assert uploads.taken == 0
    assert not uploads._of_client
