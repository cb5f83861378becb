"""The demo's story: a consumer computes on a table that stays where it is.

Everything goes through the provider's HTTP API by the client that consumers use; the
provider is a process of its own. Run it by ``make demo``, which sees to the engine, the
image and the arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from eth_account import Account
from rich.console import Console
from rich.table import Table

from demo.hospital import DID, ENVIRONMENT, SERVICE_ID, Hospital
from demo.processes import DemoFailedError, clear, image_id, show_log, sweep
from provider.client import (
    ComputeClient,
    ComputeClientError,
    Dataset,
    Job,
    Patience,
    RawAlgorithm,
)

HERE = Path(__file__).parent
DATASET = Dataset(DID, SERVICE_ID)
RUNNING = 40

console = Console(highlight=False)


def main() -> None:
    arguments = _arguments()
    folder = arguments.folder.resolve()
    clear(folder)
    hospital = Hospital(folder)
    try:
        asyncio.run(tell(hospital, arguments.image, arguments.table))
        if left := sweep(folder):
            raise DemoFailedError(f"left over: {', '.join(left)}")
    except (ComputeClientError, DemoFailedError) as error:
        show_log(console, hospital.log)
        console.print(f"[bold red]The demo failed:[/] {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        sweep(folder)
    console.print("\nThe provider has ended. No container, mount or job folder is left.")


async def tell(hospital: Hospital, image: str, table: Path) -> None:
    """The whole story, from a fresh wallet to a stopped and deleted second job."""
    account = Account.create()
    _title("A hospital opens its table to one wallet")
    patients = hospital.furnish(table, account.address)
    console.print(f"  dataset  {DID[:22]}…  {patients} patients")
    console.print(f"  wallet   {account.address}  made just now")
    # Ask often: some statuses last for milliseconds.
    eager = Patience(first_s=0.005, factor=1.2, last_s=0.5)
    client = ComputeClient(hospital.url, account, patience=eager)
    async with hospital.open(), client:
        console.print(f"  provider {hospital.url}")
        await _environments(client)
        await _first_job(client, _algorithm("algorithm.py", image), hospital.folder / "results")
        await _second_job(client, _algorithm("endless.py", image))


async def _environments(client: ComputeClient) -> None:
    _title("Environments")
    for environment in await client.environments():
        raw = environment.raw
        console.print(
            f"  {environment.id}  {raw['nCPU']} CPU, {raw['ramGB']} GB RAM,"
            f" {raw['diskGB']} GB disk, no network, {raw['maxJobDuration']} s a job"
        )


async def _first_job(client: ComputeClient, algorithm: RawAlgorithm, target: Path) -> None:
    _title("A signed start: demo/algorithm.py trains a model on the table")
    job = await _follow(client, await client.start(ENVIRONMENT, DATASET, algorithm))
    if not job.succeeded:
        raise DemoFailedError(f"the job ended as {job.status} {job.status_text}: {job.detail}")
    _title("Results, by index")
    listed = Table("index", "file", "bytes", "sha256", box=None, padding=(0, 2))
    for result in job.results:
        listed.add_row(
            str(result.index), result.filename, str(result.filesize), result.sha256[:16] + "…"
        )
    console.print(listed)
    target.mkdir()
    paths = [await client.download(job.id, result.index, target) for result in job.results]
    metrics = json.loads((target / "metrics.json").read_text())
    console.print(f"  ROC AUC {metrics['roc_auc']}, accuracy {metrics['accuracy']}")
    _title("Downloaded")
    for path in paths:
        console.print(f"  {path}", soft_wrap=True)


async def _second_job(client: ComputeClient, algorithm: RawAlgorithm) -> None:
    _title("A second job never ends (demo/endless.py): stopped and deleted")
    job = await client.start(ENVIRONMENT, DATASET, algorithm)
    job = await _follow(client, job, until=RUNNING)
    await client.stop(job.id)
    console.print("     stop asked for")
    job = await _follow(client, job)
    await client.delete(job.id)
    _show(await client.status(job.id))


async def _follow(client: ComputeClient, job: Job, until: int | None = None) -> Job:
    async for seen in client.follow(job.id):
        job = seen
        _show(job)
        if job.status == until:
            break
    return job


def _show(job: Job) -> None:
    console.print(f"  [bold]{job.status:>2}[/] {job.status_text}")


def _title(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def _algorithm(name: str, image: str) -> RawAlgorithm:
    image_name, _, tag = image.partition(":")
    return RawAlgorithm.from_file(HERE / name, image=image_name, tag=tag, checksum=image_id(image))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the algorithm's image, name:tag")
    parser.add_argument(
        "--table", required=True, type=Path, help="scikit-learn's breast_cancer.csv"
    )
    parser.add_argument("--folder", default=Path("demo-out"), type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
