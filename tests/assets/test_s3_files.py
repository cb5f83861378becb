"""Files in stores that speak S3: signed URLs, by published and own vectors and by a store."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import pytest
from asset_fetching import read
from s3_store import ACCESS_KEY, SECRET, S3Store, signature

from compute.errors import InputUnavailable
from provider.assets.fetch import Fetcher
from provider.assets.files import S3Access, S3File, parse_file
from provider.assets.origins.base import Probe, SourceFile
from provider.assets.origins.kinds import Origins
from provider.assets.origins.s3 import object_url, presigned

CONTENT = b"a,b\n1,2\n" * 1000


def access(**changes: Any) -> S3Access:
    raw = {
        "bucket": "tables",
        "objectKey": "2024/one.csv",
        "accessKeyId": ACCESS_KEY,
        "secretAccessKey": SECRET,
        **changes,
    }
    file = parse_file({"type": "s3", "s3Access": raw})
    assert isinstance(file, S3File)
    return file.s3Access


@pytest.fixture(scope="module")
def running() -> Iterator[S3Store]:
    """With the bucket ``tables`` and two objects in it."""
    store = S3Store()
    store.start()
    store.put("/tables", b"")
    store.put("/tables/2024/one.csv", CONTENT)
    store.put("/tables/a%20b%2B%C3%A9~%28x%29%3F.csv", CONTENT)
    yield store
    store.stop()


@pytest.fixture
def store(running: S3Store) -> S3Store:
    running.asked.clear()
    return running


def opened(fetcher: Fetcher, store: S3Store, **changes: Any) -> SourceFile:
    raw = {**access(**{"endpoint": store.url, **changes}).model_dump()}
    return Origins(fetcher, b"k" * 32).source(parse_file({"type": "s3", "s3Access": raw}), {"a": 1})


async def whole(file: SourceFile) -> bytes:
    async with file.open(None) as download:
        return await read(download)


async def test_an_object_is_read(store: S3Store, fetcher: Fetcher) -> None:
    file = opened(fetcher, store)
    assert (file.type, file.name) == ("s3", "one.csv")
    assert await whole(file) == CONTENT
    assert await file.probe() == Probe(len(CONTENT), "text/csv", "one.csv")
    assert len(store.asked) == 2


async def test_a_piece_of_an_object(store: S3Store, fetcher: Fetcher) -> None:
    async with opened(fetcher, store).part("bytes=8-15") as part:
        assert await read_chunks(part.chunks) == CONTENT[8:16]
        assert (part.status, part.size) == (206, 8)
        assert part.content_range == f"bytes 8-15/{len(CONTENT)}"
        assert part.etag == f'"{hashlib.md5(CONTENT).hexdigest()}"'


async def read_chunks(chunks: Any) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_it_is_read_again_only_when_changed(store: S3Store, fetcher: Fetcher) -> None:
    file = opened(fetcher, store)
    async with file.open(None) as first:
        assert not first.unchanged
    async with file.open(first.validator) as second:
        assert second.unchanged


async def test_a_key_of_any_signs(store: S3Store, fetcher: Fetcher) -> None:
    file = opened(fetcher, store, objectKey="a b+é~(x)?.csv")
    assert await whole(file) == CONTENT
    assert file.name == "a b+é~(x)?.csv"


@pytest.mark.parametrize(
    "changes", [{"secretAccessKey": "wrong"}, {"accessKeyId": "AKIDOTHER"}, {"objectKey": "none"}]
)
async def test_what_the_store_refuses(
    store: S3Store, fetcher: Fetcher, changes: dict[str, str]
) -> None:
    file = opened(fetcher, store, **changes)
    for asking in (whole(file), file.probe()):
        with pytest.raises(InputUnavailable) as caught:
            await asking
        assert not caught.value.temporary
        assert "tables" not in caught.value.public
    assert len(store.asked) == 2


async def test_the_secret_is_never_sent(store: S3Store, fetcher: Fetcher) -> None:
    file = opened(fetcher, store)
    await whole(file)
    assert SECRET not in store.asked[0]
    assert SECRET not in repr(file) + repr(vars(file)) + file.identity + file.name


async def test_identity_stays_though_signatures_change(fetcher: Fetcher, store: S3Store) -> None:
    one = opened(fetcher, store).identity
    raw = {"type": "s3", "s3Access": access(endpoint=store.url).model_dump()}
    assert one == Origins(fetcher, b"k" * 32).source(parse_file(raw), {}).identity
    assert one == opened(fetcher, store).identity
    assert one != opened(fetcher, store, objectKey="other").identity


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://tables.s3.us-east-1.amazonaws.com/2024/one.csv"),
        ({"region": "eu-central-1"}, "https://tables.s3.eu-central-1.amazonaws.com/2024/one.csv"),
        ({"region": "cn-north-1"}, "https://tables.s3.cn-north-1.amazonaws.com.cn/2024/one.csv"),
        ({"forcePathStyle": True}, "https://s3.us-east-1.amazonaws.com/tables/2024/one.csv"),
        ({"bucket": "my.tables"}, "https://s3.us-east-1.amazonaws.com/my.tables/2024/one.csv"),
        ({"bucket": "My_Tables"}, "https://s3.us-east-1.amazonaws.com/My_Tables/2024/one.csv"),
        ({"endpoint": "https://o.example"}, "https://tables.o.example/2024/one.csv"),
        ({"endpoint": "o.example:9000/"}, "https://tables.o.example:9000/2024/one.csv"),
        ({"endpoint": "http://192.0.2.1:9000"}, "http://192.0.2.1:9000/tables/2024/one.csv"),
        ({"endpoint": "http://[2001:db8::1]"}, "http://[2001:db8::1]/tables/2024/one.csv"),
        ({"endpoint": "http://localhost:1"}, "http://localhost:1/tables/2024/one.csv"),
        (
            {"endpoint": "https://o.example/s3/", "forcePathStyle": True},
            "https://o.example/s3/tables/2024/one.csv",
        ),
        ({"objectKey": "a b?#%"}, "https://tables.s3.us-east-1.amazonaws.com/a%20b%3F%23%25"),
    ],
)
def test_where_an_object_lies(changes: dict[str, Any], url: str) -> None:
    assert object_url(access(**changes)) == url


PUBLISHED = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request",
    "X-Amz-Date": "20130524T000000Z",
    "X-Amz-Expires": "86400",
    "X-Amz-SignedHeaders": "host",
}
PUBLISHED_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PUBLISHED_SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


def test_signing_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of AWS, "Authenticating Requests: Using Query Parameters"."""
    then = datetime(2013, 5, 24, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: then)
    example = access(
        endpoint="https://s3.amazonaws.com",
        bucket="examplebucket",
        objectKey="test.txt",
        accessKeyId="AKIAIOSFODNN7EXAMPLE",
        secretAccessKey=PUBLISHED_SECRET,
    )
    url = urlsplit(presigned(example, valid_s=86400))
    assert (url.netloc, url.path) == ("examplebucket.s3.amazonaws.com", "/test.txt")
    assert dict(parse_qsl(url.query)) == {**PUBLISHED, "X-Amz-Signature": PUBLISHED_SIGNATURE}


def test_the_stores_own_check_is_as_published() -> None:
    host = "examplebucket.s3.amazonaws.com"
    made = signature(PUBLISHED_SECRET, "GET", host, "/test.txt", PUBLISHED)
    assert made == PUBLISHED_SIGNATURE


def test_nothing_of_this_machine_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDMACHINE")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-machine")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-machine-1")
    url = presigned(access())
    assert "achine" not in url
    assert "AKIDMACHINE" not in url
    assert "us-east-1" in url


def test_botocore_is_loaded_when_needed_only() -> None:
    code = "import sys, provider.assets.supplier; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
