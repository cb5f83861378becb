"""The consumer's side: sign, call, follow, download.

Meant for notebooks and programs as much as for the command line::

    from provider.client import ComputeClient, RawAlgorithm

    async with ComputeClient("http://localhost:8030", "wallet.key") as client:
        job = await client.start(
            "small", "did:op:1234#0", RawAlgorithm.from_file("train.py", image="python", tag="3.12")
        )
        async for job in client.follow(job.id):
            print(job.status, job.status_text)
        await client.download_all(job.id, "results/")

What is sold on a chain is ordered with a wallet on that chain before (``pay=``; see
:mod:`provider.client.onchain`), and published likewise::

    wallet = OnChain("http://localhost:8545", "wallet.key", address_file="addresses.json")
    job = await client.start("small", "did:op:1234#0", algorithm, pay=wallet, duration_s=600)

Of the server's own code it uses only the signed texts (``provider.auth``): nothing here
needs a database, an engine or a provider's key.
"""

from provider.client.api import ComputeClient
from provider.client.assets import Destination, FileInfo
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClientError,
    DownloadFailedError,
    FeeTooHighError,
    LogOutgrownError,
    NonceRefusedError,
    NotAuthorisedError,
    NotFoundError,
    ProviderBusyError,
    ProviderFaultError,
    ProviderUnreachableError,
    RefusedError,
    StartUnclearError,
)
from provider.client.models import (
    Dataset,
    Environment,
    Failure,
    Job,
    PublishedAlgorithm,
    RawAlgorithm,
    Result,
)
from provider.client.ordering import Ordered, Payer, Purchase
from provider.client.patience import Patience
from provider.client.publishing import AssetDraft, Published, ServiceDraft, publish, revise

__all__ = [
    "AnswerNotUnderstoodError",
    "AssetDraft",
    "ClientUsageError",
    "ComputeClient",
    "ComputeClientError",
    "Dataset",
    "Destination",
    "DownloadFailedError",
    "Environment",
    "Failure",
    "FeeTooHighError",
    "FileInfo",
    "Job",
    "LogOutgrownError",
    "NonceRefusedError",
    "NotAuthorisedError",
    "NotFoundError",
    "Ordered",
    "Patience",
    "Payer",
    "ProviderBusyError",
    "ProviderFaultError",
    "ProviderUnreachableError",
    "Published",
    "PublishedAlgorithm",
    "Purchase",
    "RawAlgorithm",
    "RefusedError",
    "Result",
    "ServiceDraft",
    "StartUnclearError",
    "publish",
    "revise",
]
