"""Tokens: what is issued is read, and nothing else is."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.store.database import open_database
from provider.auth.revocations import Revocations
from provider.auth.tokens import PURPOSE, Claims, Tokens
from provider.errors import InvalidRequest, SettingsInvalid, TokenExpired, TokenInvalid
from provider.keys import ProviderKey
from provider.migrations import VERSIONS

USER = "0x1563915e194D8CfBA1943570603F7606A3115508"
NOW = 1_700_000_000.5
DAY = 86_400
SECRET = ProviderKey.from_text("11" * 32).derive(PURPOSE)
GOOD = {"address": USER, "exp": int(NOW) + 60, "iat": int(NOW), "jti": "x"}


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET, DAY)


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_an_issued_token_is_read_back(tokens: Tokens) -> None:
    claims = tokens.read(tokens.issue(USER, int(NOW) + 60, NOW), NOW)
    assert claims.address == USER.lower()
    assert claims.expires_at == int(NOW) + 60
    assert len(claims.jti) >= 20


def test_a_token_says_what_clients_look_for(tokens: Tokens) -> None:
    token = tokens.issue(USER.lower(), int(NOW) + 60, NOW)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["address"] == USER
    assert sorted(claims) == ["address", "exp", "iat", "jti"]


def test_two_tokens_for_the_same_time_differ(tokens: Tokens) -> None:
    first, second = (tokens.issue(USER, int(NOW) + 60, NOW) for _ in range(2))
    assert tokens.read(first, NOW).jti != tokens.read(second, NOW).jti


def test_a_token_ends_exactly_when_it_says(tokens: Tokens) -> None:
    end = int(NOW) + 60
    token = tokens.issue(USER, end, NOW)
    assert tokens.read(token, end - 0.001).expires_at == end
    with pytest.raises(TokenExpired):
        tokens.read(token, end)


@pytest.mark.parametrize("ahead", [0, -1, -DAY])
def test_a_time_that_is_over_is_refused(tokens: Tokens, ahead: int) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        tokens.issue(USER, int(NOW) + ahead, NOW)
    assert refusal.value.errors == {"expiration": ["Invalid timestamp provided."]}


def test_a_life_beyond_the_bound_is_refused(tokens: Tokens) -> None:
    assert tokens.issue(USER, int(NOW) + DAY, NOW)
    with pytest.raises(InvalidRequest) as refusal:
        tokens.issue(USER, int(NOW) + DAY + 1, NOW)
    assert "86400 seconds ahead" in str(refusal.value.errors["expiration"])


def test_a_shortened_bound_holds_for_tokens_already_out(tokens: Tokens) -> None:
    token = tokens.issue(USER, int(NOW) + DAY, NOW)
    stricter = Tokens(SECRET, 60)
    assert stricter.read(token, NOW + 30).expires_at == int(NOW) + 60
    with pytest.raises(TokenExpired):
        stricter.read(token, NOW + 60)


def test_another_providers_token_is_refused(tokens: Tokens) -> None:
    other = Tokens(ProviderKey.from_text("22" * 32).derive(PURPOSE), DAY)
    with pytest.raises(TokenInvalid):
        tokens.read(other.issue(USER, int(NOW) + 60, NOW), NOW)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused(tokens: Tokens, algorithm: str) -> None:
    with pytest.raises(TokenInvalid):
        tokens.read(jwt.encode(GOOD, SECRET * 2, algorithm=algorithm), NOW)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "RS256", "ES256K", ""])
def test_a_header_cannot_choose_the_algorithm(tokens: Tokens, algorithm: str) -> None:
    signature = tokens.issue(USER, int(NOW) + 60, NOW).rsplit(".", 1)[1]
    for end in ("", signature):
        with pytest.raises(TokenInvalid):
            tokens.read(f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(GOOD)}.{end}", NOW)


@pytest.mark.parametrize("claim", sorted(GOOD))
def test_every_claim_is_required(tokens: Tokens, claim: str) -> None:
    claims = {name: value for name, value in GOOD.items() if name != claim}
    with pytest.raises(TokenInvalid):
        tokens.read(jwt.encode(claims, SECRET), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": str(int(NOW) + 60)},
        {"exp": NOW + 60},
        {"exp": True},
        {"iat": "x"},
        {"iat": None},
        {"jti": 7},
        {"address": "someone"},
        {"address": [USER]},
    ],
)
def test_claims_of_the_wrong_type_are_refused(tokens: Tokens, changes: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        tokens.read(jwt.encode(GOOD | changes, SECRET), NOW)


def test_changed_claims_are_refused(tokens: Tokens) -> None:
    header, _, signature = tokens.issue(USER, int(NOW) + 60, NOW).split(".")
    with pytest.raises(TokenInvalid):
        tokens.read(f"{header}.{part(GOOD)}.{signature}", NOW)


@given(text=st.text(max_size=60) | st.sampled_from(["", ".", "..", "a.b.c", "\ud800.a.b"]))
def test_no_text_does_worse_than_a_refusal(text: str) -> None:
    with pytest.raises(TokenInvalid):
        Tokens(SECRET, DAY).read(text, NOW)


def test_an_oversized_token_is_not_even_parsed(tokens: Tokens) -> None:
    with pytest.raises(TokenInvalid):
        tokens.read(jwt.encode(GOOD | {"more": "x" * 2000}, SECRET), NOW)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        Tokens(b"x" * 31, DAY)


def test_no_claim_that_identifies_a_token_is_shown() -> None:
    assert "secret-id" not in repr(Claims("0x00", "secret-id", 1))


async def test_a_revoked_token_stays_revoked_when_the_bound_is_raised(tmp_path: Path) -> None:
    """It was deleted while the bound was an hour, and would have lived a day."""
    token = Tokens(SECRET, DAY).issue(USER, int(NOW) + DAY, NOW)
    claims = Tokens(SECRET, 3600).read(token, NOW)
    assert (claims.expires_at, claims.signed_until) == (int(NOW) + 3600, int(NOW) + DAY)
    database = await open_database(f"sqlite:///{tmp_path}/tokens.db", migrations=[VERSIONS])
    revocations = Revocations(database)
    await revocations.revoke(claims.jti, claims.signed_until)
    await revocations.purge(NOW + 7200)
    assert await Revocations(database).revoked(claims.jti)
    await database.close()
