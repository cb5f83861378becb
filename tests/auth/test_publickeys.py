"""Public keys that consumers hand in, in all their spellings."""

from __future__ import annotations

import pytest
from eth_account import Account

from provider.auth.publickeys import normal_public_key, public_key_of

X = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
Y = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
NORMAL = f"0x02{X}"


@pytest.mark.parametrize("prefix", ["", "0x", "0X"])
@pytest.mark.parametrize("digits", [f"02{X}", f"04{X}{Y}", X + Y, (X + Y).upper()])
def test_all_spellings_of_a_key_are_one(prefix: str, digits: str) -> None:
    assert normal_public_key(prefix + digits) == NORMAL


def test_the_other_point_of_the_same_x_is_another_key() -> None:
    assert normal_public_key("03" + X) == "0x03" + X


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        X,  # may be a private key
        "0x" + "12" * 20,
        f"02{X}0",
        f"05{X}",
        f"06{X}{Y}",  # the hybrid form, which libraries take
        "02" + "ff" * 32,  # no element of the field
        "02" + "00" * 31 + "05",  # no point with this x
        f"04{X}{X}",
        f"02{X} ",
        f" 02{X}",
        f"02{X}\n",
        "zz" + X,
        "02" + "\uff11" * 64,
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a p") as refused:
        normal_public_key(text)
    assert X not in str(refused.value)


def test_a_wallets_own_key_is_that_of_its_library() -> None:
    account = Account.from_key("0x" + "11" * 32)
    whole = account._key_obj.public_key.to_hex()
    assert public_key_of(bytes(account.key)) == normal_public_key(whole)
