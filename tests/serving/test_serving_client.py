"""The client of a few lines, at a real server."""

import os

import pytest

import soundwright
from servers import Server
from soundwright.audio.files import read
from soundwright.core.errors import UserError
from soundwright.serving.client import Client, ServerError

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="what a server survives is told by signals of POSIX"
)
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("served"), "--token", TOKEN, "--queue", "4")
    yield server
    server.close()


@pytest.fixture
def client(server):
    return Client(server.address, TOKEN)


def test_it_makes_what_the_python_interface_makes(client, tmp_path):
    [served] = client.generate("a dog barks", seed=7, duration=0.5)
    [sound] = soundwright.load("bundled").generate("a dog barks", seed=7, duration=0.5)
    assert served.content == sound.save(tmp_path / "sound.wav").read_bytes()
    assert read(served.save(tmp_path / "served.wav")).duration == 0.5
    assert (served.view.seed, served.view.prompt) == (7, "a dog barks")


def test_the_python_that_a_sound_tells_makes_it_again(client, tmp_path, monkeypatch):
    [served] = client.generate("rain", seed=3, duration=0.5, negative="wind", cfg_scale=2.5)
    monkeypatch.chdir(tmp_path)
    exec(served.view.python, {})
    assert (tmp_path / served.view.filename).read_bytes() == served.content


def test_a_stream_has_the_bytes_of_the_file(client):
    pieces = list(client.stream("rain", seed=3, duration=1.0))
    assert len(pieces) > 1
    assert b"".join(pieces) == client.generate("rain", seed=3, duration=1.0)[0].content


def test_it_continues_a_sound_that_it_sends(client):
    [first] = client.generate("rain", seed=1, duration=0.5)
    upload = client.upload(first.content)
    [longer] = client.generate("rain", seed=2, duration=1.0, continue_from=upload)
    assert longer.view.duration == 1.0
    assert longer.view.settings["continued"]


def test_more_sounds_than_may_wait_come_one_after_the_other(client):
    jobs = [client.submit("rain", seed=seed, duration=0.5, num_samples=2) for seed in range(6)]
    ended = [client.wait(job.id, 60) for job in jobs]
    assert [job.state for job in ended] == ["done"] * 6


def test_what_the_server_refuses_is_a_mistake_with_its_words(client):
    with pytest.raises(ServerError, match="duration is 1000 s") as caught:
        client.generate("rain", duration=1000)
    assert (caught.value.status, caught.value.field) == (422, "duration")
    assert "at most 60" in caught.value.expected
    assert client.models()[0]["name"] == "bundled"


def test_without_the_token_or_a_server_it_says_so(server):
    with pytest.raises(ServerError, match="needs its token"):
        Client(server.address).models()
    with pytest.raises(UserError, match="There is no server at"):
        Client("http://127.0.0.1:1").models()
