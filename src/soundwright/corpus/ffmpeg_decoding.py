"""Sound of videos and other media through the programs ffmpeg and ffprobe."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from soundwright.core.errors import AudioError
from soundwright.corpus.media_streams import (
    FORMATS,
    GAP_S,
    HEAD_BYTES,
    Block,
    StreamInfo,
    describe_stream,
    drop_padding,
    known_container,
)

PATIENCE_S = 60.0
"""A program that gives nothing for so long hangs."""
BLOCK_FRAMES = 1 << 15
SAMPLE_BYTES = 4
INPUT_OPTIONS = ("-v", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)


@functools.cache
def ffmpeg_version() -> str | None:
    """Version of the program ffmpeg; None where it or ffprobe is not on the PATH."""
    if not shutil.which("ffmpeg") or not shutil.which("ffprobe"):
        return None
    said = _run(["ffmpeg", "-version"])
    words = said.stdout.split() if said is not None and said.returncode == 0 else []
    return f"ffmpeg {words[2]}" if len(words) > 2 else None


def probe_stream(path: Path) -> StreamInfo:
    """Describe the first sound stream of a file.

    Raises:
        AudioError: not-audio, truncated, unsupported, no-audio-stream.
    """
    stated = _probe(path)
    stream = stated["streams"][0]
    rate, channels = int(stream.get("sample_rate", 0)), int(stream.get("channels", 0))
    if rate < 1 or channels < 1:
        raise AudioError(f"{path} does not describe its sound.", reason="unsupported")
    end, end_of_all = None, None
    if "duration_ts" in stream and "start_pts" in stream:
        ticks = int(stream["start_pts"]) + int(stream["duration_ts"])
        end = ticks * Fraction(stream["time_base"]) - _origin(stated)
    if "duration" in stated["format"]:
        end_of_all = Fraction(stated["format"]["duration"])
    kind = stated["format"]["format_name"]
    return describe_stream(kind, rate, channels, end=end, end_of_all=end_of_all)


def decode_stream(path: Path, info: StreamInfo) -> Iterator[Block]:
    """Decode the first sound stream of a file from time 0 on.

    Holes in the timestamps come back as silence: the program does not tell them.

    Raises:
        AudioError: truncated where decoding stops, unsupported where it hangs.
    """
    yield from drop_padding(_decode(path, info, _origin(_probe(path))), info)


def _decode(path: Path, info: StreamInfo, origin: Fraction) -> Iterator[Block]:
    keep_time = (
        f"aresample=async=1:min_hard_comp={GAP_S}:first_pts={round(origin * info.sample_rate)}"
    )
    command = ["ffmpeg", "-nostdin", "-xerror", *INPUT_OPTIONS, "-copyts", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-af", keep_time, "-c:a", "pcm_f32le", "-f", "f32le"]
    command += ["-ar", str(info.sample_rate), "-ac", str(info.channels), "pipe:1"]
    size = BLOCK_FRAMES * info.channels * SAMPLE_BYTES
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
        )
        assert process.stdout is not None
        try:
            while content := _read(path, process, process.stdout, size):
                whole = len(content) // (info.channels * SAMPLE_BYTES) * info.channels
                samples = np.frombuffer(content, "<f4", whole).reshape(-1, info.channels)
                yield Block(np.ascontiguousarray(samples.T, np.float32))
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace")
    if process.returncode != 0:
        raise AudioError(
            f"{path} is damaged: decoding stops: {_last_words(said, process.returncode < 0)}.",
            reason="truncated",
        )


def _read(path: Path, process: subprocess.Popen[bytes], output: IO[bytes], size: int) -> bytes:
    """The next bytes of a program's output; empty at its end."""
    hangs = threading.Event()

    def stop() -> None:
        hangs.set()
        process.kill()

    timer = threading.Timer(PATIENCE_S, stop)
    timer.start()
    try:
        content = output.read(size)
    finally:
        timer.cancel()
    if hangs.is_set():
        raise _hangs(path, "ffmpeg")
    return content


def _probe(path: Path) -> dict[str, Any]:
    entries = (
        "stream=sample_rate,channels,time_base,start_pts,duration_ts"
        ":format=format_name,start_time,duration"
    )
    command = ["ffprobe", *INPUT_OPTIONS, "-select_streams", "a:0", "-of", "json"]
    said = _run([*command, "-show_entries", entries, f"file:{path}"])
    if said is None:
        raise _hangs(path, "ffprobe")
    if said.returncode != 0:
        with path.open("rb") as file:
            known = known_container(file.read(HEAD_BYTES))
        crashed = said.returncode < 0
        raise AudioError(
            f"{path} cannot be decoded: {_last_words(said.stderr, crashed)}.",
            reason="unsupported" if crashed else "truncated" if known else "not-audio",
            expected="a whole file with sound (mp4, mkv, webm, mp3 ...)",
        )
    stated = json.loads(said.stdout)
    if not stated.get("streams"):
        raise AudioError(f"{path} has no sound.", reason="no-audio-stream")
    return stated


def _origin(stated: dict[str, Any]) -> Fraction:
    """When the medium begins to play, by its own clock."""
    return max(Fraction(stated["format"].get("start_time", 0)), Fraction(0))


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """A finished program, None where it hangs."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _hangs(path: Path, program: str) -> AudioError:
    return AudioError(
        f"{path} cannot be decoded: {program} gave nothing for {PATIENCE_S:g} s.",
        reason="unsupported",
    )


def _last_words(text: str, crashed: bool) -> str:
    lines = ["the program crashes"] if crashed else text.strip().splitlines()
    return lines[-1].rstrip(". ") if lines else "the program does not say why"
