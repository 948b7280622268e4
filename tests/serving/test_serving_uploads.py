"""Sounds that strangers send: whatever they are, the server says what it thinks and goes on."""

import io
import os
import signal
import threading
import time

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from scripted import Scripted, wait_for

from soundwright.serving.app import create_app
from soundwright.serving.config import ServingConfig

UPLOADS = "/v1/audio/uploads"
KINDS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3"}
MUTATIONS = 75
"""Of each kind."""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    config = ServingConfig(
        state=tmp_path_factory.mktemp("served"), rate=0, longest=3.0, largest_upload=300_000
    )
    with TestClient(create_app(config, [Scripted()]), raise_server_exceptions=False) as client:
        yield client


def sound_file(kind="WAV", seconds=0.5, channels=2, rate=16_000):
    rng = np.random.default_rng(3)
    samples = 0.2 * rng.standard_normal((round(seconds * rate), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind)
    return file.getvalue()


def send(client, content, kind="audio/wav", **headers):
    given = {"content-type": kind, "x-filename": "../my secret.wav", **headers}
    return client.post(UPLOADS, content=content, headers=given)


def refused(client, content, kind="audio/wav", status=422):
    """The problem of an upload that is refused; it tells nothing of the server's folders."""
    state = client.app.state.context.config.state
    answer = send(client, content, kind)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    told = " ".join(error.values())
    for secret in (str(state), state.name, "upload-", "/tmp", "uploads/", "my secret"):
        assert secret not in told, error
    return error


def kept(client):
    folder = client.app.state.context.config.state / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_of_each_kind_is_taken_and_can_be_continued(client, kind):
    content = sound_file(KINDS[kind])
    answer = send(client, content, f"audio/{kind}")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told == {
        "id": told["id"], "duration": pytest.approx(0.5, abs=0.08), "sample_rate": 16_000,
        "channels": 2,
    }  # fmt: skip
    assert client.app.state.context.shelf.place_upload(told["id"]).read_bytes() == content
    asked = {"prompt": "rain", "duration": 1.0, "continue_from": told["id"]}
    job = client.post("/v1/audio/generations?wait=30", json=asked).json()
    assert (job["state"], job["error"]) == ("done", None)


def test_the_content_decides_and_not_what_it_is_said_to_be(client):
    assert send(client, sound_file("FLAC"), "audio/mpeg").status_code == 201
    assert send(client, sound_file("OGG"), "application/ogg; codecs=vorbis").status_code == 201
    assert send(client, sound_file("WAV"), "AUDIO/WAV").status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "video/mp4", "image/png", ""])
def test_what_is_said_to_be_no_sound_is_not_looked_at(client, kind):
    error = refused(client, sound_file(), kind, status=415)
    assert error["type"] == "unsupported_media_type"
    assert "audio/wav" in error["expected"]


NONE = {
    "empty": (b"", "empty"),
    "text": (b"this is not a sound " * 50, "cannot be decoded"),
    "a page": (b"<html><script>alert(1)</script></html>", "cannot be decoded"),
    "zeros": (bytes(10_000), ""),
    "a header alone": (sound_file()[:44], "cut off"),
    "cut wav": (sound_file()[:-5000], "cut off"),
    "cut flac": (sound_file("FLAC")[:-5000], "cut off"),
    "cut ogg": (sound_file("OGG")[:-3000], "cut off"),
    "no samples": (sound_file(seconds=0.0), "no samples"),
    "a click": (sound_file(seconds=0.01), "0.010 s"),
    "too long": (sound_file("FLAC", seconds=3.1, channels=1, rate=8000), "3.1 s"),
    "infinite": (
        b"RIFF" + (36 + 40_000).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\3\0\1\0"
        + (8000).to_bytes(4, "little") + (32_000).to_bytes(4, "little") + b"\4\0\x20\0data"
        + (40_000).to_bytes(4, "little") + np.full(10_000, np.inf, "<f4").tobytes(),
        "not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "says"), NONE.values(), ids=NONE)
def test_what_is_no_sound_is_refused_and_not_kept(client, content, says):
    before = kept(client)
    error = refused(client, content)
    assert error["type"] == "invalid"
    assert says in error["message"]
    assert kept(client) == before


def test_what_is_too_large_is_refused(client):
    largest = client.app.state.context.config.largest_upload
    error = refused(client, b"x" * (largest + 1), status=413)
    assert str(largest) in error["expected"]
    fits = sound_file("FLAC", seconds=2.9, channels=1, rate=44_100)
    assert client.app.state.context.config.largest_body < len(fits) < largest
    assert send(client, fits).status_code == 201


def test_a_decoder_that_perished_is_replaced(client):
    assert send(client, sound_file()).status_code == 201
    listener = client.app.state.context.listener
    process = listener._child.process
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    wait_for(lambda: not process.is_alive())
    assert send(client, sound_file()).status_code == 201
    assert listener._child.process.pid != process.pid


@pytest.mark.skipif(os.name != "posix", reason="a process is stopped by a signal of POSIX")
def test_a_decoder_that_perishes_of_an_upload_takes_nobody_along(client):
    assert send(client, sound_file()).status_code == 201
    process = client.app.state.context.listener._child.process
    # Stopped, it has not read the next one yet when it is killed.
    os.kill(process.pid, signal.SIGSTOP)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(refused(client, sound_file())))
    thread.start()
    wait_for(lambda: client.app.state.context.listener._lock.locked())
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    thread.join()
    assert "No decoder survives" in answers[0]["message"]
    assert send(client, sound_file()).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_uploads_are_taken_or_refused_but_never_break_anything(client, kind):
    rng = np.random.default_rng(len(kind) + sum(kind.encode()))
    whole = sound_file(KINDS[kind], seconds=0.2)
    found = set()
    for number in range(MUTATIONS):
        content = bytearray(whole)
        # Half of the damage is done where formats keep what they say of themselves.
        for _ in range(int(rng.integers(1, 12))):
            end = 200 if rng.random() < 0.5 else len(content)
            content[int(rng.integers(end))] = int(rng.integers(256))
        if number % 3 == 1:
            del content[int(rng.integers(1, len(content))) :]
        elif number % 3 == 2:
            place = int(rng.integers(len(content)))
            content[place:place] = rng.bytes(int(rng.integers(1, 2000)))
        answer = send(client, bytes(content), f"audio/{kind}")
        found.add(answer.status_code)
        if answer.status_code == 201:
            told = answer.json()
            assert 0 < told["duration"] <= 3.0
            assert told["sample_rate"] > 0
        else:
            assert str(client.app.state.context.config.state) not in answer.text
            assert list(answer.json()) == ["error"]
    assert found <= {201, 422}
    assert 422 in found
    assert send(client, whole).status_code == 201
