"""The sound of YouTube videos through the package yt-dlp, for those who may fetch it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from soundwright.core.errors import UserError
from soundwright.core.hub import first_line
from soundwright.corpus.failures import ItemError, PermanentError, TransientError

HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com")
FORMAT = "bestaudio/best"
TRANSIENT_WORDS = {
    "rate-limited": ("429", "too many requests", "rate-limit", "not a bot"),
    "timeout": ("timed out", "timeout"),
    "server": ("http error 5", "internal server error"),
    "not-yet": ("premieres in", "live event will begin", "is live"),
}
PERMANENT_WORDS = {
    "private": ("private video", "video is private"),
    "forbidden": ("members-only", "confirm your age", "age-restricted", "join this channel"),
    "region": ("in your country", "from your location"),
    "removed": ("removed", "terminated", "no longer available", "account has been closed"),
    "unavailable": ("unavailable", "not available", "does not exist", "error 404", "error 410"),
}
"""What yt-dlp's messages contain, in lower case; the first that is found decides, and the
transient come first."""


def is_youtube(address: str) -> bool:
    """Whether an address is one of YouTube."""
    host = (urlsplit(address).hostname or "").lower()
    return any(host == name or host.endswith(f".{name}") for name in HOSTS)


def fetch_youtube(
    address: str, path: Path, unfinished: Path, timeout_s: float, max_bytes: int
) -> None:
    """Fetch the best sound of a video as it is there: nothing is converted.

    Args:
        address: Of the video.
        path: Where the file shall stand.
        unfinished: Folder, on the same disk, of what has come so far.
        timeout_s: Longest wait for an answer or a byte.
        max_bytes: Largest file.

    Raises:
        PermanentError: private, forbidden, region, removed, unavailable, too-large.
        TransientError: rate-limited, timeout, server, not-yet, connection.
        UserError: yt-dlp is not installed.
    """
    try:
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import YoutubeDLError
    except ImportError as error:
        raise UserError(
            "Addresses of YouTube need the package yt-dlp.",
            change="Install it with pip install yt-dlp, or leave youtube: false.",
        ) from error
    options: Any = {
        "format": FORMAT,
        "paths": {"home": str(path.parent), "temp": str(unfinished)},
        "outtmpl": {"default": path.name},
        "fixup": "never",
        "noplaylist": True,
        "max_filesize": max_bytes,
        "socket_timeout": timeout_s,
        "cachedir": False,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Silence(),
    }
    try:
        with YoutubeDL(options) as loader:
            loader.extract_info(address)
    except YoutubeDLError as error:
        raise youtube_error(address, first_line(error)) from error
    if not path.is_file():
        raise PermanentError(
            f"{address} has more than the {max_bytes} bytes that are allowed.",
            reason="too-large",
            change="Raise max_bytes if it shall be fetched.",
        )


def youtube_error(address: str, said: str) -> ItemError:
    """What a message of yt-dlp means; one that is not known may be mended by a newer yt-dlp."""
    words = said.lower()
    problem = f"{address}: {said}."
    for reason, signs in TRANSIENT_WORDS.items():
        if any(sign in words for sign in signs):
            return TransientError(problem, reason=reason)
    for reason, signs in PERMANENT_WORDS.items():
        if any(sign in words for sign in signs):
            return PermanentError(problem, reason=reason)
    return TransientError(problem, reason="connection", change="Try a newer yt-dlp.")


class _Silence:
    """Errors are raised, and nothing else is to be said."""

    def debug(self, message: str) -> None:
        """Say nothing."""

    warning = error = info = debug
