"""What strangers' files do to a server: uploads that were tampered with.

    python benchmarks/serving_uploads.py [--uploads 10000] [--seed N] [--out FILE]

Short sounds as WAV, FLAC, Ogg and MP3 are cut, repeated, overwritten, given other lengths and rates
in their headers, or joined with each other, and sent as uploads. Each must be taken or refused with
a reason; the server must answer all, stay healthy and not grow.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch

from serving_load import read_memory
from serving_process import ServerProcess
from soundwright.audio.encoding import encode
from soundwright.audio.sound import Sound
from soundwright.core.files import write_json
from soundwright.core.seeding import torch_stream

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
REASONS = 12
"""So many of the most frequent are told."""
REASON_LETTERS = 40
"""That make up one: what follows is of the single file."""


def main() -> None:
    """Send, count, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder), "--rate", "0")
        server.wait_until_ready()
        found = bombard(server, options.uploads, options.seed)
        server.stop()
    for name, value in found.items():
        print(f"{name:20} {value}")
    if options.out:
        write_json(options.out, {"seed": options.seed, **found})


def bombard(server: ServerProcess, uploads: int, seed: int) -> dict[str, Any]:
    """Send tampered sounds one after the other."""
    chance = random.Random(seed)
    sounds = make_sounds(seed)
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    slowest = 0.0
    early = 0.0
    for number in range(uploads):
        content = tamper(chance.choice(sounds), sounds, chance)
        began = time.perf_counter()
        status, reason = send(server.address, content)
        slowest = max(slowest, time.perf_counter() - began)
        statuses[str(status)] += 1
        reasons[reason] += 1
        if number == uploads // 10:
            early = read_memory(server.process.pid)[0]
    with urlopen(f"{server.address}health", timeout=30) as answer:
        healthy = answer.status == 200
    return {
        "uploads": uploads,
        "statuses": dict(statuses),
        "reasons": dict(reasons.most_common(REASONS)),
        "slowest_s": round(slowest, 2),
        "healthy": healthy,
        "server_memory_mb": [round(early, 1), round(read_memory(server.process.pid)[0], 1)],
    }


def make_sounds(seed: int) -> list[bytes]:
    """One second of a tone in noise, mono and stereo, in each format."""
    times = torch.arange(16_000) / 16_000
    noise = torch.randn(1, 16_000, generator=torch_stream(seed, "uploads"))
    mono = 0.3 * torch.sin(2 * torch.pi * 440 * times)[None] + 0.01 * noise
    sounds = (Sound(mono, 16_000), Sound(mono.expand(2, -1), 44_100))
    return [encode(sound, suffix) for sound in sounds for suffix in SUFFIXES]


def tamper(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """One to four faults, most of them where headers are."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(min(len(data), 64) if chance.random() < 0.6 else len(data))
        match chance.randrange(7):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                data[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0"))
            case 2:
                del data[max(1, place) :]
            case 3:
                data[place:place] = chance.randbytes(chance.randint(1, 64))
            case 4:
                del data[place : place + chance.randint(1, 64)]
            case 5:
                data[place : place + 4] = chance.randrange(1 << 32).to_bytes(4, "little")
            case _:
                data = bytearray(chance.choice(others)[:place]) + data[place:]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def send(address: str, content: bytes) -> tuple[int, str]:
    """The status of an upload, and the beginning of what was said."""
    request = Request(
        f"{address}v1/audio/uploads", content, {"Content-Type": "audio/wav"}, method="POST"
    )
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, "taken"
    except HTTPError as error:
        return error.code, json.load(error)["error"]["message"][:REASON_LETTERS]


if __name__ == "__main__":
    main()
