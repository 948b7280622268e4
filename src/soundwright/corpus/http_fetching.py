"""One request for a file over HTTP, continued where an earlier one was cut."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import soundwright
from soundwright.core.files import sync_file, sync_folder, write_text
from soundwright.core.hub import first_line
from soundwright.corpus.failures import ItemError, PermanentError, TransientError

CHUNK = 1 << 18
PERMANENT_STATUSES = {401: "forbidden", 403: "forbidden", 404: "not-found", 410: "removed"}
"""Of 400 to 499; those that are in neither table are `refused`."""
PARTIAL_CONTENT, RANGE_REFUSED = 206, 416
TRANSIENT_STATUSES = {408: "timeout", RANGE_REFUSED: "cut", 425: "server", 429: "rate-limited"}
REFUSED_TYPES = ("text/html", "application/xhtml+xml")
"""Pages about a file, to log in or to say that it is gone."""
ERROR_TYPES = ("application/json", "application/problem+json")
"""What services say in place of a file, some with status 200: mostly that it does not go now."""
MAX_REDIRECTS = 5


def fetch_http(
    address: str,
    path: Path,
    unfinished: Path,
    *,
    timeout_s: float,
    deadline: float,
    max_bytes: int,
) -> None:
    """Fetch a file; `path` appears once all of it is on the disk.

    Args:
        address: http or https.
        path: Where it shall stand.
        unfinished: Path without suffix, on the same disk, of what has come so far. It stays
            after a cut where the server allows to continue.
        timeout_s: Longest wait for an answer or a byte.
        deadline: By `time.monotonic`.
        max_bytes: Largest file.

    Raises:
        PermanentError: As in `fetching.fetch`.
        TransientError: As in `fetching.fetch`.
        OSError: The disk is full or cannot be written.
    """
    partial = _Partial(unfinished)
    wait = max(0.1, min(timeout_s, deadline - time.monotonic()))
    try:
        with closing(_ask(address, partial, wait)) as answer:
            partial.begin(answer, address)
            size = _stated_size(address, answer, partial.size, max_bytes)
            for chunk in _chunks(address, answer, deadline):
                partial.append(chunk)
                if partial.size > max_bytes:
                    raise _too_large(address, partial.size, max_bytes)
    except PermanentError:
        partial.forget()
        raise
    if size is not None and partial.size < size:
        raise TransientError(
            f"{address} gave {partial.size} of {size} bytes before the connection ended.",
            reason="cut",
        )
    if partial.size == 0:
        raise PermanentError(f"{address} is empty.", reason="empty")
    partial.finish(path)


class _Partial:
    """What has come of a file, and by what its host tells that the file is still the same."""

    def __init__(self, stem: Path) -> None:
        self._part, self._tag = stem.with_suffix(".part"), stem.with_suffix(".tag")
        known = self._part.is_file() and self._tag.is_file()
        self.size = self._part.stat().st_size if known else 0

    def headers(self) -> dict[str, str]:
        """Those that ask for the rest of the same file."""
        if not self.size:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._tag.read_text(encoding="utf-8")}

    def begin(self, answer: Any, address: str) -> None:
        """Go on where an answer does, or start anew with one that holds the whole file.

        Raises:
            TransientError: The answer is another part than was asked for.
        """
        if answer.status == PARTIAL_CONTENT:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {self.size}-"):
                self.forget()
                raise TransientError(f"{address} gives another part of the file.", reason="cut")
            return
        self.forget()
        tag = answer.headers.get("ETag", "")
        # A weak tag, W/"...", does not promise the same bytes.
        validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
        if validator:
            write_text(self._tag, validator)

    def forget(self) -> None:
        """Let go of what has come."""
        self.size = 0
        self._part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def append(self, chunk: bytes) -> None:
        """Add what has come."""
        with self._part.open("ab") as file:
            file.write(chunk)
        self.size += len(chunk)

    def finish(self, path: Path) -> None:
        """Give the whole file its name."""
        sync_file(self._part)
        self._part.replace(path)
        sync_folder(path.parent)
        self._tag.unlink(missing_ok=True)


class _Redirects(HTTPRedirectHandler):
    """Few, and to the web only: an address of the web must not lead to files of this machine."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 2

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(req.full_url, code, f"it leads to {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = build_opener(_Redirects)


def _ask(address: str, partial: _Partial, timeout: float) -> Any:
    headers = {"User-Agent": f"soundwright/{soundwright.__version__}", **partial.headers()}
    try:
        return _OPENER.open(Request(_quote(address), headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == RANGE_REFUSED:
            partial.forget()
        with error:
            raise _status_error(address, error) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _network_error(address, error) from error


def _quote(address: str) -> str:
    """The address without what requests cannot hold: spaces, letters beyond ASCII, a fragment."""
    parts = urlsplit(address)
    path, query = (quote(part, safe="%/:;=&?@+$,!~*'()") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def _chunks(address: str, answer: Any, deadline: float) -> Iterator[bytes]:
    try:
        # Of `read`, a host that sends a byte a second would keep the hold.
        while chunk := answer.read1(CHUNK):
            yield chunk
            if time.monotonic() > deadline:
                raise TransientError(f"{address} comes too slowly.", reason="timeout")
    except (OSError, HTTPException, ValueError) as error:
        raise _network_error(address, error) from error


def _stated_size(address: str, answer: Any, there: int, max_bytes: int) -> int | None:
    """Bytes of the whole file, None where the host does not say.

    Raises:
        PermanentError: not-media or too-large.
        TransientError: not-media.
    """
    kind = answer.headers.get_content_type()
    if kind in REFUSED_TYPES:
        raise PermanentError(f"{address} gives a page ({kind}), no file.", reason="not-media")
    if kind in ERROR_TYPES:
        raise TransientError(f"{address} gives a message ({kind}), no file.", reason="not-media")
    length = answer.headers.get("Content-Length", "")
    if not length.isdecimal():
        return None
    size = there + int(length)
    if size > max_bytes:
        raise _too_large(address, size, max_bytes)
    return size


def _too_large(address: str, size: int, max_bytes: int) -> PermanentError:
    return PermanentError(
        f"{address} has at least {size} bytes; {max_bytes} are allowed.",
        reason="too-large",
        change="Raise max_bytes if it shall be fetched.",
    )


def _status_error(address: str, error: HTTPError) -> ItemError:
    said = f"{address} answers with status {error.code}: {first_line(Exception(error.reason))}."
    if error.code in TRANSIENT_STATUSES or error.code >= 500:
        return TransientError(
            said,
            reason=TRANSIENT_STATUSES.get(error.code, "server"),
            retry_after=retry_after(error.headers.get("Retry-After", ""), datetime.now(UTC)),
        )
    if error.code < 400:
        return PermanentError(said, reason="redirects")
    return PermanentError(said, reason=PERMANENT_STATUSES.get(error.code, "refused"))


def retry_after(text: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None for anything else."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _network_error(address: str, error: Exception) -> ItemError:
    cause = error.reason if isinstance(error, URLError) else error
    said = f"{address} cannot be fetched: {first_line(Exception(cause))}."
    if isinstance(cause, ssl.SSLCertVerificationError):
        return PermanentError(said, reason="certificate")
    if isinstance(cause, InvalidURL) or not isinstance(cause, OSError | HTTPException | str):
        return PermanentError(said, reason="bad-address")
    if isinstance(cause, IncompleteRead):
        return TransientError(said, reason="cut")
    return TransientError(
        said, reason="timeout" if isinstance(cause, TimeoutError) else "connection"
    )
