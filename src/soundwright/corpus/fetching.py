"""Media and transcripts by address: each once, patiently, and politely to the hosts."""

from __future__ import annotations

import itertools
import re
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout
from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.files import disk_error, hash_bytes
from soundwright.core.hub import network_forbidden
from soundwright.core.seeding import derive_seed
from soundwright.corpus.failures import ItemError, PermanentError, TransientError
from soundwright.corpus.host_rates import HostRates
from soundwright.corpus.http_fetching import fetch_http
from soundwright.corpus.youtube_fetching import fetch_youtube, is_youtube

SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
UNFINISHED = ".unfinished"
"""Folder, within that of the files, of what is not yet whole."""
RATES = HostRates()
"""Of this process."""


class FetchPolicy(Config):
    """How patiently and how politely files are fetched."""

    attempts: int = Field(default=5, ge=1)
    total_s: float = Field(default=900.0, gt=0)
    """Seconds for one address, all attempts and waits together."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds without an answer or a byte."""
    first_wait_s: float = Field(default=1.0, ge=0)
    """Before the second attempt; doubled before each further one."""
    longest_wait_s: float = Field(default=60.0, ge=0)
    """A host's Retry-After is granted more, within `total_s`."""
    max_bytes: int = Field(default=4 << 30, gt=0)
    rate: float = Field(default=2.0, gt=0)
    """Requests a second to one host, by all threads of a process."""
    burst: int = Field(default=4, ge=1)
    """Requests that a host which was left alone gets at once."""
    youtube: bool = False
    """Whether addresses of YouTube are fetched; its terms of use are yours to keep."""


DEFAULT_POLICY = FetchPolicy()


def fetch(address: str, folder: Path, policy: FetchPolicy = DEFAULT_POLICY) -> Path:
    """The file at an address: from the disk where it is there already, else fetched.

    Args:
        address: http(s), file:// or a plain path; what is on this machine is used in place.
        folder: Where fetched files stand, named after a hash of their address. Processes may
            share it; a file appears whole.
        policy: How patiently and politely.

    Returns:
        The file.

    Raises:
        PermanentError: missing, bad-address, not-found, removed, forbidden, refused, redirects,
            certificate, not-media, too-large, empty, youtube-not-allowed, or what YouTube says.
        TransientError: rate-limited, server, not-media, timeout, cut, connection,
            network-forbidden, or busy where another process is at it or others wait for the same
            host.
        UserError: The folder cannot be written, or a package is missing.
    """
    local = _local_path(address)
    if local is not None:
        if not local.is_file():
            raise PermanentError(f"{local} is no file on this machine.", reason="missing")
        return local
    path = folder / _name_of(address)
    if path.is_file():
        return path
    _refuse(address, policy)
    deadline = time.monotonic() + policy.total_s
    unfinished = folder / UNFINISHED / path.stem
    lock = unfinished.with_suffix(".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=policy.total_s):
            if not path.is_file():
                _try(address, path, unfinished, policy, deadline)
            # Whoever waits for it will find the file first. Windows keeps what is open.
            with suppress(PermissionError):
                lock.unlink(missing_ok=True)
    except Timeout as error:
        raise TransientError(
            f"{address} has been fetched by another process for {policy.total_s:g} s.",
            reason="busy",
        ) from error
    except OSError as error:
        raise disk_error(folder, error) from error
    return path


def fetched_file(address: str, folder: Path) -> Path | None:
    """Where `fetch` puts the file at an address; None for what is on this machine anyway.

    Raises:
        PermanentError: bad-address.
    """
    return None if _local_path(address) is not None else folder / _name_of(address)


def wait_before(
    attempt: int, address: str, policy: FetchPolicy, retry_after: float | None = None
) -> float:
    """Seconds before attempt 2, 3 ...: exponential, between half and all of it by chance.

    The chance follows from the address and the attempt, so that many addresses spread and each
    run waits the same.
    """
    longest = min(policy.longest_wait_s, policy.first_wait_s * 2.0 ** min(attempt - 2, 60))
    chance = derive_seed(0, "fetch", address, attempt) / 2**63
    return max(longest * (1 + chance) / 2, retry_after or 0.0)


def _try(address: str, path: Path, unfinished: Path, policy: FetchPolicy, deadline: float) -> None:
    host = urlsplit(address).hostname or ""
    for attempt in itertools.count(1):
        now = time.monotonic()
        delay = RATES.reserve(host, policy.rate, policy.burst, now, deadline - now)
        if delay is None:
            raise TransientError(f"{host} is asked for too much at once.", reason="busy")
        time.sleep(delay)
        try:
            _fetch_once(address, path, unfinished, policy, deadline)
            return
        except ItemError as error:
            error.attempts = attempt
            if not isinstance(error, TransientError) or attempt == policy.attempts:
                raise
            delay = wait_before(attempt + 1, address, policy, error.retry_after)
            now = time.monotonic()
            if error.retry_after:
                RATES.hold(host, error.retry_after, policy.rate, policy.burst, now)
            if now + delay >= deadline:
                raise
        time.sleep(delay)


def _fetch_once(
    address: str, path: Path, unfinished: Path, policy: FetchPolicy, deadline: float
) -> None:
    if is_youtube(address):
        fetch_youtube(address, path, unfinished.parent, policy.timeout_s, policy.max_bytes)
    else:
        fetch_http(
            address,
            path,
            unfinished,
            timeout_s=policy.timeout_s,
            deadline=deadline,
            max_bytes=policy.max_bytes,
        )


def _refuse(address: str, policy: FetchPolicy) -> None:
    """Raise what forbids an address to be asked for at all."""
    if is_youtube(address) and not policy.youtube:
        raise PermanentError(
            f"{address} is on YouTube, and the configuration does not allow that.",
            reason="youtube-not-allowed",
            change="Set youtube: true if you may fetch it, or put the media into a local folder.",
        )
    if network_forbidden():
        raise TransientError(
            f"{address} is not on this machine, and the network is forbidden.",
            reason="network-forbidden",
        )


def _local_path(address: str) -> Path | None:
    """The file on this machine that an address names; None for one of the network.

    Raises:
        PermanentError: bad-address.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise _bad_address(address) from error
    # A scheme of one letter is a drive of Windows.
    if len(parts.scheme) < 2:
        return Path(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad_address(address)
    return None


def _bad_address(address: str) -> PermanentError:
    return PermanentError(
        f"{address!r} cannot be fetched.",
        reason="bad-address",
        change="Give a path, or an address that begins with http://, https:// or file://.",
    )


def _name_of(address: str) -> str:
    """Hash of the address, and the suffix that it ends with, if any."""
    stem = hash_bytes(address.encode())[:32]
    ending = "." + urlsplit(address).path.rpartition("/")[2].rpartition(".")[2]
    return stem + ending.lower() if SUFFIX.fullmatch(ending) else stem
