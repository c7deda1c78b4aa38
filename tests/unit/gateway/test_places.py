"""Places for requests: so many of each client, so many together, and each is given back."""

import pytest

from gateway.places import Places
from services.chassis.problems import Problem


def test_a_client_that_has_its_places_gets_no_other_until_it_gives_one_back():
    places = Places(100, 2)
    places.enter("a")
    places.enter("a")
    with pytest.raises(Problem) as refused:
        places.enter("a")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "5"})
    places.enter("b")
    places.leave("a")
    places.enter("a")


def test_when_all_places_are_taken_nobody_gets_one_until_one_is_given_back():
    places = Places(2, 2)
    places.enter("a")
    places.enter("b")
    with pytest.raises(Problem) as refused:
        places.enter("c")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    places.leave("a")
    places.enter("c")


def test_clients_without_a_request_are_not_remembered():
    places = Places(1, 1)
    for number in range(1000):
        places.enter(str(number))
        with pytest.raises(Problem):
            places.enter("other")
        places.leave(str(number))
    assert places.taken == 0
    assert not places._of_client
