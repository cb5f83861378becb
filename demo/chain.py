"""The demo on a chain: publish, order, compute for money, order again, and a forged order.

A development chain with the real Ocean contracts and a provider run as processes of their
own; publisher, consumer and forger use the client that everybody uses. Run it by
``make demo-chain``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from aiohttp import ClientSession
from eth_account import Account
from eth_account.signers.local import LocalAccount
from rich.console import Console

from demo.forgery import Node, forge
from demo.market import ENVIRONMENT, PRICE, Chain, Market
from demo.processes import DemoFailedError, clear, image_id, sweep
from provider.client import (
    ComputeClient,
    ComputeClientError,
    Dataset,
    Job,
    Ordered,
    Patience,
    Published,
    PublishedAlgorithm,
    Purchase,
    RefusedError,
    publish,
)
from provider.client.onchain import OnChain

TOKEN = 10**18
PAID_S, SHORTER_S = 300, 60
EAGER = Patience(first_s=0.005, factor=1.2, last_s=0.5)

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody with a wallet, on the chain and at the provider."""

    account: LocalAccount
    wallet: OnChain
    client: ComputeClient


def main() -> None:
    arguments = _arguments()
    folder = arguments.folder.resolve()
    clear(folder)
    market = Market(folder, arguments.image, image_id(arguments.image))
    try:
        asyncio.run(tell(market))
        if left := sweep(folder):
            raise DemoFailedError(f"left over: {', '.join(left)}")
    except (ComputeClientError, DemoFailedError) as error:
        _show_logs(folder)
        console.print(f"[bold red]The demo failed:[/] {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        sweep(folder)
    console.print("\nProvider and chain have ended. No container, mount or job folder is left.")


async def tell(market: Market) -> None:
    """The whole story, from an empty chain to a refused forgery."""
    _title("A chain with the Ocean contracts")
    async with market.chain() as chain:
        console.print(f"  chain {chain.chain_id} ({chain.engine})")
        async with market.open(chain), ClientSession() as session:
            await _at_the_market(market, chain, session)


async def _at_the_market(market: Market, chain: Chain, session: ClientSession) -> None:
    publisher, consumer, forger = (_party(market, chain, index) for index in (1, 2, 3))
    async with publisher.client, consumer.client, forger.client:
        dataset, algorithm = await _publishing(market, publisher, consumer)
        assets = Dataset(dataset.did), PublishedAlgorithm(algorithm.did)
        await _prices(consumer, chain)
        ordered = await _first_job(market, consumer, *assets)
        await _again(consumer, ordered)
        await _renewed(consumer, ordered)
        node = Node(chain.url, session)
        await _forged(node, forger, (dataset, algorithm), ordered)
        await _earned(consumer, chain)


def _party(market: Market, chain: Chain, index: int) -> Party:
    account: LocalAccount = Account.from_key(chain.wallets[index])
    wallet = OnChain(chain.url, account, address_file=chain.address_file, chain_id=chain.chain_id)
    return Party(account, wallet, ComputeClient(market.url, account, patience=EAGER))


async def _publishing(
    market: Market, publisher: Party, consumer: Party
) -> tuple[Published, Published]:
    _title("Published: a dataset and an algorithm, files sealed for the provider")
    made = []
    for draft in market.drafts():
        published = await publish(publisher.client, publisher.wallet, draft, url=market.url)
        await publisher.client.wait_for_asset(published.did, published.tx)
        await publisher.wallet.mint(published.datatokens[0], consumer.account.address, 10 * TOKEN)
        console.print(f"  {draft.name:<18} {published.did[:30]}…")
        made.append(published)
    console.print("  The consumer gets ten datatokens of each.")
    return made[0], made[1]


async def _prices(consumer: Party, chain: Chain) -> None:
    _title("Environments")
    for environment in await consumer.client.environments(chain.chain_id):
        raw = environment.raw
        console.print(
            f"  {environment.id}  {raw['nCPU']} CPU, {raw['ramGB']} GB RAM,"
            f" {raw['priceMin']} OCEAN a minute"
        )


async def _first_job(
    market: Market, consumer: Party, dataset: Dataset, algorithm: PublishedAlgorithm
) -> Ordered:
    _title(f"Ordered: dataset, algorithm and {PAID_S} seconds")
    ordered = await _order(consumer, dataset, algorithm, PAID_S)
    paid = sum(purchase.fee for purchase in ordered.purchases)
    if len(ordered.purchases) != 2 or abs(paid - _due(PAID_S)) > _due(3):
        raise DemoFailedError(f"{len(ordered.purchases)} orders with {paid} in fees were made")
    _title("A paid job")
    job = await _compute(consumer.client, ordered)
    target = market.folder / "results"
    paths = await consumer.client.download_all(job.id, target)
    _title("Results")
    for path in paths:
        console.print(f"  {path}", soft_wrap=True)
    summary = json.loads((target / "summary.json").read_text())
    console.print(f"  {summary['rows']} rows, mean {summary['mean']}")
    return ordered


async def _again(consumer: Party, ordered: Ordered) -> None:
    _title(f"The same order carries another job while its time lasts ({SHORTER_S} s wanted)")
    again = await _order(consumer, *_assets(ordered), SHORTER_S)
    if again.purchases:
        raise DemoFailedError("an order that was valid was made again")
    console.print("  Nothing to pay.")
    await _compute(consumer.client, again)


async def _renewed(consumer: Party, ordered: Ordered) -> None:
    longer = PAID_S * 2
    _title(f"For {longer} seconds its fee is paid anew; no datatoken is spent (reuseOrder)")
    renewed = await _order(consumer, *_assets(ordered), longer)
    if not renewed.purchases or not all(one.renewed for one in renewed.purchases):
        raise DemoFailedError("the order was not renewed")
    await _compute(consumer.client, renewed)


async def _forged(
    node: Node,
    forger: Party,
    published: tuple[Published, Published],
    genuine: Ordered,
) -> None:
    _title("A forger who ordered nothing")
    await _refused(forger.client, "uses the consumer's order", *_assets(genuine))
    forged = [
        await forge(node, forger.account, purchase.tx, asset.datatokens[0])
        for purchase, asset in zip(genuine.purchases, published, strict=True)
    ]
    await _refused(
        forger.client,
        "emits the same events, as payer, from a contract of her own",
        Dataset(published[0].did, transfer_tx_id=forged[0]),
        PublishedAlgorithm(published[1].did, transfer_tx_id=forged[1]),
    )


async def _refused(
    client: ComputeClient, how: str, dataset: Dataset, algorithm: PublishedAlgorithm
) -> None:
    try:
        job = await client.start(ENVIRONMENT, dataset, algorithm)
    except RefusedError as error:
        console.print(f"  {how}: [bold]refused[/], {error}", soft_wrap=True)
    else:
        raise DemoFailedError(f"the forger, who {how}, got job {job.id}")


async def _earned(consumer: Party, chain: Chain) -> None:
    address = (await consumer.client.provider())["providerAddresses"][str(chain.chain_id)]
    earned = await consumer.wallet.balance_of(chain.fee_token, address)
    _title(f"The provider has earned {Decimal(earned) / TOKEN:.2f} OCEAN")
    if not earned:
        raise DemoFailedError("the provider was paid nothing")


async def _order(
    consumer: Party, dataset: Dataset, algorithm: PublishedAlgorithm, seconds: int
) -> Ordered:
    return await consumer.client.order_for(
        ENVIRONMENT,
        dataset,
        algorithm,
        pay=consumer.wallet,
        duration_s=seconds,
        most_fee=_due(seconds + 5),
        told=_show_purchase,
    )


async def _compute(client: ComputeClient, ordered: Ordered) -> Job:
    job = await client.start(ENVIRONMENT, ordered.datasets, ordered.algorithm)
    async for seen in client.follow(job.id):
        job = seen
        console.print(f"  [bold]{job.status:>2}[/] {job.status_text}")
    if not job.succeeded:
        raise DemoFailedError(f"the job ended as {job.status} {job.status_text}: {job.detail}")
    return job


def _assets(ordered: Ordered) -> tuple[Dataset, PublishedAlgorithm]:
    assert isinstance(ordered.algorithm, PublishedAlgorithm)
    return ordered.datasets[0], ordered.algorithm


def _due(seconds: int) -> int:
    """What so many seconds cost, in base units."""
    return int(Decimal(PRICE) * TOKEN * seconds / 60)


def _show_purchase(purchase: Purchase) -> None:
    what = "renewed" if purchase.renewed else "ordered"
    fee = Decimal(purchase.fee) / TOKEN
    console.print(f"  {what} {purchase.did[:18]}…  {purchase.tx[:18]}…  fee {fee:.4f} OCEAN")


def _title(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        console.print(f"\n[bold]End of {log}[/]")
        lines = [
            line for line in log.read_text(errors="replace").splitlines() if '"key"' not in line
        ]
        console.print("\n".join(lines[-40:]), markup=False, soft_wrap=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="a shell image, name:tag")
    parser.add_argument("--folder", default=Path("demo-out/chain"), type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
