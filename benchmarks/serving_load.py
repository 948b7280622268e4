"""A server under load: is anything lost, answered twice, or growing; and what if it is killed.

    python benchmarks/serving_load.py [--clients 50] [--minutes 10] [--kills 0] [--work DIR]
        [--out FILE]

Each client asks for a short sound, waits for it, and asks again; a refusal with 429 is waited out.
Afterwards every accepted job is looked up: it must have ended, its sound must be there once, and
the server must have counted as many endings as there were jobs. Memory is that of the server and of
its worker, read every second; growth is the median of the last fifth over that of the second
fifth. Handling is what the server itself measures from a request's arrival to its answer, in which
the job is checked, written to the disk and queued.

With `--kills`, the server and its worker are killed at random moments and started again. Then
"counted" is left out, since a new server counts anew.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from serving_process import ServerProcess
from soundwright.core.files import write_json
from soundwright.serving.client import Client

PROMPTS = ("a dog barks", "rain", "a clock ticks", "sea waves", "a rooster crows", "a baby cries")
DURATIONS = (0.5, 1.0, 2.0)
OK, ACCEPTED = 200, 202
MEBI = 1 << 20


@dataclass
class Seen:
    """What all clients have seen."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    accepted: dict[str, float] = field(default_factory=dict[str, float])
    """Job to when it was accepted."""
    answered: Counter[str] = field(default_factory=Counter[str])
    handling: list[float] = field(default_factory=list[float])
    """Milliseconds."""
    waits: list[float] = field(default_factory=list[float])
    """Seconds from acceptance to the sound."""
    refusals: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])


def main() -> None:
    """Load, look, print."""
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        state = options.work or Path(folder)
        server = ServerProcess(state, "--rate", "0", "--queue", str(options.queue))
        server.wait_until_ready()
        seen, ending = Seen(), threading.Event()
        place = Place(server.address)
        threads = [
            threading.Thread(target=behave, args=(place, seen, ending, number), daemon=True)
            for number in range(options.clients)
        ]
        memory: list[tuple[float, float]] = []
        for thread in threads:
            thread.start()
        watch(server, place, memory, options)
        ending.set()
        for thread in threads:
            thread.join()
        found = account(server, seen, memory, options)
        server.stop()
    for name, value in found.items():
        print(f"{name:24} {value}")
    if options.out:
        write_json(options.out, found)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--queue", type=int, default=64, help="sounds that may wait")
    parser.add_argument("--work", type=Path, help="the server's folder, kept")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


@dataclass
class Place:
    """Where the server is, which changes when it is started again."""

    address: str


class Caller:
    """One client's connection, which stays open from request to request.

    Args:
        place: Where the server is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._address = ""
        self._connection: HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and content of an answer.

        Raises:
            OSError: The server is not there; the next call looks for it again.
            HTTPException: It has hung up.
        """
        if self._connection is None or self._address != self._place.address:
            self._address = self._place.address
            self._connection = HTTPConnection(urlsplit(self._address).netloc, timeout=120)
        headers = {"Content-Type": "application/json"}
        try:
            content = None if body is None else json.dumps(body)
            self._connection.request(method, path, content, headers)
            answer = self._connection.getresponse()
            return answer.status, dict(answer.headers.items()), answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            self._connection = None
            raise


def behave(place: Place, seen: Seen, ending: threading.Event, number: int) -> None:
    """One client: ask, wait, ask again."""
    chance = random.Random(number)
    caller = Caller(place)
    while not ending.is_set():
        body = {
            "prompt": chance.choice(PROMPTS),
            "seed": chance.randrange(10**6),
            "duration": chance.choice(DURATIONS),
        }
        try:
            status, headers, content = caller.ask("POST", "/v1/audio/generations", body)
        except (OSError, HTTPException):
            ending.wait(0.5)  # It was killed.
            continue
        if status != ACCEPTED:
            kind = json.loads(content)["error"]["type"]
            with seen.lock:
                seen.refusals[f"{status} {kind}"] += 1
            ending.wait(min(int(headers.get("retry-after", "1")), 5))
            continue
        job, accepted = json.loads(content)["id"], time.monotonic()
        found = re.search(r"accept;dur=([\d.]+)", headers.get("server-timing", ""))
        with seen.lock:
            seen.accepted[job] = accepted
            seen.handling.append(float(found.group(1)) if found else float("nan"))
        fetch(caller, seen, job, accepted)


def fetch(caller: Caller, seen: Seen, job: str, accepted: float) -> None:
    """Wait for a job and take its sound."""
    while True:
        try:
            status, _, content = caller.ask("GET", f"/v1/jobs/{job}?wait=20")
            view = json.loads(content)
            if status == OK and view["state"] in ("waiting", "running"):
                continue
            if status != OK or view["state"] != "done":
                with seen.lock:
                    seen.faults.append(f"{job}: {status} {view}")
                return
            status, _, sound = caller.ask("GET", view["sounds"][0]["url"])
        except (OSError, HTTPException):
            time.sleep(0.5)  # It was killed.
            continue
        with seen.lock:
            seen.answered[job] += 1
            seen.waits.append(time.monotonic() - accepted)
            if len(sound) != view["sounds"][0]["bytes"]:
                seen.faults.append(f"{job}: {status}, {len(sound)} bytes")
        return


def watch(
    server: ServerProcess,
    place: Place,
    memory: list[tuple[float, float]],
    options: argparse.Namespace,
) -> None:
    """Read memory, and kill where that is wanted, until the time is over."""
    chance = random.Random(1)
    began = time.monotonic()
    length = 60 * options.minutes
    kills = sorted(chance.uniform(0.1, 0.9) * length for _ in range(options.kills))
    while (now := time.monotonic() - began) < length:
        if kills and now > kills[0]:
            kills.pop(0)
            server.kill()
            server.start()
            place.address = server.address
        memory.append(read_memory(server.process.pid))
        time.sleep(1.0)


def read_memory(pid: int) -> tuple[float, float]:
    """MiB of a process, and of all its children together."""

    def resident(one: int) -> float:
        try:
            status = Path(f"/proc/{one}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found.group(1)) / 1024 if found else 0.0

    children: list[str] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += thread.read_text().split()
    return resident(pid), sum(resident(int(child)) for child in children)


def account(
    server: ServerProcess,
    seen: Seen,
    memory: list[tuple[float, float]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What has become of every job."""
    client = Client(server.address)
    states = Counter(client.job(job).state for job in seen.accepted)
    handling = sorted(one for one in seen.handling if one == one)
    found: dict[str, Any] = {
        "clients": options.clients,
        "minutes": options.minutes,
        "kills": options.kills,
        "accepted": len(seen.accepted),
        "states": dict(states),
        "answered_once": sum(1 for count in seen.answered.values() if count == 1),
        "refusals": dict(seen.refusals),
        "faults": seen.faults[:10],
        "jobs_a_second": round(len(seen.answered) / (60 * options.minutes), 2),
        "handling_ms": {
            "median": round(median(handling), 2),
            "p95": round(quantiles(handling, n=20)[-1], 2),
            "most": round(handling[-1], 2),
        },
        "wait_s": {
            "median": round(median(seen.waits), 2),
            "p95": round(quantiles(seen.waits, n=20)[-1], 2),
        },
        "memory_mb": {"server": grow(memory, 0), "worker": grow(memory, 1)},
    }
    if not options.kills:
        with urlopen(Request(f"{server.address}metrics")) as answer:
            text = answer.read().decode()
        counted = re.search(r'soundwright_jobs_total\{state="done"\} (\S+)', text)
        found["counted"] = int(float(counted.group(1))) if counted else 0
    return found


def grow(memory: list[tuple[float, float]], which: int) -> dict[str, float]:
    """How memory went: at a fifth, at the end, and the growth in percent."""
    values = [one[which] for one in memory]
    fifth = max(1, len(values) // 5)
    early, late = median(values[fifth : 2 * fifth] or values), median(values[-fifth:])
    return {
        "early": round(early, 1),
        "late": round(late, 1),
        "most": round(max(values), 1),
        "growth_percent": round(100 * (late / early - 1), 2) if early else 0.0,
    }


if __name__ == "__main__":
    main()
