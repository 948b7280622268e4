"""The one pass: each sound is decoded once, brought to every rate, and shown to every encoder.

What is kept already is not done again, so that an interrupted run goes on where it stopped and a
second run decodes nothing. An encoder's word on a sound depends on that sound alone; neither the
order of files nor the number of threads that decode can move a digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from soundwright.audio.channels import to_channels
from soundwright.audio.resampling import resample
from soundwright.core.errors import AudioError, UserError
from soundwright.core.progress import Meter
from soundwright.core.protocols import AudioEncoder
from soundwright.data.prefetch import compute_in_order
from soundwright.evaluation.cache import EmbeddingCache, Index, Recalled
from soundwright.evaluation.hearing import Heard, Readable, hear

AT_ONCE = 16
"""Sounds that an encoder is given together, and that one file of the cache holds."""


@dataclass(frozen=True)
class Hearing:
    """What a pass over sounds found."""

    heard: Mapping[str, Heard]
    """By name, of all that could be decoded."""
    faults: Mapping[str, AudioError]
    """By name, of all that could not."""


@dataclass
class _Prepared:
    """A sound before encoders; waveforms only for those that have not heard it."""

    heard: Heard
    fingerprint: str = ""
    waveforms: dict[int, Tensor] = field(default_factory=dict)
    """Mono [N] by sample rate."""


class Ear:
    """Encoders with their caches.

    Args:
        encoders: By the name under which metrics ask for them.
        folder: Of all caches.
        workers: Threads that decode and resample.
    """

    def __init__(
        self, encoders: Mapping[str, AudioEncoder], folder: Path, *, workers: int = 2
    ) -> None:
        self.encoders = dict(encoders)
        self._folder, self._workers = Path(folder), workers
        self._caches = {
            name: EmbeddingCache(folder, encoder) for name, encoder in self.encoders.items()
        }

    def listen(self, items: Sequence[Readable], root: str, *, title: str = "listen") -> Hearing:
        """Hear every item and keep what each encoder makes of it.

        Args:
            items: Sounds with different names.
            root: What they belong to: under it, it is remembered which file holds which samples.
            title: Of the progress bar.

        Raises:
            UserError: The cache cannot be written.
        """
        index = Index(self._folder, root)
        heard: dict[str, Heard] = {}
        faults: dict[str, AudioError] = {}
        waiting: dict[str, dict[str, Tensor]] = {name: {} for name in self.encoders}

        def prepare(item: Readable) -> _Prepared | AudioError:
            return self._prepare(item, index)

        prepared = compute_in_order(prepare, items, workers=self._workers)
        try:
            with Meter(title, len(items), unit="sound") as meter, closing(prepared):
                for item, found in zip(items, prepared, strict=True):
                    if isinstance(found, AudioError):
                        faults[item.name] = found
                    else:
                        heard[item.name] = found.heard
                        index.add(item, found.fingerprint, found.heard)
                        self._queue(found, waiting)
                    meter.advance(note=f"{len(faults)} bad" if faults else None)
                for name, waveforms in waiting.items():
                    self._encode(name, waveforms)
        finally:
            index.save()
        return Hearing(heard, faults)

    def recall(self, name: str, keys: set[str], *, first: EmbeddingCache | None = None) -> Recalled:
        """What one encoder made of sounds that were listened to.

        Args:
            name: Of the encoder.
            keys: Of the sounds.
            first: Another cache, which is asked before.

        Raises:
            UserError: Some are gone from the cache.
        """
        found = self._caches[name].read(keys, first=first)
        if len(found) < len(keys):
            raise UserError(
                f"{len(keys) - len(found)} embeddings of {name} are gone from the cache "
                f"{self._folder}, or are damaged.",
                change="Run the same command again: it computes what is missing.",
            )
        return found

    def _prepare(self, item: Readable, index: Index) -> _Prepared | AudioError:
        known = index.find(item)
        if known is not None and not self._deaf(known.pcm_hash):
            return _Prepared(known)
        fingerprint = item.fingerprint()
        try:
            sound = item.read()
        except AudioError as error:
            return error
        heard = hear(sound)
        mono = to_channels(sound.samples, 1)[0]
        rates = {self.encoders[name].sample_rate for name in self._deaf(heard.pcm_hash)}
        waveforms = {rate: resample(mono, sound.sample_rate, rate) for rate in sorted(rates)}
        return _Prepared(heard, fingerprint, waveforms)

    def _deaf(self, key: str) -> list[str]:
        """The encoders that have not heard a sound."""
        return [name for name, cache in self._caches.items() if key not in cache]

    def _queue(self, found: _Prepared, waiting: dict[str, dict[str, Tensor]]) -> None:
        key = found.heard.pcm_hash
        for name in self._deaf(key) if found.waveforms else ():
            waiting[name][key] = found.waveforms[self.encoders[name].sample_rate]
            if len(waiting[name]) >= AT_ONCE:
                self._encode(name, waiting[name])

    def _encode(self, name: str, waveforms: dict[str, Tensor]) -> None:
        """Encode what waits, keep it, and empty the queue."""
        if waveforms:
            keys = sorted(waveforms)
            made = self.encoders[name].encode([waveforms[key] for key in keys])
            self._caches[name].write(dict(zip(keys, made, strict=True)))
            waveforms.clear()
