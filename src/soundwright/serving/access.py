"""Who may ask, under which name, and how often; and what each request came to."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Collection

from starlette.requests import Request

from soundwright.serving.faults import answer, tell_unexpected
from soundwright.serving.metrics import Metrics
from soundwright.serving.problems import ProblemError, refuse
from soundwright.web.guards import App, Message, Receive, Send

GUARDED = "/v1/"
WORK = (("POST", "/v1/audio/generations"), ("POST", "/v1/audio/uploads"))
"""What counts against the rate."""
MINUTE_S = 60.0
MOST_CLIENTS = 10_000


class Access:
    """Decides about each request before anything else sees it.

    Args:
        token: What `/v1` and `/metrics` need; None is nothing.
        hosts: Names under which the server may be addressed; none is any. Without it, a page that
            anybody put on the web could reach a server on this machine by renaming its own.
        rate: Requests for work of one client in a minute; 0 sets no limit.
    """

    def __init__(self, token: str | None, hosts: Collection[str], rate: int) -> None:
        self._token, self._hosts, self._rate = token, frozenset(hosts), rate
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, request: Request) -> ProblemError | None:
        """Why a request is not let in; None where it is."""
        path = request.scope["path"]
        host = request.headers.get("host", "").rsplit("@", 1)[-1]
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self._hosts and name.lower() not in self._hosts:
            return refuse(
                421,
                "misdirected",
                f"This server does not answer to the name {name[:100]!r}.",
                change="Use the address that it printed, or name this one with --allow-host.",
            )
        guarded = path.startswith(GUARDED) or path == "/metrics"
        if self._token is not None and guarded and request.method != "OPTIONS":
            given = request.headers.get("authorization", "")
            wanted = f"Bearer {self._token}"
            if not hmac.compare_digest(given.encode(), wanted.encode()):
                return refuse(
                    401,
                    "unauthorized",
                    "This server needs its token." if not given else "This is not its token.",
                    expected="the header Authorization: Bearer TOKEN",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if self._rate and (request.method, path) in WORK:
            wait = self._take(request.client.host if request.client else "")
            if wait > 0:
                return refuse(
                    429,
                    "too_many",
                    f"That are more than {self._rate} requests in a minute.",
                    change=f"Come again in {wait} s.",
                    headers={"Retry-After": str(wait)},
                )
        return None

    def _take(self, client: str) -> int:
        """Take one from a client's bucket; the seconds to wait where it is empty."""
        now = time.monotonic()
        refill = self._rate / MINUTE_S
        with self._lock:
            left, then = self._buckets.pop(client, (float(self._rate), now))
            left = min(float(self._rate), left + (now - then) * refill)
            allowed = left >= 1
            self._buckets[client] = (left - 1 if allowed else left, now)
            if len(self._buckets) > MOST_CLIENTS:
                self._buckets.popitem(last=False)
        return 0 if allowed else int((1 - left) / refill) + 1


class Gate:
    """Middleware: lets in whom `Access` lets in, counts, and answers what nobody has caught.

    Args:
        app: What is behind it.
        access: Decides.
        metrics: Counts.
    """

    def __init__(self, app: App, *, access: Access, metrics: Metrics) -> None:
        self._app, self._access, self._metrics = app, access, metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        refused = self._access.check(Request(scope))
        if refused is not None:
            if refused.status == 429:
                self._metrics.refused("rate")
            app: App = answer(refused.status, refused.problem, refused.headers)
        else:
            app = self._app
        try:
            await app(scope, receive, send_seen)
        except Exception as error:
            if status:
                raise
            await tell_unexpected(error)(scope, receive, send_seen)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(route, scope["method"], status)
