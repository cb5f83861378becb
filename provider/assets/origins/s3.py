"""Objects of stores that speak S3: a signed URL, which the guarded fetcher then reads.

``botocore`` signs (Signature Version 4 in the query) and does nothing else here: no
client of its own, so it reads no profile of this machine and opens no connection. It is
imported when the first such file is asked for.
"""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlsplit

from provider.assets.files import S3Access
from provider.assets.origins.http import HttpRequest, MakeRequest

DEFAULT_REGION = "us-east-1"
VALID_S = 900
"""How long a signed URL may be used for the request's first byte: it is used at once."""

_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")


def signing(access: S3Access) -> MakeRequest:
    """Signs anew for each request, since signatures age."""

    async def make() -> HttpRequest:
        return HttpRequest(await asyncio.to_thread(presigned, access))

    return make


def presigned(access: S3Access, *, valid_s: int = VALID_S) -> str:
    """A URL that reads the object for ``valid_s`` seconds from now."""
    from botocore.auth import S3SigV4QueryAuth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
    from botocore.credentials import Credentials  # type: ignore[import-untyped]

    request = AWSRequest(method="GET", url=object_url(access))
    credentials = Credentials(access.accessKeyId, access.secretAccessKey)
    S3SigV4QueryAuth(credentials, "s3", access.region or DEFAULT_REGION, expires=valid_s).add_auth(
        request
    )
    return str(request.url)


def object_url(access: S3Access) -> str:
    """Where the object lies: the bucket in the host's name, or in the path where it must."""
    region = access.region or DEFAULT_REGION
    endpoint = urlsplit(access.endpoint or f"https://s3.{region}.{_domain(region)}")
    base = endpoint.path.strip("/")
    key = quote(access.objectKey, safe="/~")
    if access.forcePathStyle or not _fits_in_host(access.bucket, endpoint):
        host, parts = endpoint.netloc, [base, access.bucket, key]
    else:
        host, parts = f"{access.bucket}.{endpoint.netloc}", [base, key]
    path = "/".join(part for part in parts if part)
    return f"{endpoint.scheme}://{host}/{path}"


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _fits_in_host(bucket: str, endpoint: SplitResult) -> bool:
    """Numeric hosts have no names below them, and a certificate covers one label only."""
    try:
        ip_address(endpoint.hostname or "")
    except ValueError:
        return endpoint.hostname != "localhost" and bool(_HOST_LABEL.fullmatch(bucket))
    return False
