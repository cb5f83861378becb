"""All commands and their options. What they do is in ``actions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provider.cli.apikeys import api_key_app
from provider.cli.audit import audit_app
from provider.cli.chain import chain_app
from provider.cli.db import db_app
from provider.cli.dryrun import dry_run
from provider.cli.held import held_app
from provider.cli.options import (
    Checksum,
    CustomData,
    Entrypoint,
    Image,
    JobId,
    Json,
    Key,
    Tag,
    Typed,
    Url,
)
from provider.cli.sealing import Decrypt, DecryptKey, Encrypt, EncryptTo, KeepSealed, decrypt

EXIT_CODES = (
    "Exit codes: 0 done; 1 the job failed, or the provider refused for another reason;"
    " 2 wrong usage or configuration; 3 not authorised; 4 not found;"
    " 5 the provider cannot be reached; 130 interrupted."
)

app = typer.Typer(
    help="Bring algorithms to data: serve a compute provider, or run jobs at one.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
key_app = typer.Typer(help="Make and look at wallet keys.", no_args_is_help=True)
app.add_typer(key_app, name="key")
app.add_typer(api_key_app, name="api-key")
app.add_typer(chain_app, name="chain")
app.add_typer(audit_app, name="audit")
app.add_typer(db_app, name="db")
app.add_typer(held_app, name="held")
app.command("decrypt", epilog=EXIT_CODES)(decrypt)
app.command("dry-run", epilog=EXIT_CODES)(dry_run)

Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Stay until the job is finished, telling changes.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

Rpc = Annotated[
    str,
    typer.Option(
        "--rpc",
        envvar="OCEAN_COMPUTE_RPC",
        help="A node of the chain: what is needed and sold there is ordered with the key.",
        metavar="URL",
    ),
]
AddressFile = Annotated[
    Path | None,
    typer.Option(
        envvar="ADDRESS_FILE", help="The addresses of the chain's contracts.", metavar="FILE"
    ),
]
MaxFee = Annotated[
    int | None,
    typer.Option(min=0, help="Order nothing if the provider asks more, in its token's base units."),
]
Metadata = Annotated[
    str,
    typer.Option(
        "--metadata-url",
        envvar="OCEAN_COMPUTE_METADATA_URL",
        help="Where assets are described, if not by the provider.",
        metavar="URL",
    ),
]
Service = Annotated[str, typer.Option(help="Service id of DIDs that are given without #SERVICE.")]
Userdata = Annotated[str, typer.Option(help="Parameters of the asset: JSON or @file.")]
Asset = Annotated[str, typer.Argument(metavar="ASSET", help="DID or DID#SERVICE.")]


@app.command(epilog=EXIT_CODES)
def serve() -> None:
    """Serve a provider; its configuration comes from the environment."""
    from provider.cli import serving

    serving.serve()


@app.command(epilog=EXIT_CODES)
def operate() -> None:
    """Operate jobs beside `serve` processes that share a PostgreSQL database with it."""
    from provider.cli import serving

    serving.operate()


@app.command(epilog=EXIT_CODES)
def environments(
    url: Url,
    key: Key = "",
    chain_id: Annotated[int | None, typer.Option("--chain", help="Only of this chain.")] = None,
    as_json: Json = False,
) -> None:
    """List the environments that a provider offers. Needs no key."""
    from provider.cli import actions

    actions.environments(actions.Target(url, key, as_json=as_json), chain_id)


@app.command(epilog=EXIT_CODES)
def start(
    url: Url,
    key: Key,
    algorithm: Annotated[
        str,
        typer.Option("--algorithm", "-a", help="A file to send, or DID or DID#SERVICE of one."),
    ],
    dataset: Annotated[
        list[str],
        typer.Option("--dataset", "-d", help="DID or DID#SERVICE; repeat it for more."),
    ],
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="Where to run. May be left out if only one.")
    ] = "",
    image: Image = "",
    tag: Tag = "",
    checksum: Checksum = "",
    entrypoint: Entrypoint = "",
    service: Service = "0",
    userdata: Annotated[
        str, typer.Option(help="Parameters of the first dataset: JSON or @file.")
    ] = "",
    algorithm_userdata: Annotated[
        str, typer.Option(help="Parameters of a published algorithm: JSON or @file.")
    ] = "",
    algocustomdata: CustomData = "",
    rpc: Rpc = "",
    address_file: AddressFile = None,
    duration: Annotated[
        int | None,
        typer.Option(
            min=1, help="Seconds to pay for, from now; as long as a job may run if left out."
        ),
    ] = None,
    max_fee: MaxFee = None,
    order: Annotated[
        list[str] | None,
        typer.Option(
            help="An order that is there already, used again or renewed; repeat it for more.",
            metavar="DID=TX",
        ),
    ] = None,
    metadata_url: Metadata = "",
    encrypt: Encrypt = False,
    encrypt_to: EncryptTo = "",
    follow: Follow = False,
    download: Annotated[
        Path | None, typer.Option(help="Wait, then bring all results into this folder.")
    ] = None,
    overwrite: Overwrite = False,
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """Start a job. Prints it; its id is what the other commands want.

    With --rpc and --address-file, what it needs on that chain is ordered before.
    """
    from provider.cli import actions
    from provider.cli.paying import Purse
    from provider.cli.requests import Request

    request = Request(
        environment=environment,
        datasets=tuple(dataset),
        algorithm=algorithm,
        image=image,
        tag=tag,
        checksum=checksum,
        entrypoint=entrypoint,
        service=service,
        userdata=userdata,
        algorithm_userdata=algorithm_userdata,
        algocustomdata=algocustomdata,
        orders=tuple(order or ()),
        duration_s=duration,
        encrypt=encrypt,
        encrypt_to=encrypt_to,
    )
    target = actions.Target(url, key, as_json=as_json, typed=typed, metadata_url=metadata_url)
    purse = Purse(rpc, address_file, max_fee)
    actions.start(target, request, purse, follow=follow, folder=download, overwrite=overwrite)


@app.command(epilog=EXIT_CODES)
def status(
    url: Url,
    key: Key,
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="All jobs if left out.")] = "",
    follow: Follow = False,
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """Show a job, or list all jobs of this wallet."""
    from provider.cli import actions

    target = actions.Target(url, key, as_json=as_json, typed=typed)
    if job:
        actions.status(target, job, follow=follow)
    else:
        actions.jobs(target)


@app.command(epilog=EXIT_CODES)
def logs(
    url: Url,
    key: Key,
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing until the job is finished.")
    ] = False,
    stage: Annotated[
        str, typer.Option(help="Only of this stage; all one after the other if left out.")
    ] = "",
    offset: Annotated[int, typer.Option(min=0, help="Begin with this byte, counted from 0.")] = 0,
    typed: Typed = False,
) -> None:
    """Print what the algorithm has printed so far, byte for byte.

    With --follow a broken connection is mended: what comes is each byte once. A job that
    failed is then told by the exit code.
    """
    from provider.cli import actions, loglines

    target = actions.Target(url, key, typed=typed)
    loglines.logs(target, job, loglines.Wanted(follow=follow, stage=stage, offset=offset))


@app.command(epilog=EXIT_CODES)
def results(url: Url, key: Key, job: JobId, typed: Typed = False, as_json: Json = False) -> None:
    """List the files that a job published."""
    from provider.cli import actions

    actions.results(actions.Target(url, key, as_json=as_json, typed=typed), job)


@app.command(epilog=EXIT_CODES)
def download(
    url: Url,
    key: Key,
    job: JobId,
    index: Annotated[
        int | None, typer.Argument(min=0, help="Which result; all if left out.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            "-o",
            metavar="PATH",
            help="Folder, or file for a single result; FOLDER/ if it is not there yet.",
        ),
    ] = ".",
    decrypt: Decrypt = False,
    decrypt_key: DecryptKey = "",
    keep_sealed: KeepSealed = False,
    overwrite: Overwrite = False,
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """Bring results to disk, resuming and verifying; prints their paths."""
    from provider.cli import actions

    target = actions.Target(url, key, as_json=as_json, typed=typed)
    keys = actions.Keys(decrypt_key, decrypt, keep_sealed)
    actions.download(target, job, index, to, keys, overwrite=overwrite)


@app.command(epilog=EXIT_CODES)
def stop(
    url: Url,
    key: Key,
    job: JobId,
    follow: Follow = False,
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """Stop a job. With --follow, stay until it has stopped."""
    from provider.cli import actions

    actions.stop(actions.Target(url, key, as_json=as_json, typed=typed), job, follow=follow)


@app.command(epilog=EXIT_CODES)
def delete(url: Url, key: Key, job: JobId, typed: Typed = False, as_json: Json = False) -> None:
    """Delete a job with all its files and results."""
    from provider.cli import actions

    actions.delete(actions.Target(url, key, as_json=as_json, typed=typed), job)


@app.command(epilog=EXIT_CODES)
def receipt(
    url: Url,
    key: Key,
    job: JobId,
    to: Annotated[
        Path | None, typer.Option("--to", "-o", metavar="FILE", help="A file; stdout if left out.")
    ] = None,
    overwrite: Overwrite = False,
    typed: Typed = False,
) -> None:
    """Get a finished job's receipt: what ran, signed by the provider. See 'verify'."""
    from provider.cli import actions, receipts

    receipts.receipt(actions.Target(url, key, typed=typed), job, to, overwrite=overwrite)


@app.command(epilog=EXIT_CODES)
def verify(
    file: Annotated[Path, typer.Argument(metavar="RECEIPT", help="The receipt's file.")],
    results: Annotated[
        Path | None,
        typer.Option(help="Compare the files in this folder with it.", metavar="FOLDER"),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="The address that the provider has; repeat it for more."),
    ] = None,
    url: Annotated[
        str, typer.Option(help="Ask the provider at this URL for its address.", metavar="URL")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say what of a receipt holds and what does not. Needs no key, and no provider.

    Exit codes: 0 all that was checked holds; 1 something does not; 2 something cannot be read.
    """
    from provider.cli import receipts

    receipts.verify(file, results, provider or [], url, as_json=as_json)


@app.command("asset-info", epilog=EXIT_CODES)
def asset_info(
    url: Url,
    asset: Asset,
    key: Key = "",
    service: Service = "0",
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Have the provider read and hash the files.")
    ] = False,
    userdata: Userdata = "",
    metadata_url: Metadata = "",
    as_json: Json = False,
) -> None:
    """Show a published asset and the files of its service. Needs no key."""
    from provider.cli import actions, assets

    target = actions.Target(url, key, as_json=as_json, metadata_url=metadata_url)
    assets.info(target, asset, service, checksum=checksum, userdata=userdata)


@app.command("asset-download", epilog=EXIT_CODES)
def asset_download(
    url: Url,
    key: Key,
    asset: Asset,
    index: Annotated[int, typer.Argument(min=0, help="Which file.")] = 0,
    to: Annotated[
        str,
        typer.Option(
            "--to", "-o", metavar="PATH", help="Folder, or file; FOLDER/ if it is not there yet."
        ),
    ] = ".",
    order: Annotated[str, typer.Option(help="An order that is there already.", metavar="TX")] = "",
    rpc: Rpc = "",
    address_file: AddressFile = None,
    max_fee: MaxFee = None,
    service: Service = "0",
    userdata: Userdata = "",
    metadata_url: Metadata = "",
    overwrite: Overwrite = False,
    typed: Typed = False,
    as_json: Json = False,
) -> None:
    """Bring a file of an access service to disk, ordering it before with --rpc."""
    from provider.cli import actions, assets
    from provider.cli.paying import Purse

    target = actions.Target(url, key, as_json=as_json, typed=typed, metadata_url=metadata_url)
    assets.download(
        target,
        asset,
        service,
        index,
        to,
        order=order,
        userdata=userdata,
        purse=Purse(rpc, address_file, max_fee),
        overwrite=overwrite,
    )


@key_app.command("new", epilog=EXIT_CODES)
def key_new(
    file: Annotated[Path, typer.Argument(help="The file to make; never overwritten.")],
    as_json: Json = False,
) -> None:
    """Make a new key, readable only by you, and print its address."""
    from provider.cli import keyfiles

    keyfiles.new(file, as_json=as_json)


@key_app.command("show", epilog=EXIT_CODES)
def key_show(
    file: Annotated[Path, typer.Argument(envvar="OCEAN_COMPUTE_KEY", help="The file of a key.")],
    as_json: Json = False,
) -> None:
    """Print the address of a key."""
    from provider.cli import keyfiles

    keyfiles.show(file, as_json=as_json)
