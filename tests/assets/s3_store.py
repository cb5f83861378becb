"""An object store on loopback that checks signatures.

moto keeps the objects but looks at no signature in a query, so a door in front of it does,
written from the specification (AWS, "Authenticating Requests: Using Query Parameters") with
the standard library alone.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qsl, quote
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.server import create_backend_app
from werkzeug.serving import make_server

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
Wsgi = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


def signature(secret: str, method: str, host: str, path: str, query: dict[str, str]) -> str:
    """The signature (hexadecimal) of a request whose query has all but the signature."""
    spelt = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(query.items())
    )
    canonical = "\n".join([method, path, spelt, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
    scope = query["X-Amz-Credential"].split("/", 1)[1]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class S3Store:
    """``url`` is its endpoint, ``asked`` the paths of requests with their queries."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._inner: Any = create_backend_app("s3")
        self._server = make_server("127.0.0.1", 0, self._door, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def put(self, path: str, content: bytes) -> None:
        """Make a bucket, or an object of type CSV. The door lets all but GET pass."""
        scope = f"Credential={ACCESS_KEY}/20240101/us-east-1/s3/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}", "Content-Type": "text/csv"}
        connection = HTTPConnection("127.0.0.1", self._server.server_port, timeout=10)
        with closing(connection):
            connection.request("PUT", path, content, headers)
            assert connection.getresponse().status == 200

    def _door(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        self.asked.append(f"{environ['RAW_URI']}")
        if environ["REQUEST_METHOD"] == "GET" and not _is_signed(environ):
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SignatureDoesNotMatch</Code></Error>"]
        answer: Iterable[bytes] = self._inner(environ, start)
        return answer


def _is_signed(environ: WSGIEnvironment) -> bool:
    path, _, text = str(environ["RAW_URI"]).partition("?")
    query = dict(parse_qsl(text, keep_blank_values=True))
    given = query.pop("X-Amz-Signature", "")
    if query.get("X-Amz-SignedHeaders") != "host" or not given:
        return False
    made = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    late = datetime.now(UTC) > made + timedelta(seconds=int(query["X-Amz-Expires"]))
    known = query["X-Amz-Credential"].startswith(ACCESS_KEY + "/")
    expected = signature(SECRET, "GET", str(environ["HTTP_HOST"]), path, query)
    return known and not late and hmac.compare_digest(expected, given)
