"""Real servers in processes of their own, and plain requests to them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

LONGEST_TEST_S = 120.0


class Server:
    """`soundwright serve` in a process.

    Args:
        folder: Where its state is, and its log.
        options: Of the command.
    """

    def __init__(self, folder: Path, *options):
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.txt"
        command = [sys.executable, "-m", "soundwright", "serve", "--port", "0", "--json"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state", str(folder / "state"), *map(str, options)],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, f"the server ended: {self.log.read_text(encoding='utf-8')}"
            text += line
        self.said = json.loads(text)
        self.address = self.said["address"].rstrip("/")

    def send(self, path, body=None, *, method=None, headers=None, wait=60):
        """A request; the open answer, also when it is an error."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        method = method or ("POST" if body else "GET")
        return answer(self.address + path, body, headers, method=method, wait=wait)

    def ask(self, path, body=None, **how):
        """What a request is answered with, as JSON."""
        with self.send(path, body, **how) as answer:
            return json.load(answer)

    def fetch(self, path):
        with self.send(path) as answer:
            assert answer.status == 200, answer.read()
            return answer.read()

    def generate(self, **body):
        return self.ask("/v1/audio/generations", body)

    def end(self, job):
        """Wait until a job has ended; it."""
        wait_for(lambda: self.ask(f"/v1/jobs/{job}")["finished_at"] is not None)
        return self.ask(f"/v1/jobs/{job}")

    def sounds(self, job):
        """The files of a job that has ended well."""
        ended = self.end(job)
        assert ended["state"] == "done", ended["error"]
        return [self.fetch(sound["url"]) for sound in ended["sounds"]]

    @property
    def workers(self):
        """The ids of its child processes that make sounds."""
        return children(self.process.pid)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, how=signal.SIGINT):
        """End it politely; its status."""
        self.process.send_signal(how)
        return self.process.wait(LONGEST_TEST_S)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.process.stdout.close()


def answer(address, body=None, headers=None, *, method="GET", wait=60):
    """The answer to a request, which may be an error; it is still open."""
    request = urllib.request.Request(address, body, headers or {}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=wait)
    except HTTPError as error:
        return error


def children(parent):
    """Processes that a process has spawned to work for it."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            spawned = b"spawn_main" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(after[1]) == parent and after[0] != "Z" and spawned:
            found.append(int(folder.name))
    return found


def is_running(process):
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition):
    """Wait until something is so; it is a failure when it never is."""
    deadline = time.monotonic() + LONGEST_TEST_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
