"""From the event loop to the engine: requests that arrive together are accepted together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue

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
        self._wishes: SimpleQueue[Wish | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def admit(self, asked: Asked) -> Accepted:
        """Accept a job. Who is cancelled meanwhile hears nothing of it; it is made all the same.

        Raises:
            FullError: The queue is.
            ClosedError: The server is ending.
            sqlite3.Error, OSError: The disk does not take it.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="admission", daemon=True)
            self._thread.start()
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._wishes.put((asked, future))
        return await future

    def close(self) -> None:
        """Answer all who wait, and end."""
        if self._thread is not None:
            self._wishes.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (first := self._wishes.get()) is not None:
            together, ending = [first], False
            while not (self._wishes.empty() or ending):
                if (one := self._wishes.get()) is None:
                    ending = True
                else:
                    together.append(one)
            found: Sequence[Accepted | Exception]
            try:
                found = self._submit([asked for asked, _ in together])
            except Exception as error:  # noqa: BLE001 - Each who waits is to hear of it.
                found = [error] * len(together)
            loop = first[1].get_loop()
            with suppress(RuntimeError):  # It is closed: nobody waits any more.
                loop.call_soon_threadsafe(_answer, together, found)
            if ending:
                return


def _answer(together: Sequence[Wish], found: Sequence[Accepted | Exception]) -> None:
    """Wake those who still wait."""
    for (_, future), answer in zip(together, found, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
