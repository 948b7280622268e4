"""A captioner and scorers of the tests' own, named by configurations as people's would be."""

import os

from soundwright.core.records import Caption


class LoudnessCaptioner:
    """Says how loud it is, which is different for different sounds and needs no weights."""

    name = "loudness"
    identity = "loudness-1"

    def describe(self, waveforms, sample_rate, metadata=None):
        told = metadata or [{}] * len(waveforms)
        return [
            Caption(
                text=f"noise of level {round(float(one.abs().mean()), 2)}{self._ending(known)}",
                kind="model",
                model=self.name,
                revision=self.identity,
                confidence=0.5,
            )
            for one, known in zip(waveforms, told, strict=True)
        ]

    @staticmethod
    def _ending(known):
        return f" in {known['title']}" if "title" in known else ""


class SameCaptioner(LoudnessCaptioner):
    """Says always the same, so that all neighbours are merged."""

    identity = "same-1"

    def describe(self, waveforms, sample_rate, metadata=None):
        return [Caption(text="wind blows", kind="model", model=self.name) for _ in waveforms]


class CrashingScorer:
    """Takes the process along at sounds louder than the variable CRASH_ABOVE says."""

    name = identity = "crashing-1"

    def score(self, waveforms, sample_rate, texts=None):
        for one in waveforms:
            if float(one.abs().max()) > float(os.environ.get("CRASH_ABOVE", "2")):
                os._exit(11)
        return [{"peak_seen": float(one.abs().max())} for one in waveforms]


class RaisingScorer(CrashingScorer):
    """Raises what no stage expects instead."""

    name = identity = "raising-1"

    def score(self, waveforms, sample_rate, texts=None):
        for one in waveforms:
            if float(one.abs().max()) > float(os.environ.get("CRASH_ABOVE", "2")):
                raise ZeroDivisionError("a fault of the scorer")
        return super().score(waveforms, sample_rate)


def no_captioner():
    """Not what it should be."""
    return object()
