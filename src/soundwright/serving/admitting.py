"""From the event loop to the engine: requests that arrive together are accepted together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from soundwright.serving.engine import Accepted
from soundwright.serving.jobs import Asked

Submit = Callable[[Sequence[Asked]], Sequence[Accepted | Exception]]
Wish = tuple[Asked, asyncio.Future[Accepted]]


class Admission:
    """Who lets requests wait that were checked. All are of one event loop.

    A thread for each of them would wait for the same disk and for each other. Here one thread
    writes for all that have come while it wrote for those before.

    Args:
        submit: `Engine.submit`.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._thread = ThreadPoolExecutor(1, "admission")
        self._wishes: list[Wish] = []
        self._writing: asyncio.Task[None] | None = None

    async def admit(self, asked: Asked) -> Accepted:
        """Accept a job. Who is cancelled meanwhile hears nothing of it; it is made all the same.

        Raises:
            FullError: The queue is.
            ClosedError: The server is ending.
            sqlite3.Error, OSError: The disk does not take it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Accepted] = loop.create_future()
        self._wishes.append((asked, future))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return await future

    async def close(self) -> None:
        """Answer all who wait, and end."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._wishes:
            together, self._wishes = self._wishes, []
            found: Sequence[Accepted | Exception]
            try:
                wanted = [asked for asked, _ in together]
                found = await loop.run_in_executor(self._thread, self._submit, wanted)
            except Exception as error:  # noqa: BLE001 - Each who waits is to hear of it.
                found = [error] * len(together)
            for (_, future), answer in zip(together, found, strict=True):
                _answer(future, answer)
        self._writing = None


def _answer(future: asyncio.Future[Accepted], found: Accepted | Exception) -> None:
    """Wake one who waits, if he still does."""
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
