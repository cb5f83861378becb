"""Ocean asset documents (DDO v4.x) as values. Pure.

Publishers write many dialects of the same document, so reading is tolerant: unknown
fields are kept, a JSON null counts as absent. It is strict where being lax would open a
door: a permission counts only when it is the literal true, an allow-list that cannot be
read makes the document invalid, and a DID is a safe folder name because it becomes one
inside containers.

Field names follow https://docs.oceanprotocol.com/developers/ddo-specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from compute.egress.rules import EgressRules
from provider.errors import AssetMalformed

DID = re.compile(r"did:op:[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"4\.[0-9]{1,6}\.[0-9]{1,6}")
SEALED = re.compile(r"0x[0-9a-fA-F]+")
HIDDEN_KEYS = frozenset({"credentials"})
FILE_KEYS = frozenset({"files", "sample"})


def is_did(text: object) -> bool:
    """True for ``did:op:`` and one safe path component of at most 100 characters."""
    return isinstance(text, str) and DID.fullmatch(text) is not None


def is_sealed(files: object) -> bool:
    """True when a service's ``files`` is an encrypted text rather than plain file objects."""
    return isinstance(files, str) and SEALED.fullmatch(files) is not None


def _require_did(text: str) -> str:
    if not is_did(text):
        raise ValueError("is not did:op: followed by letters, digits, '.', '_' or '-'")
    return text


def _only_true(value: object) -> bool:
    return value is True


def _address_of(value: object) -> object:
    return value.get("address") if isinstance(value, Mapping) else value


def _entry_of(value: object) -> object:
    return {"did": value} if isinstance(value, str) else value


StrictFlag = Annotated[bool, BeforeValidator(_only_true)]
Address = Annotated[str, BeforeValidator(_address_of)]


class Part(BaseModel):
    """Base of all parts of a document: camelCase on the wire and in no other spelling, since
    what is checked elsewhere is the wire's; null means absent."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        extra="ignore",
        frozen=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: part for name, part in value.items() if part is not None}
        return value


class CredentialEntry(Part):
    """One entry of an allow or deny list: ``type`` ``address`` lists wallets in ``values``."""

    type: str
    values: list[Address]


class Credentials(Part):
    allow: list[CredentialEntry] = []
    deny: list[CredentialEntry] = []


class ConsumerParameter(Part):
    """One parameter that a publisher asks of the consumer.

    ``options`` of a ``select`` are plain values or objects of one key (value: label).
    """

    name: str
    type: str = "text"
    required: StrictFlag = False
    default: Any = None
    options: list[Any] | dict[str, Any] = []


class TrustedAlgorithm(Part):
    """One entry of ``publisherTrustedAlgorithms``. Empty checksums promise nothing."""

    did: str = ""
    service_id: str = ""
    files_checksum: str = ""
    container_section_checksum: str = ""


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: part for name, part in value.items() if part is not None}
    return value


class ComputeRules(Part):
    """What a dataset's publisher allows to be computed on it. The default: nothing raw,
    no network, every published algorithm (see :mod:`provider.assets.trust`), and every result
    may leave. ``egress`` is strict where all else is tolerant: a rule that cannot be read, or
    is unknown here, makes the document invalid. ``sample`` are file objects for anybody to try
    algorithms on."""

    allow_raw_algorithm: StrictFlag = False
    allow_network_access: StrictFlag = False
    publisher_trusted_algorithms: list[Annotated[TrustedAlgorithm, BeforeValidator(_entry_of)]] = []
    publisher_trusted_algorithm_publishers: list[str] = []
    egress: Annotated[EgressRules, BeforeValidator(_without_nulls)] | None = None
    sample: Any = Field(default=None, repr=False)


class Service(Part):
    """One way of using an asset. ``files`` is encrypted hexadecimal text or plain objects."""

    id: str
    type: str
    files: Any = Field(default=None, repr=False)
    datatoken_address: str = ""
    service_endpoint: str = ""
    timeout: int = 0
    compute: ComputeRules = ComputeRules()
    consumer_parameters: list[ConsumerParameter] = []
    credentials: Credentials = Credentials()

    @property
    def is_compute(self) -> bool:
        return self.type == "compute"

    @property
    def is_access(self) -> bool:
        return self.type == "access"


class Container(Part):
    image: str = ""
    tag: str = ""
    entrypoint: str = ""
    checksum: str = ""


class AlgorithmMetadata(Part):
    language: str = ""
    version: str = ""
    container: Container = Container()
    consumer_parameters: list[ConsumerParameter] = []


class Metadata(Part):
    type: str = ""
    name: str = ""
    algorithm: AlgorithmMetadata | None = None


class Nft(Part):
    address: str = ""
    owner: str = ""
    state: int = 0


class Event(Part):
    """The chain's event that published the document, as who follows the chain tells it."""

    sender: str = Field(default="", alias="from")


def _require_v4(version: str) -> str:
    if not VERSION.fullmatch(version):
        raise ValueError("is not 4.x.y, the only generation of documents read here")
    return version


class Ddo(Part):
    """One asset document. Make it with :meth:`parse`."""

    id: Annotated[str, AfterValidator(_require_did)]
    version: Annotated[str, AfterValidator(_require_v4)] = "4.0.0"
    chain_id: int | None = None
    nft_address: str = ""
    nft: Nft = Nft()
    event: Event = Event()
    metadata: Metadata | None = None
    services: list[Service] = []
    credentials: Credentials = Credentials()

    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)
    _is_local: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _service_ids_are_distinct(self) -> Self:
        ids = [service.id for service in self.services]
        if len(set(ids)) != len(ids):
            raise ValueError("two services have the same id")
        return self

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, local: bool = False) -> Ddo:
        """Read a decoded JSON object. Raises AssetMalformed that names fields, never values.

        ``local`` says that the operator of this machine wrote it.
        """
        try:
            ddo = cls.model_validate(raw)
        except ValidationError as error:
            faults = "; ".join(_faults(error))
        else:
            ddo._raw, ddo._is_local = dict(raw), local
            return ddo
        raise AssetMalformed(f"The asset's document is not a valid DDO: {faults}")

    def service(self, service_id: str) -> Service | None:
        """The service with exactly this id."""
        return next((each for each in self.services if each.id == service_id), None)

    @property
    def is_local(self) -> bool:
        """True for a document of the operator's own folder: it may name files of this machine."""
        return self._is_local

    @property
    def type(self) -> str:
        return self.metadata.type if self.metadata else ""

    @property
    def is_algorithm(self) -> bool:
        return self.type == "algorithm"

    @property
    def owner(self) -> str:
        """The publisher's wallet as the document states it, empty when it does not."""
        return self.nft.owner

    @property
    def author(self) -> str:
        """The wallet that wrote this very document. An NFT can be given to anybody without
        their consent, so its owner need not have."""
        return self.owner if self.is_local else self.event.sender

    @property
    def data_nft(self) -> str:
        """Address of the asset's data NFT, from either place where documents keep it."""
        return self.nft_address or self.nft.address

    @property
    def binds_files(self) -> bool:
        """True when encrypted files must name their asset (documents of 4.1.0 and later)."""
        return int(self.version.split(".")[1]) >= 1

    @property
    def document(self) -> dict[str, Any]:
        """The document as algorithms may see it, a new copy each time.

        Plain file objects are blanked wherever they stand, and credential lists are left
        out: an algorithm needs neither addresses of data nor other people's wallets.
        """
        return {name: _shown(name, part) for name, part in _visible(self._raw)}


def _visible(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in part.items() if name not in HIDDEN_KEYS)


def _shown(name: str, part: Any) -> Any:
    if name in FILE_KEYS:
        return part if is_sealed(part) else ""
    if isinstance(part, Mapping):
        return {each: _shown(each, value) for each, value in _visible(part)}
    if isinstance(part, list):
        return [_shown("", each) for each in part]
    return part


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False):
        where = ".".join(str(step) for step in fault["loc"]) or "document"
        text = fault["msg"].removeprefix("Value error, ").replace("valid tuple", "valid list")
        yield f"{where}: {text}"
