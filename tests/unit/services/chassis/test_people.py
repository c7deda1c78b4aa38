"""Who a person is, by issuer and subject."""

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.people import GOOGLE_ISSUER, LONGEST_ID, person_id

TEXTS = st.text(min_size=1, max_size=LONGEST_ID)


def test_the_person_of_a_google_token_is_its_subject() -> None:
    assert person_id(GOOGLE_ISSUER, "110169484474386276334") == "110169484474386276334"


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_two_people_are_never_one(issuer: str, subject: str, other_issuer: str, other_subject: str) -> None:
    for first, second in ((issuer, other_issuer), (GOOGLE_ISSUER, issuer), (GOOGLE_ISSUER, GOOGLE_ISSUER)):
        same = (first, subject) == (second, other_subject)
        assert (person_id(first, subject) == person_id(second, other_subject)) is same


@given(TEXTS)
def test_no_subject_at_google_is_the_person_of_another_issuer(subject: str) -> None:
    other = person_id("https://login.example.com", subject)
    assert person_id(GOOGLE_ISSUER, other) != other


@given(st.sampled_from([GOOGLE_ISSUER, "https://login.example.com"]), st.text(min_size=1, max_size=300))
def test_the_id_of_a_person_is_no_address_and_fits_the_database(issuer: str, subject: str) -> None:
    assert "@" not in person_id(issuer, subject)
    assert len(person_id(issuer, subject)) <= LONGEST_ID
