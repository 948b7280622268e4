"""`soundwright serve`: what it says, and what it refuses before it begins."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from servers import answer
from soundwright.core.locking import lock_folder

on_posix = pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal of POSIX")


def test_help_shows_examples(command):
    result = command("serve", "--help")
    assert result.exit_code == 0
    assert "Example: soundwright serve" in result.stdout
    assert "--host 0.0.0.0" in result.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--token", "short"], ["has 5 characters", "at least 16"]),
        (["--model", "bundeld"], ["no model 'bundeld'", "did you mean 'bundled'?"]),
        (["--model", "bundled", "--model", "gone"], "no model 'gone'"),
        (["--queue", "0"], "queue"),
        (["--dtype", "int4"], ["dtype", "int4", "int8"]),
        (["--keep-days", "-1"], "keep_days"),
        (["--host", "192.0.2.1"], ["192.0.2.1:0 cannot be used", "--port"]),
        (["--port", "70000"], "65535"),
    ],
)
def test_mistakes_are_told_before_anything_begins(refuses, tmp_path, options, says):
    refuses("serve", "--port", "0", "--state", "state", *options, says=says)
    assert not (tmp_path / "state" / "jobs.sqlite").exists()


def test_a_short_token_of_the_environment_is_refused(refuses, monkeypatch):
    monkeypatch.setenv("SOUNDWRIGHT_TOKEN", "short")
    refuses("serve", "--port", 0, says="has 5 characters")


def test_a_model_that_makes_no_sounds_is_refused(refuses, tmp_path):
    from soundwright.pipelines.models import RECORD_FILE, find_model

    record = (find_model("bundled") / RECORD_FILE).read_text(encoding="utf-8")
    (tmp_path / "mute").mkdir()
    mute = re.sub(r'"kind": "lm"', '"kind": "captioner"', record, count=1)
    (tmp_path / "mute" / RECORD_FILE).write_text(mute, encoding="utf-8")
    refuses("serve", "--port", 0, "--model", "mute", says="generates no sounds")


def test_a_port_in_use_is_told(refuses):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses("serve", "--port", port, "--state", "state", says=f":{port} cannot be used")


def test_a_folder_on_which_another_server_works_is_left_to_it(refuses, tmp_path):
    with lock_folder(tmp_path / "state"):
        refuses("serve", "--port", 0, "--state", "state", says="at work in state")
    assert not (tmp_path / "state" / "jobs.sqlite").exists()


def test_a_folder_that_cannot_be_used_is_told(refuses, tmp_path):
    (tmp_path / "file").write_text("no folder")
    refuses("serve", "--port", 0, "--state", "file", says="cannot be written")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "jobs.sqlite").write_bytes(b"not a database at all" * 100)
    refuses("serve", "--port", 0, "--state", "state", says=["cannot be used", "--state"])


@on_posix
def test_a_server_for_others_prints_its_token_and_ends_quietly(tmp_path):
    server = subprocess.Popen(
        [sys.executable, "-m", "soundwright", "serve", "--host", "0.0.0.0", "--port", "0",
         "--state", tmp_path / "state"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        studio, api = server.stdout.readline(), server.stdout.readline()
        port, token = re.search(r":(\d+)/#token=(\S{32,})$", studio).groups()
        assert f":{port}/openapi.json" in api
        assert token not in api
        address = f"http://127.0.0.1:{port}/v1/jobs"
        assert answer(address).status == 401
        assert answer(address, headers={"Authorization": f"Bearer {token}"}).status == 200
        server.send_signal(signal.SIGINT)
        stdout, stderr = server.communicate(timeout=120)
        assert server.returncode in (0, 128 + signal.SIGINT)
        assert (stdout, "Traceback" in stderr) == ("", False)
        assert stderr.splitlines() in ([], ["Interrupted. What was finished is kept."])
        assert token not in stderr
    finally:
        server.kill()
        server.wait()
