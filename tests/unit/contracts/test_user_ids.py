"""User ids as they are stored and compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.user_ids import is_lookalike, normalised


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.from_regex(r"\A[A-Za-z0-9.+_-]{1,20}@[A-Za-z0-9.-]{1,20}\Z"), st.sampled_from(["", " ", "\t", "\n"]))
def test_an_email_address_is_the_same_in_any_case_and_with_blanks_around_it(address: str, blank: str) -> None:
    assert normalised(blank + address.upper() + blank) == normalised(address.lower())


@given(st.text().filter(lambda text: "@" not in text))
def test_an_id_that_is_no_address_keeps_its_case(text: str) -> None:
    assert normalised(text) == text.strip()


@given(st.characters(min_codepoint=128))
def test_no_letter_beyond_ascii_becomes_another(letter: str) -> None:
    assert normalised(f"a{letter}a@example.com") == f"a{letter}a@example.com"


@pytest.mark.parametrize(
    "address", ["\u212aevin@example.com", "ｋevin@example.com", "jose\u0301@example.com", "a＠b.com"]
)
def test_an_address_that_changes_under_nfkc_is_a_lookalike(address: str) -> None:
    assert is_lookalike(address)


@pytest.mark.parametrize("user_id", ["kevin@example.com", "josé@example.com", "用户@例子.com", "1101", "\u212aevin"])
def test_other_ids_are_none(user_id: str) -> None:
    assert not is_lookalike(user_id)
