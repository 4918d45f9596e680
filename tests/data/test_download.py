import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bigmodel.data.download import cache_folder, fetch

CONTENT = bytes(range(256)) * 9000  # more than one chunk
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.server.requests.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(
            {"/truncated": CONTENT[:-1], "/other": CONTENT[::-1]}.get(self.path, CONTENT)
        )

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_good_file_arrives_once(server, tmp_path):
    destination = tmp_path / "cache" / "file"
    for _ in range(2):
        assert fetch(f"{server.address}/good", destination, sha256=SHA256) == destination
    assert destination.read_bytes() == CONTENT
    assert server.requests == ["/good"]
    assert list(destination.parent.iterdir()) == [destination]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", f"sha256 {hashlib.sha256(CONTENT[::-1]).hexdigest()}, expected {SHA256}"),
        ("truncated", ""),
        ("missing", "404"),
    ],
)
def test_a_bad_file_leaves_nothing_and_says_where_to_put_it(
    server, tmp_path, name, message, refused
):
    destination = tmp_path / "cache" / "file"
    address = f"{server.address}/{name}"
    with refused(f"{address}.*{message}.*{destination}"):
        fetch(address, destination, sha256=SHA256)
    assert list(destination.parent.iterdir()) == []


def test_no_network_is_one_line_that_says_where_to_put_the_file(monkeypatch, tmp_path, refused):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unheard:  # bound, so that nobody else listens there
        unheard.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        with refused(str(tmp_path / "file")):
            fetch(f"{address}/good", tmp_path / "file", sha256=SHA256)


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path, refused):
    (tmp_path / "taken").write_text("")
    with refused("taken"):
        fetch(f"{server.address}/good", tmp_path / "taken" / "file", sha256=SHA256)


def test_the_cache_follows_xdg_cache_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("thing") == tmp_path / "bigmodel" / "thing"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("thing") == tmp_path / ".cache" / "bigmodel" / "thing"
