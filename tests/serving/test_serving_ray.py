"""The same application on a local Ray cluster, with two makers."""

import json
import os
import socket
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import soundwright
from servers import wait_for
from soundwright.core.errors import ConfigError
from soundwright.serving.client import Client

ray = pytest.importorskip("ray", reason="Ray is not installed")
serve = pytest.importorskip("ray.serve", reason="Ray Serve is not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(address):
    try:
        with urlopen(f"{address}/ready", timeout=30) as answer:
            return json.load(answer)["status"] == "ready"
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from soundwright.serving.ray import build

    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray.init(num_cpus=3, include_dashboard=False, logging_level="error", log_to_driver=False)
    port = free_port()
    serve.start(http_options={"port": port})
    state = tmp_path_factory.mktemp("state")
    serve.run(build({"models": "bundled", "replicas": "2", "state": str(state)}), route_prefix="/")
    address = f"http://127.0.0.1:{port}"
    wait_for(lambda: is_ready(address))
    yield address
    serve.shutdown()
    ray.shutdown()


def test_replicas_make_the_bytes_of_the_python_interface(address, tmp_path):
    client = Client(address)
    made = client.generate(["a dog barks", "rain"], seed=7, duration=0.5, num_samples=2)
    [first, *_] = soundwright.load("bundled").generate("a dog barks", seed=7, duration=0.5)
    assert made[0].content == first.save(tmp_path / "sound.wav").read_bytes()
    assert len({sound.content for sound in made}) == 4


def test_a_stream_travels_through_ray_piece_by_piece(address):
    client = Client(address)
    pieces = list(client.stream("rain", seed=3, duration=1.0))
    assert b"".join(pieces) == client.generate("rain", seed=3, duration=1.0)[0].content


def test_a_job_under_way_is_cancelled_there_too(address):
    client = Client(address)
    job = client.submit("rain", seed=1, duration=60.0)
    wait_for(lambda: client.job(job.id).progress > 0)
    assert client.cancel(job.id).state == "cancelled"
    assert client.generate("rain", seed=3, duration=0.5)[0].view.state == "done"


def test_an_unknown_argument_is_named():
    from soundwright.serving.ray import build

    with pytest.raises(ConfigError, match="queue"):
        build({"queu": "3"})
