"""Keys of access tokens, as an operator gives them."""

import base64
import json

import jwt
import pytest

from services.auth.signing import Signer, decode_seeds
from services.chassis.identity import AccessTokens
from services.chassis.people import Identity
from tests.tokens import proved

SOMEONE = proved("new@example.com", "1101", at=1).with_account("old@example.com")
SEEDS = [b"1" * 32, b"2" * 32]


def encoded(*seeds: bytes) -> str:
    return " , ".join(base64.b64encode(seed).decode() for seed in seeds)


def test_seeds_are_read_in_their_order() -> None:
    assert decode_seeds(encoded(*SEEDS)) == SEEDS


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", encoded(b"short"), encoded(b"x" * 33), encoded(*SEEDS) + ",", "not base64!", "hünter2", "A" * 43],
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode_seeds(text)
    assert not text.strip(" ,") or text not in str(caught.value)


async def test_a_token_is_good_for_its_user_by_the_published_keys() -> None:
    signer = Signer(SEEDS, 60)
    person = (await AccessTokens(signer).prove(signer.sign(SOMEONE))).identity
    assert person == Identity("1101", frozenset({"1101", "new@example.com"}), 1, account="old@example.com")
    assert person.may_use("NEW@example.com")
    assert not person.may_use("old@example.com"), "that may be the address of somebody else by now"


async def test_every_token_is_another_one() -> None:
    signer = Signer(SEEDS, 60)
    assert signer.sign(SOMEONE) != signer.sign(SOMEONE)


async def test_a_key_keeps_its_id_whatever_its_place() -> None:
    first = json.loads(await Signer(SEEDS, 60).get())["keys"]
    second = json.loads(await Signer(SEEDS[::-1], 60).get())["keys"]
    assert first == second[::-1]
    assert jwt.get_unverified_header(Signer(SEEDS, 60).sign(SOMEONE))["kid"] == first[0]["kid"]


async def test_what_is_published_does_not_hold_the_private_key() -> None:
    published = (await Signer(SEEDS, 60).get()).decode()
    assert '"d"' not in published
    for seed in SEEDS:
        assert base64.urlsafe_b64encode(seed).rstrip(b"=").decode() not in published
