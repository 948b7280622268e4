"""What every request must keep to, and what every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; media-src blob:; img-src 'self' data: blob:; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


MOST_DISCARDED = 32 << 20
"""Bytes of a body that is too large which are read before the connection is given up."""


class GoneError(Exception):
    """The client went away before its body was whole."""


class Guard:
    """Middleware: refuses bodies that are too large, whatever their header says.

    Args:
        app: What is protected.
        largest: Bytes of a body, for a method and a path.
        refuse: The application that answers a body that is too large.
        headers: Of every answer, where it has none of that name.
    """

    def __init__(
        self,
        app: App,
        *,
        largest: Callable[[str, str], int],
        refuse: App,
        headers: Mapping[str, str] = HEADERS,
    ) -> None:
        self._app, self._largest, self._refuse = app, largest, refuse
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = self._dress(send)
        try:
            body = await read_body(receive, self._largest(scope["method"], scope["path"]))
        except GoneError:
            return
        if body is None:
            await self._refuse(scope, receive, send)
            return
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)

    def _dress(self, send: Send) -> Send:
        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                added = [one for one in self._headers if one[0] not in names]
                message = {**message, "headers": [*given, *added]}
            await send(message)

        return send_dressed


async def read_body(receive: Receive, largest: int) -> bytes | None:
    """The whole body; None where it is too large.

    What is too large is read on for a while, and not kept: many a client reads no answer before it
    has sent all.

    Raises:
        GoneError: Nobody waits for an answer, and what came is not what was meant.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        part = message.get("body", b"")
        size += len(part)
        if size > largest:
            parts.clear()
        else:
            parts.append(part)
        if not message.get("more_body", False) or size > largest + MOST_DISCARDED:
            return b"".join(parts) if size <= largest else None
