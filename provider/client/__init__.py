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

Of the server's own code it uses only the signed texts (``provider.auth``): nothing here
needs a database, an engine or a provider's key.
"""

from provider.client.api import ComputeClient
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClientError,
    DownloadFailedError,
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
    Job,
    PublishedAlgorithm,
    RawAlgorithm,
    Result,
)
from provider.client.patience import Patience

__all__ = [
    "AnswerNotUnderstoodError",
    "ClientUsageError",
    "ComputeClient",
    "ComputeClientError",
    "Dataset",
    "DownloadFailedError",
    "Environment",
    "Job",
    "NonceRefusedError",
    "NotAuthorisedError",
    "NotFoundError",
    "Patience",
    "ProviderBusyError",
    "ProviderFaultError",
    "ProviderUnreachableError",
    "PublishedAlgorithm",
    "RawAlgorithm",
    "RefusedError",
    "Result",
    "StartUnclearError",
]
