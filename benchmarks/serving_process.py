"""A server of its own process, for benchmarks: started, asked, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE_S = 180.0


class ServerProcess:
    """`soundwright serve` on a free port.

    Args:
        state: Its folder.
        options: Further ones.
    """

    def __init__(self, state: Path, *options: str) -> None:
        self._state, self._options = state, options
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        command = [sys.executable, "-m", "soundwright", "serve", "--port", "0", "--json"]
        self.process = subprocess.Popen(
            [*command, "--state", str(self._state), *self._options],
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self.process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"The server did not start: status {self.process.wait()}.")
            text += line
        self.address = json.loads(text)["address"]

    def wait_until_ready(self) -> str:
        """Its address, once its model is there."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                with urlopen(f"{self.address}ready", timeout=10):
                    return self.address
            except URLError:
                time.sleep(0.1)
        raise SystemExit("The server did not become ready.")

    def kill(self) -> None:
        """Kill it and all its children, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Let it end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
