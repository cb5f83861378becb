"""The environment's variables: read once, checked all at once, secrets never shown."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from provider.errors import SettingsInvalid
from provider.keys import ProviderKey
from provider.settings import Settings

KEY = "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


def test_a_key_is_all_that_is_needed() -> None:
    settings = Settings.from_environ({"PROVIDER_PRIVATE_KEY": KEY})
    assert settings.key.address == ADDRESS
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 8030)
    assert settings.database_url.startswith("sqlite:////")
    assert settings.chain_ids == ()


def test_the_key_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    ProviderKey(b"\x11" * 32).save(path)
    assert Settings.from_environ({"PROVIDER_PRIVATE_KEY_FILE": str(path)}).key.address == ADDRESS


def test_without_a_key_the_text_says_how_to_make_one() -> None:
    with pytest.raises(SettingsInvalid, match="ocean-compute key new"):
        Settings.from_environ({})


def test_two_keys_are_refused(tmp_path: Path) -> None:
    both = {"PROVIDER_PRIVATE_KEY": KEY, "PROVIDER_PRIVATE_KEY_FILE": str(tmp_path)}
    with pytest.raises(SettingsInvalid, match="both set"):
        Settings.from_environ(both)


def test_a_bad_key_is_named_but_not_shown() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_environ({"PROVIDER_PRIVATE_KEY": "zz" * 32})
    assert "PROVIDER_PRIVATE_KEY" in caught.value.public
    assert "zz" not in caught.value.public


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN_PORT", "http"),
        ("LISTEN_PORT", "70000"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "0"),
        ("REQUESTS_PER_ADDRESS", "-1"),
        ("REQUESTS_PER_WALLET", "many"),
        ("MIN_TRANSFER_RATE", "0"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("DRAIN_DELAY", "inf"),
        ("STOP_GRACE", "0"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("PUBLIC_URL", "https://user:secret@example.org"),
        ("PUBLIC_URL", "http://[::1"),
        ("OUTPUT_QUOTA", "none"),
        ("REQUIRE_SIGNED_STATUS", "maybe"),
        ("REQUIRE_TYPED_SIGNATURES", "2"),
        ("TOKEN_MAX_AGE", "1"),
        ("ALLOWED_PRIVATE_NETWORKS", "10.0.0.0/8, everything"),
        ("ALLOWED_PRIVATE_NETWORKS", "10.0.0.1/8"),
        ("MAX_INPUT_GB", "0"),
        ("MAX_INPUT_GB", "nan"),
        ("CACHE_GB", "inf"),
        ("MAX_BODY_KB", "0.5"),
        ("METRICS", "some"),
        ("METRICS_LISTEN", "9030"),
        ("METRICS_LISTEN", "localhost:"),
        ("METRICS_LISTEN", ":9030"),
        ("METRICS_LISTEN", "localhost:65536"),
        ("METRICS_LISTEN", "localhost:٣"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_mistake_names_the_variable_and_the_fix(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_environ({"PROVIDER_PRIVATE_KEY": KEY, name: value})
    [line] = caught.value.public.splitlines()
    assert line.startswith(f"{name}: ")
    assert "write" in line


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_environ({"LISTEN_PORT": "x", "LOG_LEVEL": "y"})
    names = [line.partition(":")[0] for line in caught.value.public.splitlines()]
    assert names == ["PROVIDER_PRIVATE_KEY_FILE", "LISTEN_PORT", "LOG_LEVEL"]


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = Settings.from_environ({"PROVIDER_PRIVATE_KEY": KEY, "LISTEN_PORT": " "})
    assert settings.listen_port == 8030


def test_secrets_are_not_in_the_repr() -> None:
    settings = Settings.from_environ(
        {"PROVIDER_PRIVATE_KEY": KEY, "DATABASE_URL": "postgresql://u:hunter2@db/x"}
    )
    assert "hunter2" not in repr(settings)
    assert KEY not in repr(settings)
    assert "hunter2" in settings.database_url


def test_sizes_become_bytes_and_lists_become_values() -> None:
    settings = Settings.from_environ(
        {
            "PROVIDER_PRIVATE_KEY": KEY,
            "MAX_INPUT_GB": "0.5",
            "CACHE_GB": "2",
            "MAX_BODY_KB": "64",
            "ALLOWED_PRIVATE_NETWORKS": "10.0.0.0/8, ::1/128",
            "PUBLIC_URL": "https://data.example.org/",
            "LOG_LEVEL": "DEBUG",
        }
    )
    assert settings.max_input_bytes == 1 << 29
    assert settings.cache_bytes == 2 << 30
    assert settings.max_body_bytes == 64 << 10
    assert settings.allowed_private_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.public_url == "https://data.example.org"
    assert settings.log_level == "debug"
