"""The API from Python, without further packages.

client = Client("http://127.0.0.1:8000")
sounds = client.generate("a dog barks twice", seed=7)
sounds[0].save("dog.wav")
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from soundwright.core.errors import UserError
from soundwright.core.files import write_bytes
from soundwright.serving.views import JobView, SoundView

PIECE_BYTES = 1 << 16
WAIT_S = 30.0
"""Seconds for which one request waits for a job."""
PATIENCE_S = 60.0
"""... and further ones for an answer at all."""
TOO_MANY = 429


class ServerError(UserError):
    """What the server says of a request that it refuses.

    Args:
        status: Of its answer.
        problem: Its `error`.
        retry_after: Seconds after which to come again.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after: int | None = None
    ) -> None:
        self.status, self.retry_after = status, retry_after
        self.kind = str(problem.get("type", "error"))
        self.field = problem.get("field")
        super().__init__(
            str(problem.get("message", f"The server answers with status {status}.")),
            expected=str(problem.get("expected") or ""),
            change=str(problem.get("change") or ""),
        )


@dataclass(frozen=True)
class ServedSound:
    """A sound that a server has made."""

    view: SoundView
    """Its prompt, seed and settings."""
    content: bytes
    """Its file."""

    def save(self, path: Path | str) -> Path:
        """Write the file as it came; its format is the one that was asked for.

        Raises:
            UserError: A disk that is full or cannot be written.
        """
        write_bytes(Path(path), self.content)
        return Path(path)


class Client:
    """A server of `soundwright serve`.

    Args:
        address: Such as http://127.0.0.1:8000.
        token: That it needs, if it does.
        patience: Seconds for which a full queue is asked again; None asks for ever.
    """

    def __init__(
        self, address: str, token: str | None = None, *, patience: float | None = 600.0
    ) -> None:
        self._address = address.rstrip("/")
        self._token, self._patience = token, patience

    def generate(self, prompts: str | list[str], **settings: Any) -> list[ServedSound]:
        """Make sounds and wait for them.

        Args:
            prompts: What shall be heard.
            settings: As the API takes them: duration, seed, num_samples, cfg_scale ...

        Raises:
            ServerError: The server refuses, or the job fails.
            UserError: There is no server.
        """
        job = self.submit(prompts, **settings)
        while job.state in ("waiting", "running"):
            job = self.wait(job.id)
        if job.error is not None:
            raise ServerError(200, job.error.model_dump())
        return [ServedSound(sound, self.fetch(sound)) for sound in job.sounds]

    def submit(self, prompts: str | list[str], **settings: Any) -> JobView:
        """Ask for sounds without waiting for them; arguments and errors are those of `generate`."""
        name = "prompt" if isinstance(prompts, str) else "prompts"
        with closing(
            self._insist("/v1/audio/generations", _write({name: prompts, **settings}))
        ) as answer:
            return JobView.model_validate_json(answer.read())

    def stream(self, prompt: str, **settings: Any) -> Iterator[bytes]:
        """The bytes of a WAV as they are made; arguments and errors are those of `generate`."""
        body = {"prompt": prompt, "stream": True, **settings}
        with closing(self._ask("POST", "/v1/audio/generations", _write(body))) as answer:
            while piece := answer.read1(PIECE_BYTES):
                yield piece

    def job(self, identity: str) -> JobView:
        """What has become of a job."""
        return JobView.model_validate_json(self._read("GET", f"/v1/jobs/{identity}"))

    def wait(self, identity: str, seconds: float = WAIT_S) -> JobView:
        """A job when it has ended, or after so many seconds."""
        answer = self._read("GET", f"/v1/jobs/{identity}?wait={seconds:g}")
        return JobView.model_validate_json(answer)

    def cancel(self, identity: str) -> JobView:
        """End a job."""
        return JobView.model_validate_json(self._read("POST", f"/v1/jobs/{identity}/cancel"))

    def fetch(self, sound: SoundView) -> bytes:
        """The file of a sound."""
        if sound.url is None:
            raise UserError(f"The sound of {sound.prompt!r} is not there: it is {sound.state}.")
        return self._read("GET", sound.url)

    def upload(self, sound: Path | str | bytes) -> str:
        """Send a sound; what `continue_from` takes."""
        content = sound if isinstance(sound, bytes) else Path(sound).read_bytes()
        answer = self._read("POST", "/v1/audio/uploads", content, "audio/unknown")
        return str(json.loads(answer)["id"])

    def models(self) -> list[dict[str, Any]]:
        """The models that are offered, and what may be asked of them."""
        return list(json.loads(self._read("GET", "/v1/models"))["models"])

    def _insist(self, path: str, body: bytes) -> HTTPResponse:
        """Ask for work, again and again while the server is too busy to take it."""
        until = None if self._patience is None else time.monotonic() + self._patience
        while True:
            try:
                return self._ask("POST", path, body)
            except ServerError as error:
                wait = error.retry_after
                if error.status != TOO_MANY or wait is None:
                    raise
                if until is not None and time.monotonic() + wait > until:
                    raise
                time.sleep(wait)

    def _read(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> bytes:
        with closing(self._ask(method, path, body, kind)) as answer:
            return answer.read()

    def _ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> HTTPResponse:
        headers = {"Content-Type": kind} if body is not None else {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = Request(self._address + path, body, headers, method=method)
        try:
            return urlopen(request, timeout=WAIT_S + PATIENCE_S)
        except HTTPError as error:
            raise _understand(error) from error
        except URLError as error:
            raise UserError(
                f"There is no server at {self._address}: {error.reason}.",
                expected="the address that `soundwright serve` has printed",
            ) from error


def _write(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _understand(error: HTTPError) -> ServerError:
    try:
        problem = json.loads(error.read())["error"]
    except (ValueError, KeyError, TypeError):
        problem = {}
    after = error.headers.get("Retry-After", "")
    return ServerError(error.code, problem, int(after) if after.isdigit() else None)
