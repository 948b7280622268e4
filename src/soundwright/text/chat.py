"""Any chat endpoint that speaks OpenAI's protocol, asked patiently but not for ever."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from http.client import HTTPException
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes
from soundwright.core.hub import first_line, network_forbidden

LONGEST_ANSWER = 1 << 20
"""Bytes."""
CHUNK = 1 << 14
PASSING = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
"""Statuses after which another try may succeed."""
Positive = Annotated[float, Field(gt=0)]


class ChatConfig(Config):
    """Which endpoint, and how patiently it is asked."""

    url: str
    """Base address: `/chat/completions` is put behind it."""
    model: str
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the key; one that is not set sends none."""
    timeout: Positive = 60.0
    """Seconds for one answer, from the question to its last byte."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """For one question, whether it was the network, the endpoint or nonsense that failed."""
    pause: Positive = 1.0
    """Seconds before the second attempt; before each further one twice as many."""
    longest_pause: Positive = 60.0
    """Seconds; also the most that an endpoint's Retry-After is granted."""


class ChatError(Exception):
    """One attempt failed, and another may succeed.

    Args:
        problem: What happened, what can be counted before the first colon.
        pause: Seconds that the endpoint wishes to be left alone.
    """

    def __init__(self, problem: str, pause: float = 0.0) -> None:
        self.pause = pause
        super().__init__(problem)


class ChatEndpoint:
    """Answers single questions.

    Args:
        config: Which endpoint.

    Raises:
        UserError: The address is none, or the network is forbidden and it is not this machine.
    """

    def __init__(self, config: ChatConfig) -> None:
        self.config = config
        parts = urlsplit(config.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"{config.url!r} is no address of a chat endpoint.",
                expected="a base address, such as https://api.openai.com/v1",
            )
        if network_forbidden() and not _is_here(parts.hostname):
            raise UserError(
                f"The network is forbidden, and {parts.hostname} is not this machine.",
                change="Unset SOUNDWRIGHT_OFFLINE, or do without a chat model: rules need none.",
            )
        self._address = config.url.rstrip("/") + "/chat/completions"
        self._opener = build_opener(_NoRedirects)

    @property
    def identity(self) -> str:
        """Of address and model, without the address: it may hold what is private."""
        return f"{hash_bytes(self.config.url.encode())[:16]}/{self.config.model}"

    def ask(self, question: str) -> str:
        """Ask once.

        Raises:
            ChatError: No answer, none in time, or none that can be read.
            UserError: The endpoint refuses what would be refused again: key, model, address.
        """
        body = {"model": self.config.model, "messages": [{"role": "user", "content": question}]}
        request = Request(self._address, json.dumps(body).encode(), self._headers())
        try:
            return _content(self._fetch(request))
        except HTTPError as error:
            raise self._refusal(error) from error
        except (OSError, HTTPException) as error:
            raise ChatError(f"no answer: {first_line(error)}") from error

    def ask_until(self, question: str, find_fault: Callable[[str], str | None]) -> str:
        """Ask until there is an answer without fault, as often as the configuration says.

        Args:
            question: What is asked.
            find_fault: Says why an answer is of no use; None where it is.

        Raises:
            ChatError: The last attempt failed too.
            UserError: As `ask`.
        """
        pause, problem = self.config.pause, ""
        for attempt in range(1, self.config.attempts + 1):
            wish = 0.0
            try:
                answer = self.ask(question)
                fault = find_fault(answer)
                if fault is None:
                    return answer
                problem = f"nonsense: {fault}"
            except ChatError as error:
                problem, wish = str(error), error.pause
            if attempt < self.config.attempts:
                time.sleep(min(max(pause, wish), self.config.longest_pause))
                pause *= 2
        raise ChatError(problem)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "soundwright"}
        key = os.environ.get(self.config.key_variable, "").strip()
        return {**headers, "Authorization": f"Bearer {key}"} if key else headers

    def _fetch(self, request: Request) -> bytes:
        """The body of an answer; one that drips in more slowly than `timeout` is given up."""
        end = time.monotonic() + self.config.timeout
        content = b""
        with self._opener.open(request, timeout=self.config.timeout) as answer:
            while chunk := answer.read1(CHUNK):
                content += chunk
                if len(content) > LONGEST_ANSWER:
                    raise ChatError(f"an answer of more than {LONGEST_ANSWER >> 20} MB")
                if time.monotonic() > end:
                    raise ChatError(f"no whole answer within {self.config.timeout:g} s")
        return content

    def _refusal(self, error: HTTPError) -> Exception:
        with error:
            if error.code in PASSING or error.code >= 500:
                return ChatError(f"status {error.code}", _retry_after(error.headers))
        hints = {
            401: f"Put a valid key into the environment variable {self.config.key_variable}.",
            403: f"Put a valid key into the environment variable {self.config.key_variable}.",
            404: "Check address and model; the address ends before /chat/completions.",
        }
        return UserError(
            f"The chat endpoint {self.config.url} refuses with status {error.code}.",
            change=hints.get(error.code, "Check the address and the name of the model."),
        )


class _NoRedirects(HTTPRedirectHandler):
    """A key is sent to the address that was given, and to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing; the status becomes an error."""


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(headers: Any) -> float:
    try:
        return max(0.0, float(headers.get("Retry-After", 0)))
    except (TypeError, ValueError):
        return 0.0


def _content(body: bytes) -> str:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise ChatError("an answer that is not of OpenAI's protocol") from error
    if not isinstance(content, str):
        raise ChatError("an answer without text")
    return content
