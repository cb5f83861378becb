"""Which algorithms a dataset's publisher lets near the data. Pure.

Keeps the meaning that existing documents rely on: two empty lists allow every published
algorithm (unless the operator has them allow none, as newer documents mean it), two filled
lists must both agree. ``*`` in a list stands for all. A compute
service without rules allows published algorithms, but nothing raw and no network.
Answers are the codes that clients know (``None``: allowed).

Addresses and checksums compare in any case. The old provider compared the first exactly,
which only ever refused what the publisher had allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from provider.assets.ddo import ComputeRules, TrustedAlgorithm

ALL = "*"
NO_RAW = "no_raw_algo_allowed"
PUBLISHER = "not_trusted_algo_publisher"
ALGORITHM = "not_trusted_algo"
BROKEN_LIST = "no_publisherTrustedAlgorithms"
FILES = "algorithm_file_checksum_mismatch"
CONTAINER = "algorithm_container_checksum_mismatch"


@dataclass(frozen=True, slots=True)
class AlgorithmFacts:
    """What is known of a published algorithm. ``owner`` has its NFT, ``author`` wrote its
    document; the checksums come from :func:`files_checksum` and :func:`container_checksum`."""

    did: str
    service_id: str
    owner: str
    author: str
    files_checksum: str
    container_checksum: str


def files_checksum(digests: Sequence[str]) -> str:
    """``filesChecksum``: the files' SHA-256 in lower-case hexadecimal, joined in file order."""
    return "".join(digest.lower() for digest in digests)


def container_checksum(entrypoint: str, checksum: str) -> str:
    """``containerSectionChecksum``: SHA-256 of entrypoint and image checksum, joined."""
    return hashlib.sha256(f"{entrypoint}{checksum}".encode()).hexdigest()


def raw_refused(rules: ComputeRules) -> str | None:
    """The code when an unpublished algorithm may not run here."""
    return None if rules.allow_raw_algorithm else NO_RAW


def needs_checksums(rules: ComputeRules) -> bool:
    """True when the files of an algorithm must be read to judge it."""
    return any(
        entry.files_checksum not in {"", ALL} for entry in rules.publisher_trusted_algorithms
    )


def untrusted(
    rules: ComputeRules, algorithm: AlgorithmFacts, *, empty_allows: bool = True
) -> str | None:
    """The code when this published algorithm may not run here. ``empty_allows``: what two
    empty lists mean."""
    publishers = [each.lower() for each in rules.publisher_trusted_algorithm_publishers]
    if publishers and not _published_by(publishers, algorithm):
        return PUBLISHER
    if rules.publisher_trusted_algorithms:
        return _not_listed(rules.publisher_trusted_algorithms, algorithm)
    return None if publishers or empty_allows else ALGORITHM


def _published_by(publishers: Sequence[str], algorithm: AlgorithmFacts) -> bool:
    """Owner and author both: a stranger can give away an NFT with a document of his own."""
    wallets = {algorithm.owner.lower(), algorithm.author.lower()}
    return ALL in publishers or ("" not in wallets and wallets <= set(publishers))


def _not_listed(entries: Sequence[TrustedAlgorithm], algorithm: AlgorithmFacts) -> str | None:
    if any(not entry.did for entry in entries):
        return BROKEN_LIST
    code: str | None = ALGORITHM
    for entry in entries:
        if entry.did in {ALL, algorithm.did} and _agrees(entry.service_id, algorithm.service_id):
            code = _mismatch(entry, algorithm)
            if code is None:
                return None
    return code


def _mismatch(entry: TrustedAlgorithm, algorithm: AlgorithmFacts) -> str | None:
    if not _agrees(entry.files_checksum.lower(), algorithm.files_checksum.lower()):
        return FILES
    if not _agrees(entry.container_section_checksum.lower(), algorithm.container_checksum.lower()):
        return CONTAINER
    return None


def _agrees(demanded: str, actual: str) -> bool:
    return demanded in {"", ALL, actual}
