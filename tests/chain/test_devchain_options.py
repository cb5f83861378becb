"""What the development chain is asked for, and the file that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anvil_stand_in import install

from provider.devchain.addresses import AddressFileUnusable, read_addresses, write_addresses
from provider.devchain.running import CannotStart, Options, choose_anvil, require_loopback
from provider.devchain.wallets import dev_wallets


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone(host: str) -> None:
    require_loopback(Options(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1x"])
def test_whom_others_can_reach(host: str) -> None:
    with pytest.raises(CannotStart, match="--allow-outside"):
        require_loopback(Options(host=host))
    require_loopback(Options(host=host, outside=True))


def test_anvil_is_chosen_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_anvil(None) is None
    with pytest.raises(CannotStart):
        choose_anvil(True)

    program = install(tmp_path)

    assert choose_anvil(None) == choose_anvil(True) == str(program)
    assert choose_anvil(False) is None


def test_addresses_are_put_beside_others(tmp_path: Path) -> None:
    file = tmp_path / "made" / "address.json"
    file.parent.mkdir()
    write_addresses(file, {"chainId": 8996, "Router": "0x1"})
    file.write_text(json.dumps({**read_addresses(file), "polygon": {"chainId": 137}}))

    write_addresses(file, {"chainId": 8996, "Router": "0x2"})

    assert read_addresses(file) == {
        "polygon": {"chainId": 137},
        "development": {"chainId": 8996, "Router": "0x2"},
    }
    assert [path.name for path in file.parent.iterdir()] == ["address.json"]


def test_without_a_file_there_are_no_networks(tmp_path: Path) -> None:
    assert read_addresses(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "content", [b"[]", b"not json", b"[" * 100_000, b'"text"', b"", b"\xff", b" " * (5 << 20)]
)
def test_what_is_no_address_file_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(AddressFileUnusable, match="is not an address file"):
        write_addresses(file, {})
    assert file.read_bytes() == content


def test_a_file_where_none_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "address.json", tmp_path):
        with pytest.raises(AddressFileUnusable, match=r"cannot be (read|written) \("):
            write_addresses(path, {})


@pytest.mark.parametrize("count", [0, -1, 101])
def test_wallets_are_few(count: int) -> None:
    with pytest.raises(ValueError, match="wallets"):
        dev_wallets(count)


def test_keys_are_in_no_representation() -> None:
    (wallet,) = dev_wallets(1)
    assert wallet.key.hex() not in repr(wallet)
    assert str(list(wallet.key)) not in repr(wallet)
    assert dev_wallets(3)[0] == wallet
