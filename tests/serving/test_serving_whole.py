"""One real server with the bundled model: what it makes, and what it survives."""

import json
import os
import shlex
import signal
import threading

import pytest
import torch
from typer.testing import CliRunner

import soundwright
from servers import Server, is_running, wait_for
from soundwright.audio.files import read, read_metadata
from soundwright.cli.main import app
from soundwright.serving.store import Store

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="what a server survives is told by signals of POSIX"
)
SHORT = {"duration": 0.5}


class House:
    """A folder of state, and the server that works on it now."""

    def __init__(self, folder):
        self.folder = folder
        self.open()

    def open(self):
        self.server = Server(self.folder)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.server.close()


@pytest.fixture
def server(house):
    if house.server.process.poll() is not None:
        house.server.close()
        house.open()
    return house.server


@pytest.fixture(scope="module")
def model():
    return soundwright.load("bundled")


@pytest.fixture
def saved(model, tmp_path):
    """The bytes of the file that the Python interface saves."""

    def save(prompt, suffix="wav", **settings):
        [sound] = model.generate(prompt, **{**SHORT, **settings})
        return sound.save(tmp_path / f"sound.{suffix}").read_bytes()

    return save


def counted(server, name):
    with server.send("/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_requests_made_together_give_the_bytes_of_each_alone(server, saved):
    before = [counted(server, f"soundwright_batch_sounds_{what}") for what in ("count", "sum")]
    # While the first one is made, the others come together.
    first = server.generate(prompt="sea waves", duration=3.0, seed=1)["id"]
    jobs = {}
    for prompt, seed, kind in (
        ("a dog barks", 7, "wav"), ("rain", 2**40, "flac"), ("a bell", 9, "ogg"),
        ("wind", 10, "mp3"),
    ):  # fmt: skip
        jobs[prompt, seed, kind] = server.generate(prompt=prompt, seed=seed, format=kind, **SHORT)
    several = server.generate(prompts=["rain", "fire"], num_samples=2, seed=20, **SHORT)
    made, alone = [], []
    for (prompt, seed, kind), job in jobs.items():
        made += server.sounds(job["id"])
        alone.append(saved(prompt, kind, seed=seed))
    made += server.sounds(several["id"])
    for prompt, seed in (("rain", 20), ("rain", 21), ("fire", 22), ("fire", 23)):
        alone.append(saved(prompt, seed=seed))
    made += server.sounds(first)
    alone.append(saved("sea waves", duration=3.0, seed=1))
    assert len(made) == 9
    assert made == alone
    batches, sounds = [
        counted(server, f"soundwright_batch_sounds_{what}") - then
        for what, then in zip(("count", "sum"), before, strict=True)
    ]
    assert sounds == 9
    assert batches < 9


def test_a_file_says_how_it_was_made(server, tmp_path):
    settings = {"temperature": 0.8, "top_k": 50, "cfg_scale": 2.0}
    job = server.generate(prompt="a bell", seed=3, format="flac", **SHORT, **settings)
    [content] = server.sounds(job["id"])
    path = tmp_path / "bell.flac"
    path.write_bytes(content)
    inside = read_metadata(path)
    assert inside["title"] == "a bell"
    described = json.loads(inside["comment"])
    [sound] = server.end(job["id"])["sounds"]
    assert described["settings"] == sound["settings"]
    assert described["settings"].items() >= {**SHORT, **settings}.items()
    assert (described["seed"], described["model_hash"]) == (3, job["model_hash"])


def test_a_streamed_sound_is_the_stored_one_and_that_of_python(server, model, tmp_path):
    body = {"prompt": "rain", "seed": 4, "duration": 1.0, "stream": True}
    with server.send("/v1/audio/generations", body) as answer:
        assert answer.headers["content-type"] == "audio/wav"
        streamed = answer.read()
        job = answer.headers["x-soundwright-job"]
    assert server.sounds(job) == [streamed]
    path = model.stream("rain", seed=4, duration=1.0).save(tmp_path / "rain.wav")
    assert path.read_bytes() == streamed


def test_a_sound_goes_on_from_an_upload_and_from_what_was_made(server, saved, tmp_path):
    source = server.generate(prompt="rain", seed=5, **SHORT)["id"]
    [content] = server.sounds(source)
    path = tmp_path / "source.wav"
    path.write_bytes(content)
    upload = server.ask("/v1/audio/uploads", content, headers={"Content-Type": "audio/wav"})["id"]
    expected = saved("wind", seed=6, duration=1.0, continue_from=path)
    for given in (upload, {"job": source, "sound": 0}):
        job = server.generate(prompt="wind", seed=6, duration=1.0, continue_from=given)
        assert server.sounds(job["id"]) == [expected]


def test_everything_that_may_be_asked_is_what_python_makes_of_it(server, saved):
    settings = {"negative": "wind", "best_of": 2, "top_p": 0.9, "seed": 8}
    job = server.generate(prompt="rain", **SHORT, **settings)["id"]
    assert server.sounds(job) == [saved("rain", **settings)]
    [sound] = server.end(job)["sounds"]
    assert sound["seed"] in (8, 9)
    assert len(sound["ranking"]["candidates"]) == 2
    loop = server.generate(prompt="rain", loop=True, seed=8, duration=1.0)["id"]
    assert server.sounds(loop) == [saved("rain", loop=True, seed=8, duration=1.0)]


def test_what_a_sound_says_of_making_it_again_makes_it_again(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"prompt": "--help 'a' \"bell\"", "seed": 3, "negative": "$(rain)", "cfg_scale": 2.5}
    plain, best = [
        server.generate(**asked, **SHORT, best_of=count, format="flac")["id"] for count in (1, 2)
    ]
    for job in (plain, best):
        [expected] = server.sounds(job)
        [sound] = server.end(job)["sounds"]
        path = tmp_path / sound["filename"]
        made = []
        result = CliRunner().invoke(app, shlex.split(sound["command"])[1:])
        assert result.exit_code == 0, result.stderr
        made.append(path.read_bytes())
        path.unlink()
        exec(sound["python"], {})
        made.append(path.read_bytes())
        assert made[0] == made[1]
        if job == plain:
            assert made[0] == expected
        else:
            # Alone, the best one is the same sound; its file names no rivals.
            kept = tmp_path / "kept.flac"
            kept.write_bytes(expected)
            assert torch.equal(read(kept).samples, read(path).samples)


def test_events_are_told_while_a_sound_is_made(server):
    job = server.generate(prompt="rain", duration=2.0)["id"]
    told = []
    with server.send(f"/v1/jobs/{job}/events") as answer:
        told += [json.loads(line[6:]) for line in answer if line.startswith(b"data: ")]
    assert [one["id"] for one in told] == [job] * len(told)
    assert told[-1] == server.ask(f"/v1/jobs/{job}")
    assert told[-1]["state"] == "done"
    progress = [one["progress"] for one in told]
    assert progress == sorted(progress)


def test_a_client_that_hangs_up_cancels_its_stream(server):
    body = {"prompt": "rain", "duration": 60.0, "stream": True}
    answer = server.send("/v1/audio/generations", body)
    assert len(answer.read(1000)) == 1000
    job = answer.headers["x-soundwright-job"]
    assert server.ask(f"/v1/jobs/{job}")["state"] == "running"
    answer.close()
    ended = server.end(job)
    assert (ended["state"], ended["sounds"][0]["url"]) == ("cancelled", None)


def test_a_worker_that_is_killed_costs_no_sound(server, saved):
    lost = counted(server, "soundwright_lost_workers_total")
    job = server.generate(prompt="rain", duration=3.0, seed=11)["id"]
    wait_for(lambda: server.ask(f"/v1/jobs/{job}")["progress"] > 0)
    for process in server.workers:
        os.kill(process, signal.SIGKILL)
    assert server.sounds(job) == [saved("rain", duration=3.0, seed=11)]
    assert counted(server, "soundwright_lost_workers_total") == lost + 1


@pytest.mark.slow
def test_a_killed_server_finishes_after_its_restart_what_it_had_accepted(house, server, saved):
    running = server.generate(prompt="rain", duration=3.0, seed=12)["id"]
    told = {}

    def go_on(first):
        for number in range(first, first + 2):
            body = {"prompt": "wind", "duration": 0.5 + 0.1 * first, "seed": 30 + number}
            try:
                told[server.generate(**body)["id"]] = body
            except OSError:
                return

    threads = [threading.Thread(target=go_on, args=(first,)) for first in (0, 2, 4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(told) >= 3 and server.ask(f"/v1/jobs/{running}")["progress"] > 0)
    children = server.workers
    assert children
    server.kill()
    for thread in threads:
        thread.join()
    # What it had begun must not go on beside the next server.
    wait_for(lambda: not any(is_running(process) for process in children))
    house.server.close()
    house.open()
    assert house.server.sounds(running) == [saved("rain", duration=3.0, seed=12)]
    for job, body in told.items():
        assert house.server.sounds(job) == [saved(**body)]
    listed = house.server.ask("/v1/jobs?limit=100")["jobs"]
    assert {job["state"] for job in listed} <= {"done", "cancelled"}


def test_a_server_that_is_told_to_end_finishes_what_it_makes_and_keeps_the_rest(house, server):
    jobs = [server.generate(prompt="rain", duration=length)["id"] for length in (2.0, 20.0)]
    wait_for(lambda: server.ask(f"/v1/jobs/{jobs[0]}")["progress"] > 0)
    children = server.workers
    log = server.log.read_text(encoding="utf-8")
    assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    wait_for(lambda: not any(is_running(process) for process in children))
    store = Store(house.folder / "state")
    assert [store.find(job).state for job in jobs] == ["done", "waiting"]
    store.close()
    said = server.log.read_text(encoding="utf-8").removeprefix(log)
    assert "Traceback" not in said
    assert "rror" not in said
