"""The settings of the service: the one reader of the environment.

Every variable is checked at start and all mistakes are told at once, each with the
variable and the fix. What comes out is frozen, holds units in its names, and shows no
secret: the key prints as its address, the database URL as stars.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from compute.store.database import is_postgresql
from provider.auth.signatures import is_address
from provider.chain.configured import HINTS as CHAIN_HINTS
from provider.chain.configured import chains_from
from provider.chain.networks import ChainSettings
from provider.errors import SettingsInvalid
from provider.keys import ProviderKey

T = TypeVar("T")
Network = IPv4Network | IPv6Network

_KEY = "PROVIDER_PRIVATE_KEY"
_KEY_FILE = "PROVIDER_PRIVATE_KEY_FILE"
_HINTS = {
    "DATA_DIR": "name a folder that the service may write to",
    "ENVIRONMENTS_FILE": "name a file",
    "ASSETS_DIR": "name a folder of DDO files",
    "FILES_DIR": "name the folder that local data files lie in",
    "DIALECTS_FILE": "name a file that says which further job APIs are served",
    "SECRETS_DIR": "name a folder in memory (tmpfs), such as one in /dev/shm",
    "LISTEN_HOST": "write an address of this machine, such as 127.0.0.1 or 0.0.0.0",
    "LISTEN_PORT": "write a number from 0 to 65535",
    "PUBLIC_URL": "write http://… or https://… as clients reach it",
    "DATABASE_URL": "write sqlite:////absolute/path/file.db or postgresql://user@host/name",
    "OPERATE": "write true or false; false needs processes that operate jobs, and PostgreSQL",
    "OUTPUT_QUOTA": "write auto, loop or watch",
    "REQUIRE_SIGNED_STATUS": "write true or false",
    "REQUIRE_TYPED_SIGNATURES": "write true or false",
    "TOKEN_MAX_AGE": "write a number of seconds, at least 60",
    "ALLOWED_PRIVATE_NETWORKS": "write networks as 10.0.0.0/8, separated by commas",
    "MAX_INPUT_GB": "write a number of gigabytes above 0",
    "CACHE_GB": "write a number of gigabytes above 0",
    "MAX_BODY_KB": "write a whole number of kilobytes, from 1 to 1048576",
    "MAX_CONNECTIONS": "write a whole number from 1 to 1000000",
    "MAX_CONNECTIONS_PER_ADDRESS": "write a whole number from 1 to 1000000",
    "REQUESTS_PER_ADDRESS": "write a number of requests a second, 0 for no limit",
    "REQUESTS_PER_WALLET": "write a number of requests a second, 0 for no limit",
    "MIN_TRANSFER_RATE": "write a whole number of bytes a second, from 1 to 1048576",
    "TRUSTED_PROXIES": "write networks as 10.0.0.0/8, separated by commas",
    "DRAIN_DELAY": "write a number of seconds from 0 to 3600",
    "STOP_GRACE": "write a number of seconds from 1 to 3600",
    "AQUARIUS_URL": "write http://… or https://… of a metadata cache",
    "AUTHORIZED_DECRYPTERS": "write addresses, separated by commas, or a JSON list of them",
    "COMPUTE_DOWNLOADERS": "write addresses, separated by commas, or a JSON list of them",
    "IPFS_GATEWAY": "write http://… or https://… of a gateway",
    "ARWEAVE_GATEWAY": "write http://… or https://… of a gateway",
    "EMPTY_TRUST_LISTS": "write all or none",
    "MAX_CHECKSUM_LENGTH": "write a whole number of bytes, 0 for no checksums",
    "AUDIT_ADDRESSES": "write true or false",
    "METRICS": "write off, local, token or all",
    "METRICS_LISTEN": "write host:port, such as 127.0.0.1:9030 or [::1]:9030",
    "METRICS_TOKEN_FILE": "name a file with a token",
    "LOG_LEVEL": "write debug, info, warning or error",
    "LOG_FORMAT": "write text or json",
}


def _listed(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _addresses(value: object) -> object:
    """Lower-case addresses from commas or, as the old provider had them, a JSON list."""
    if not isinstance(value, str):
        return value
    listed = [each.strip("[]\"' ") for each in value.replace(",", " ").split()]
    found = tuple(each.lower() for each in listed if each)
    if not all(map(is_address, found)):
        raise ValueError("holds something that is no address")
    return found


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _host_and_port(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    host = host[1:-1] if host[:1] + host[-1:] == "[]" else host
    if not host or not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise ValueError("not a host and a port")
    return host, int(port)


def _web_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username:
        raise ValueError("not an http or https address of a host")
    return url.rstrip("/")


_RATE = Field(ge=0, le=1e6, allow_inf_nan=False)


class Settings(BaseModel):
    """All settings. Make it with :meth:`from_environ`; sizes are bytes, times seconds."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    key: ProviderKey
    data_dir: Annotated[Path, Field(alias="DATA_DIR")] = Path("data")
    environments_file: Annotated[Path, Field(alias="ENVIRONMENTS_FILE")] = Path("environments.yaml")
    assets_dir: Annotated[Path, Field(alias="ASSETS_DIR")] = Path("assets")
    files_dir: Annotated[Path | None, Field(alias="FILES_DIR")] = None
    dialects_file: Annotated[Path | None, Field(alias="DIALECTS_FILE")] = None
    secrets_dir: Annotated[Path | None, Field(alias="SECRETS_DIR")] = None
    listen_host: Annotated[str, Field(alias="LISTEN_HOST")] = "127.0.0.1"
    listen_port: Annotated[int, Field(alias="LISTEN_PORT", ge=0, le=65535)] = 8030
    public_url: Annotated[str | None, AfterValidator(_web_url), Field(alias="PUBLIC_URL")] = None
    database: Annotated[SecretStr | None, Field(alias="DATABASE_URL")] = None
    docker_host: Annotated[str | None, Field(alias="DOCKER_HOST")] = None
    operate: Annotated[bool, Field(alias="OPERATE")] = True
    output_quota: Annotated[
        Literal["auto", "loop", "watch"], BeforeValidator(_lower), Field(alias="OUTPUT_QUOTA")
    ] = "auto"
    require_signed_status: Annotated[bool, Field(alias="REQUIRE_SIGNED_STATUS")] = False
    require_typed_signatures: Annotated[bool, Field(alias="REQUIRE_TYPED_SIGNATURES")] = False
    token_max_age_s: Annotated[int, Field(alias="TOKEN_MAX_AGE", ge=60)] = 30 * 24 * 3600
    allowed_private_networks: Annotated[
        tuple[Network, ...], BeforeValidator(_listed), Field(alias="ALLOWED_PRIVATE_NETWORKS")
    ] = ()
    max_input_gb: Annotated[
        float, Field(alias="MAX_INPUT_GB", gt=0, le=1e6, allow_inf_nan=False)
    ] = 100.0
    cache_gb: Annotated[float, Field(alias="CACHE_GB", gt=0, le=1e6, allow_inf_nan=False)] = 50.0
    max_body_kb: Annotated[int, Field(alias="MAX_BODY_KB", ge=1, le=1 << 20)] = 1024
    max_connections: Annotated[int, Field(alias="MAX_CONNECTIONS", ge=1, le=1_000_000)] = 4096
    max_connections_per_address: Annotated[
        int, Field(alias="MAX_CONNECTIONS_PER_ADDRESS", ge=1, le=1_000_000)
    ] = 512
    requests_per_address: Annotated[float, _RATE, Field(alias="REQUESTS_PER_ADDRESS")] = 100.0
    requests_per_wallet: Annotated[float, _RATE, Field(alias="REQUESTS_PER_WALLET")] = 100.0
    min_transfer_rate: Annotated[int, Field(alias="MIN_TRANSFER_RATE", ge=1, le=1 << 20)] = 1024
    trusted_proxies: Annotated[
        tuple[Network, ...], BeforeValidator(_listed), Field(alias="TRUSTED_PROXIES")
    ] = ()
    drain_delay_s: Annotated[
        float, Field(alias="DRAIN_DELAY", ge=0, le=3600, allow_inf_nan=False)
    ] = 0.0
    stop_grace_s: Annotated[
        float, Field(alias="STOP_GRACE", ge=1, le=3600, allow_inf_nan=False)
    ] = 10.0
    chains: tuple[ChainSettings, ...] = ()
    aquarius_url: Annotated[str | None, AfterValidator(_web_url), Field(alias="AQUARIUS_URL")] = (
        None
    )
    authorized_decrypters: Annotated[
        tuple[str, ...], BeforeValidator(_addresses), Field(alias="AUTHORIZED_DECRYPTERS")
    ] = ()
    compute_downloaders: Annotated[
        tuple[str, ...], BeforeValidator(_addresses), Field(alias="COMPUTE_DOWNLOADERS")
    ] = ()
    ipfs_gateway: Annotated[str, AfterValidator(_web_url), Field(alias="IPFS_GATEWAY")] = (
        "https://ipfs.io"
    )
    arweave_gateway: Annotated[str, AfterValidator(_web_url), Field(alias="ARWEAVE_GATEWAY")] = (
        "https://arweave.net"
    )
    empty_trust_lists: Annotated[
        Literal["all", "none"], BeforeValidator(_lower), Field(alias="EMPTY_TRUST_LISTS")
    ] = "all"
    max_checksum_bytes: Annotated[int, Field(alias="MAX_CHECKSUM_LENGTH", ge=0, le=1 << 50)] = (
        64 << 20
    )
    audit_addresses: Annotated[bool, Field(alias="AUDIT_ADDRESSES")] = False
    metrics: Annotated[
        Literal["off", "local", "token", "all"] | None,
        BeforeValidator(_lower),
        Field(alias="METRICS"),
    ] = None
    metrics_listen: Annotated[
        tuple[str, int] | None, BeforeValidator(_host_and_port), Field(alias="METRICS_LISTEN")
    ] = None
    metrics_token_file: Annotated[Path | None, Field(alias="METRICS_TOKEN_FILE")] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(_lower),
        Field(alias="LOG_LEVEL"),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], BeforeValidator(_lower), Field(alias="LOG_FORMAT")
    ] = "text"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read ``environ`` (the process's own by default). Raises SettingsInvalid.

        An empty variable counts as not set, as compose files write it.
        """
        source = os.environ if environ is None else environ
        given = {name: text for name, text in source.items() if text.strip()}
        mistakes: list[str] = []
        key = _collected(lambda: _provider_key(given), mistakes)
        values: dict[str, Any] = {name: given[name].strip() for name in _HINTS if name in given}
        values |= {"DOCKER_HOST": given["DOCKER_HOST"]} if "DOCKER_HOST" in given else {}
        chains = _collected(lambda: chains_from(_stripped(given, CHAIN_HINTS)), mistakes)
        values |= {"chains": chains or ()}
        settings = _collected(lambda: _validated(cls, values, key), mistakes)
        if mistakes or settings is None:
            raise SettingsInvalid("\n".join(mistakes))
        return settings

    @property
    def database_url(self) -> str:
        """A SQLAlchemy URL; by default a SQLite file in the data folder. May hold a password."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'ocean-compute.db'}"

    @property
    def database_is_shared(self) -> bool:
        """True for a database that several processes may use at the same time."""
        return is_postgresql(self.database_url)

    @property
    def max_input_bytes(self) -> int:
        return int(self.max_input_gb * (1 << 30))

    @property
    def cache_bytes(self) -> int:
        return int(self.cache_gb * (1 << 30))

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_kb << 10

    @property
    def chain_ids(self) -> tuple[int, ...]:
        """Chains that orders are read from."""
        return tuple(chain.chain_id for chain in self.chains)


def _stripped(given: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: given[name].strip() for name in names if name in given}


def _validated(
    cls: type[Settings], values: Mapping[str, Any], key: ProviderKey | None
) -> Settings | None:
    """The settings; when only the key is at fault, the rest is still checked."""
    try:
        return cls.model_validate({**values, "key": key})
    except ValidationError as error:
        lines = list(_explained(error))
        if not lines:
            return None
        raise SettingsInvalid("\n".join(lines)) from None


def _explained(error: ValidationError) -> Iterator[str]:
    seen: set[str] = set()
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(fault["loc"][0])
        if name != "key" and name not in seen:
            seen.add(name)
            yield f"{name}: {fault['msg'].removeprefix('Value error, ')}; {_HINTS.get(name, '')}"


def _collected(make: Callable[[], T], mistakes: list[str]) -> T | None:
    try:
        return make()
    except SettingsInvalid as error:
        mistakes.append(error.public)
        return None


def _provider_key(given: Mapping[str, str]) -> ProviderKey:
    if _KEY in given and _KEY_FILE in given:
        raise SettingsInvalid(f"{_KEY} and {_KEY_FILE} are both set; keep one of the two")
    try:
        if _KEY in given:
            return ProviderKey.from_text(given[_KEY])
        if _KEY_FILE in given:
            return ProviderKey.from_file(Path(given[_KEY_FILE]))
    except SettingsInvalid as error:
        name = _KEY if _KEY in given else _KEY_FILE
        raise SettingsInvalid(
            f"{name}: {error.public} Make a key with `ocean-compute key new`"
        ) from None
    raise SettingsInvalid(
        f"{_KEY_FILE}: the provider has no key; make one with `ocean-compute key new`"
        f" and name its file here (or put the key itself into {_KEY})"
    )
