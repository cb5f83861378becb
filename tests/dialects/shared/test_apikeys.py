"""API keys: what is kept, what is right, and what a check costs whatever is wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Mapping

import pytest
from kit_server import ALICE, BOB, HASHED, HASHES
from pydantic import BaseModel, ConfigDict, ValidationError

from provider.apikeys import (
    AT_ONCE,
    MOST_KEY_BYTES,
    MOST_WAITING,
    Cost,
    HashedKey,
    Hashing,
    KeyRing,
    TooManyChecks,
    hash_key,
    new_key,
)

CHOSEN = "correct horse battery"


def hashed(key: str, cost: Cost | None = None) -> HashedKey:
    return HashedKey.parse(hash_key(key, cost))


def counted(entries: Mapping[str, HashedKey] = HASHED) -> tuple[KeyRing, Hashing]:
    hashing = Hashing()
    return KeyRing(entries, hashing), hashing


def test_a_new_key_is_long_random_and_safe_in_a_url() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("oc_") and len(key) == 67 for key in keys)
    assert all(
        set(key) <= set(base64.urlsafe_b64encode(bytes(range(256))).decode() + "oc_-")
        for key in keys
    )


def test_the_hash_is_scrypts_own() -> None:
    scheme, n, r, p, salt, digest = hash_key(CHOSEN).split("$")
    assert (scheme, n, r, p) == ("scrypt", "16384", "8", "1")
    again = hashlib.scrypt(
        CHOSEN.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p), dklen=32
    )
    assert base64.b64encode(again).decode() == digest


def test_two_hashes_of_a_chosen_secret_differ() -> None:
    assert hash_key(CHOSEN) != hash_key(CHOSEN)


async def test_a_hash_tells_nothing_of_the_random_part_of_a_key() -> None:
    salt = base64.b64decode(HASHES["alice"].split("$")[4])
    raw = base64.urlsafe_b64decode(ALICE.removeprefix("oc_"))
    assert raw.startswith(salt)
    assert len(raw) - len(salt) == 32
    forged = "oc_" + base64.urlsafe_b64encode(salt + bytes(32)).decode()
    assert await KeyRing(HASHED).name_of(forged) is None


@pytest.mark.parametrize("key", ["", "a\0", "\0", "x" * (MOST_KEY_BYTES + 1), "é" * 257])
def test_what_could_never_be_right_is_not_hashed(key: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 512 bytes"):
        hash_key(key)


SALT = base64.b64encode(bytes(16)).decode()
DIGEST = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "my secret",
        new_key(),
        f"bcrypt$16384$8$1${SALT}${DIGEST}",
        f"scrypt$16384$8$1${SALT}",
        f"scrypt$16384$8$1${SALT}${DIGEST}$",
        f"scrypt$16384$8$1${SALT}${DIGEST}\n",
        f"scrypt$-16384$8$1${SALT}${DIGEST}",
        f"scrypt$8192$8$1${SALT}${DIGEST}",
        f"scrypt$16385$8$1${SALT}${DIGEST}",
        f"scrypt$131072$8$1${SALT}${DIGEST}",
        f"scrypt$9999999$8$1${SALT}${DIGEST}",
        f"scrypt$16384$9$1${SALT}${DIGEST}",
        f"scrypt$16384$8$5${SALT}${DIGEST}",
        f"scrypt$16384$8$0${SALT}${DIGEST}",
        f"scrypt$16384$8$1${SALT[:-4]}${DIGEST}",
        f"scrypt$16384$8$1${SALT}${DIGEST[:-4]}",
        f"scrypt$16384$8$1${SALT}${DIGEST[:-1]}",
        f"scrypt$16384$8$1${base64.b64encode(bytes(65)).decode()}${DIGEST}",
    ],
)
def test_what_is_no_hash_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (texts differ)
        HashedKey.parse(text)
    assert len(text) < 10 or text.strip() not in str(caught.value)


@pytest.mark.parametrize("cost", [Cost(1 << 14), Cost(1 << 16, 8, 4)])
async def test_every_cost_that_is_taken_can_be_computed(cost: Cost) -> None:
    assert await KeyRing({"alice": hashed(CHOSEN, cost)}).name_of(CHOSEN) == "alice"


async def test_a_key_has_a_name() -> None:
    ring = KeyRing(HASHED)
    assert await ring.name_of(ALICE) == "alice"
    assert await ring.name_of(BOB) == "bob"
    assert await ring.name_of(ALICE, "bob") == "alice"


@pytest.mark.parametrize(
    "key", ["", "wrong", new_key(), ALICE[:-1], ALICE + "x", ALICE.upper(), "\ud800", ALICE + "\0"]
)
async def test_a_wrong_key_has_none_and_costs_one_hash(key: str) -> None:
    ring, hashing = counted()
    assert await ring.name_of(key) is None
    assert hashing.done == 1


async def test_a_right_key_costs_one_hash_however_many_there_are() -> None:
    entries = {f"k{number}": hashed(new_key()) for number in range(20)} | HASHED
    ring, hashing = counted(entries)
    assert await ring.name_of(BOB) == "bob"
    assert hashing.done == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [("alice", ""), ("alice", "wrong"), ("alice", BOB), ("nobody", ALICE), ("", ""), ("", ALICE)],
)
async def test_a_wrong_pair_costs_one_hash(name: str, key: str) -> None:
    ring, hashing = counted()
    assert not await ring.matches(name, key)
    assert hashing.done == 1


async def test_a_right_pair_matches_and_is_remembered() -> None:
    ring, hashing = counted()
    assert await ring.matches("alice", ALICE)
    assert await ring.matches("alice", ALICE)
    assert hashing.done == 1
    assert not await ring.matches("bob", ALICE)
    assert hashing.done == 2


async def test_a_right_key_is_remembered_a_wrong_one_is_not() -> None:
    ring, hashing = counted()
    for _ in range(3):
        assert await ring.name_of(ALICE) == "alice"
    assert hashing.done == 1
    for _ in range(3):
        assert await ring.name_of("wrong") is None
    assert hashing.done == 4


async def test_a_very_long_key_is_wrong_without_work() -> None:
    ring, hashing = counted()
    assert await ring.name_of("x" * (MOST_KEY_BYTES + 1)) is None
    assert not await ring.matches("alice", ALICE + "x" * MOST_KEY_BYTES)
    assert hashing.done == 0


async def test_an_empty_key_is_wrong_even_if_a_hash_of_it_is_there() -> None:
    salt = bytes(16)
    entry = HashedKey(Cost(), salt, Cost().hash(b"", salt))
    ring = KeyRing({"nobody": entry})
    assert await ring.name_of("") is None
    assert not await ring.matches("nobody", "")


async def test_zero_bytes_behind_a_chosen_secret_make_it_wrong() -> None:
    """scrypt itself takes both for the same."""
    ring = KeyRing({"alice": hashed(CHOSEN)})
    assert await ring.name_of(CHOSEN + "\0") is None
    assert await ring.name_of(CHOSEN) == "alice"


async def test_a_chosen_secret_is_found_alone_or_by_its_name() -> None:
    alone = KeyRing({"alice": hashed(CHOSEN)})
    assert await alone.name_of(CHOSEN) == "alice"
    assert await alone.name_of(CHOSEN, "somebody") == "alice"
    ring, hashing = counted({**HASHED, "carol": hashed(CHOSEN), "dave": hashed("another secret")})
    assert await ring.name_of(CHOSEN, "carol") == "carol"
    assert await ring.name_of(CHOSEN) is None
    assert await ring.name_of(CHOSEN, "dave") is None
    assert await ring.name_of(ALICE, "carol") == "alice"
    assert hashing.done == 4
    assert await ring.matches("carol", CHOSEN)


async def test_without_keys_everything_is_wrong_at_the_same_cost() -> None:
    ring, hashing = counted({})
    assert await ring.name_of(ALICE) is None
    assert not await ring.matches("alice", ALICE)
    assert hashing.done == 2


async def test_one_answer_serves_all_that_ask_the_same_at_once() -> None:
    ring, hashing = counted()
    assert await asyncio.gather(*(ring.name_of(ALICE) for _ in range(300))) == ["alice"] * 300
    assert hashing.done == 1


async def test_a_flood_is_turned_away_and_what_was_let_in_is_answered() -> None:
    hashing = Hashing(at_once=1, most_waiting=2)
    ring = KeyRing(HASHED, hashing)
    found = await asyncio.gather(
        *(ring.name_of(f"wrong {number}") for number in range(10)), return_exceptions=True
    )
    assert found[:3] == [None] * 3
    assert all(isinstance(each, TooManyChecks) for each in found[3:])
    assert hashing.done == 3
    assert await ring.name_of(ALICE) == "alice"


async def test_who_is_remembered_is_served_in_a_flood() -> None:
    hashing = Hashing(at_once=1, most_waiting=0)
    ring = KeyRing(HASHED, hashing)
    assert await ring.name_of(ALICE) == "alice"
    flood = asyncio.create_task(ring.name_of("wrong"))
    await asyncio.sleep(0)
    with pytest.raises(TooManyChecks):
        await ring.name_of("another")
    assert await ring.name_of(ALICE) == "alice"
    assert await flood is None


async def test_rings_share_the_threads_that_they_are_given() -> None:
    hashing = Hashing()
    one, other = KeyRing(HASHED, hashing), KeyRing({}, hashing)
    await asyncio.gather(one.name_of(ALICE), other.name_of(ALICE))
    assert hashing.done == 2


async def test_all_rings_share_two_threads_and_their_queue() -> None:
    rings = [KeyRing(HASHED), KeyRing({})]
    found = await asyncio.gather(
        *(rings[number % 2].name_of(f"wrong {number}") for number in range(AT_ONCE + MOST_WAITING)),
        KeyRing(HASHED).name_of("one too many"),
        return_exceptions=True,
    )
    assert found[:-1] == [None] * (AT_ONCE + MOST_WAITING)
    assert isinstance(found[-1], TooManyChecks)
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("keys")}
    assert {"keys_0", "keys_1"} <= names
    assert "keys_2" not in names


async def test_who_gives_up_does_not_spoil_it_for_others() -> None:
    ring, hashing = counted()
    first = asyncio.create_task(ring.name_of(ALICE))
    second = asyncio.create_task(ring.name_of(ALICE))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "alice"
    assert hashing.done == 1


async def test_the_event_loop_goes_on_while_keys_are_hashed() -> None:
    ring, hashing = counted({"alice": hashed(CHOSEN, Cost(1 << 16, 8, 4))})
    check = asyncio.create_task(ring.name_of("wrong"))
    turns = 0
    while not check.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    assert hashing.done == 1


def test_keys_of_different_cost_or_twice_the_same_are_no_ring() -> None:
    with pytest.raises(ValueError, match="alice and carol are hashed at different costs"):
        KeyRing(
            {**HASHED, "carol": hashed(CHOSEN, Cost(1 << 15))} | {"bob": hashed(BOB, Cost(1 << 15))}
        )
    with pytest.raises(ValueError, match="alice and carol are the same key"):
        KeyRing({**HASHED, "carol": HASHED["alice"]})


def test_nothing_secret_is_shown() -> None:
    entry, ring = HASHED["alice"], KeyRing(HASHED)
    digest = HASHES["alice"].rpartition("$")[2]
    for shown in (repr(entry), str(entry), f"{entry}", repr(ring), str(ring), repr(Hashing())):
        assert digest not in shown
        assert repr(entry.digest) not in shown
        assert repr(entry.salt) not in shown


class Holder(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    key: HashedKey


def test_a_field_takes_the_text_and_refuses_anything_else() -> None:
    assert Holder.model_validate({"key": HASHES["alice"]}).key == HASHED["alice"]
    assert Holder(key=HASHED["alice"]).key == HASHED["alice"]
    for wrong in (7, None, ["x"], "a secret in clear"):
        with pytest.raises(ValidationError) as caught:
            Holder.model_validate({"key": wrong})
        assert "api-key new" in str(caught.value)
        assert "in clear" not in str(caught.value)
