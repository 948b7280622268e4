"""A worker's life: it loads the models that are asked for and makes batches of sounds."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from soundwright.audio.encoding import encode
from soundwright.core.errors import UserError
from soundwright.pipelines.generation import BATCH_SIZE, LatentModel, Model, load
from soundwright.pipelines.sounds import tag
from soundwright.serving.batches import Batch, Made, Message, Piece, Progress, Refused
from soundwright.serving.problems import describe_error

Tell = Callable[[Message], None]


QUIET_S = 0.1
"""Between two reports of progress."""


class StoppedError(Exception):
    """Nobody wants the batch any more."""


class Maker:
    """The models of one device, each loaded when it is first needed.

    Args:
        device: As in `generation.load`.
        dtype: As in `generation.load`.
    """

    def __init__(self, device: str, dtype: str) -> None:
        self._device, self._dtype = device, dtype
        self._models: dict[str, Model | LatentModel] = {}

    def open(self, name: str) -> Model | LatentModel:
        """A model, loaded.

        Raises:
            UserError: It cannot be.
        """
        if name not in self._models:
            self._models[name] = load(name, device=self._device, dtype=self._dtype)
        return self._models[name]

    def make(self, batch: Batch, tell: Tell, is_stopped: Callable[[], bool]) -> None:
        """Make a batch; sounds, pieces and faults are told.

        Args:
            batch: What is wanted.
            tell: Takes messages.
            is_stopped: Asked often whether to go on.

        Raises:
            StoppedError: It was not to go on.
        """
        try:
            model = self.open(batch.plan.model)
        except UserError as error:
            tell(Refused(describe_error(error, "unavailable")))
            return
        try:
            with _beginning(batch) as given:
                if batch.plan.stream:
                    assert isinstance(model, Model), "only a language model was asked for a stream"
                    self._pour(model, batch, given, tell, is_stopped)
                else:
                    self._generate(model, batch, given, tell, is_stopped)
        except UserError as error:
            tell(Refused(describe_error(error)))

    def _generate(
        self,
        model: Model | LatentModel,
        batch: Batch,
        given: dict[str, Any],
        tell: Tell,
        is_stopped: Callable[[], bool],
    ) -> None:
        plan = batch.plan
        sounds = model.generate(
            [item.prompt for item in batch.items],
            seed=[item.seed for item in batch.items],
            negative=plan.negative,
            loop=plan.loop,
            best_of=plan.best_of,
            batch_size=max(len(batch.items), BATCH_SIZE),
            progress=_Reporter(tell, is_stopped),
            **plan.settings,
            **given,
        )
        for place, (sound, item) in enumerate(zip(sounds, batch.items, strict=True)):
            described = sound.describe()
            try:
                content = encode(sound.sound, f".{item.format}", metadata=tag(described))
            except UserError as error:  # Of this file; the others of the batch are somebody else's.
                tell(Refused(describe_error(error), place))
            else:
                tell(Made(place, content, described))

    def _pour(
        self,
        model: Model,
        batch: Batch,
        given: dict[str, Any],
        tell: Tell,
        is_stopped: Callable[[], bool],
    ) -> None:
        [item], plan = batch.items, batch.plan
        live = model.stream(
            item.prompt,
            seed=item.seed,
            negative=plan.negative,
            progress=_Reporter(tell, is_stopped),
            **plan.settings,
            **given,
        )
        pipe = _Pipe(tell)
        live.pour(cast("BinaryIO", pipe))
        tell(Made(0, b"", live.origin.describe(live.duration)))


class _Reporter:
    """Told at each step how much is done; tells it on a few times a second, and stops the work."""

    def __init__(self, tell: Tell, is_stopped: Callable[[], bool]) -> None:
        self._tell, self._is_stopped = tell, is_stopped
        self._last = 0.0

    def __call__(self, done: float) -> None:
        if self._is_stopped():
            raise StoppedError
        now = time.monotonic()
        if done >= 1 or now - self._last >= QUIET_S:
            self._last = now
            self._tell(Progress(done))


class _Pipe(io.RawIOBase):
    """A file that tells what is written to it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        content = bytes(content)
        self._tell(Piece(content))
        return len(content)


@contextmanager
def _beginning(batch: Batch) -> Iterator[dict[str, Any]]:
    """The argument that names the sound to continue, if there is one."""
    if batch.beginning is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="soundwright-") as folder:
        path = Path(folder) / "beginning"
        path.write_bytes(batch.beginning)
        yield {"continue_from": path}
