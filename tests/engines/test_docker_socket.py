"""Short calls over the engine's socket, with a socket of ours in the engine's place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from docker.errors import NotFound

from compute.engines.docker.transport import UNIX, SocketClient

YES = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"Id": "1"}'
NO = b'HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n{"message": "none"}'


class Answering:
    """Gives each connection its answers one after the other, then closes it."""

    def __init__(self, path: Path, *connections: list[bytes]) -> None:
        self.asked: list[bytes] = []
        self._connections = connections
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self._connections:
            connection, _ = self._listener.accept()
            with connection:
                for answer in answers:
                    self.asked.append(connection.recv(1 << 16).split(b" HTTP/")[0])
                    connection.sendall(answer)

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._listener.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SocketClient]:
    address = f"{UNIX}{tmp_path}/engine.sock"
    client = SocketClient(address, version="1.41", timeout=30, max_pool_size=2)
    yield client
    client.close()


def test_a_connection_is_used_again_until_the_engine_closes_it(
    client: SocketClient, tmp_path: Path
) -> None:
    engine = Answering(tmp_path / "engine.sock", [YES, YES], [YES])
    assert client.inspect_image("a") == {"Id": "1"}
    assert client.inspect_image("b") == {"Id": "1"}
    assert client.inspect_image("c") == {"Id": "1"}
    engine.join()
    assert engine.asked == [f"GET /v1.41/images/{name}/json".encode() for name in "abc"]


def test_a_refusal_is_the_sdks_own(client: SocketClient, tmp_path: Path) -> None:
    engine = Answering(tmp_path / "engine.sock", [NO, YES])
    with pytest.raises(NotFound) as caught:
        client.remove_container("gone", v=True, force=True)
    assert caught.value.explanation == "none"
    client.inspect_image("a")
    engine.join()
    assert engine.asked[0] == b"DELETE /v1.41/containers/gone?v=True&link=False&force=True"


@pytest.mark.parametrize("answer", [b"", YES[:40], b"nonsense\r\n\r\n"])
def test_what_breaks_off_is_asked_once(client: SocketClient, tmp_path: Path, answer: bytes) -> None:
    engine = Answering(tmp_path / "engine.sock", [answer], [YES])
    with pytest.raises(requests.ConnectionError):
        client.start("name")
    client.inspect_image("a")
    engine.join()
    assert engine.asked == [b"POST /v1.41/containers/name/start", b"GET /v1.41/images/a/json"]


def test_nobody_listens(client: SocketClient) -> None:
    with pytest.raises(requests.ConnectionError):
        client.inspect_image("a")


def test_silence_ends_with_the_time_out(tmp_path: Path) -> None:
    address = f"{UNIX}{tmp_path}/engine.sock"
    client = SocketClient(address, version="1.41", timeout=1, max_pool_size=2)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "engine.sock"))
        deaf.listen()
        with pytest.raises(requests.ReadTimeout):
            client.inspect_image("a")
    client.close()
