"""The exact texts that wallets sign, one function a request. Pure.

Parts are joined without separators and exactly as the request carries them: casing of
addresses, digits of numbers; a part that the request leaves out is the empty text. What
is signed is then ``signatures.personal_digest(text)``. The texts name no operation, so a
signature for a stop also fits a delete: only the nonce, which is consumed once, keeps
them apart. The stricter form is in ``typed``.
"""

from __future__ import annotations


def start_text(consumer: str, did: str, nonce: str, job_id: str = "") -> str:
    """computeStart: ``did`` is the main dataset's; ``job_id`` is usually empty."""
    return f"{consumer}{job_id}{did}{nonce}"


def status_text(consumer: str, job_id: str, did: str, nonce: str) -> str:
    """computeStatus, for clients that sign it."""
    return f"{consumer}{job_id}{did}{nonce}"


def stop_text(consumer: str, job_id: str, did: str, nonce: str) -> str:
    """computeStop."""
    return f"{consumer}{job_id}{did}{nonce}"


def delete_text(consumer: str, job_id: str, did: str, nonce: str) -> str:
    """computeDelete."""
    return f"{consumer}{job_id}{did}{nonce}"


def result_text(consumer: str, job_id: str, index: str, nonce: str) -> str:
    """computeResult: ``index`` in decimal digits."""
    return f"{consumer}{job_id}{index}{nonce}"


def receipt_text(consumer: str, job_id: str, nonce: str) -> str:
    """computeReceipt, where it is to be signed."""
    return f"{consumer}{job_id}{nonce}"


def log_text(consumer: str, job_id: str, nonce: str) -> str:
    """computeStreamableLogs, in the manner of the other plain texts."""
    return f"{consumer}{job_id}{nonce}"


def node_log_text(consumer: str, nonce: str) -> str:
    """computeStreamableLogs as the clients of Ocean Node sign it: by the command's name."""
    return f"{consumer}{nonce}getComputeStreamableLogs"


def auth_text(address: str, nonce: str) -> str:
    """createAuthToken and deleteAuthToken."""
    return f"{address}{nonce}"


def download_text(did: str, nonce: str) -> str:
    """download of an access service's file."""
    return f"{did}{nonce}"


def decrypt_text(subject: str, decrypter: str, chain_id: str, nonce: str) -> str:
    """decrypt: ``subject`` is the transaction id when one is given, else the data NFT's address."""
    return f"{subject}{decrypter}{chain_id}{nonce}"
