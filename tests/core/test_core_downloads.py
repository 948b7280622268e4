"""Files fetched by address: whole and as published, or not there at all."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from soundwright.core.downloads import fetch_address, hash_content
from soundwright.core.errors import CheckpointError, MissingWeightsError

CONTENT = bytes(range(256)) * 9000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Publisher(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/absent"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        cut = len(CONTENT) // 2 if self.path.startswith("/breaks") else None
        self.wfile.write(CONTENT[:cut])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = HTTPServer(("127.0.0.1", 0), Publisher)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def network_allowed(monkeypatch):
    for name in ("SOUNDWRIGHT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_a_file_is_fetched_and_checked(address, tmp_path):
    path = tmp_path / "new" / "weights.pth"
    fetch_address(f"{address}/weights.pth", path, SHA256)
    assert path.read_bytes() == CONTENT
    md5 = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"
    assert hash_content(path, "sha256") == SHA256
    assert hash_content(path, "md5") == md5
    fetch_address(f"{address}/weights.pth", tmp_path / "b.pth", md5)
    # What `git hash-object` says.
    git = "git-blob:ef5368afeb6833f50783a92bdc9b5df96e8afe09"
    assert hash_content(path, "git-blob") == git
    fetch_address(f"{address}/weights.pth", tmp_path / "c.pth", git)


def test_another_file_is_refused_and_not_kept(address, tmp_path):
    with pytest.raises(CheckpointError, match="not the file that was published"):
        fetch_address(f"{address}/weights.pth", tmp_path / "w.pth", "sha256:" + "0" * 64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["absent.pth", "breaks.pth"])
def test_what_the_network_does_not_give_is_named_with_a_way_out(address, tmp_path, file):
    with pytest.raises((MissingWeightsError, CheckpointError)) as caught:
        fetch_address(f"{address}/{file}", tmp_path / file, SHA256)
    assert f"{address}/{file}" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_forbidden_network_is_not_used(monkeypatch, address, tmp_path):
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    with pytest.raises(MissingWeightsError) as caught:
        fetch_address(f"{address}/weights.pth", tmp_path / "w.pth", SHA256)
    for words in ("forbidden", f"{address}/weights.pth", str(tmp_path / "w.pth")):
        assert words in str(caught.value)
