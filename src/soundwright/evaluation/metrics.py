"""The metrics by name: what each computes, from which encoder, and which way is better.

A name is kind:encoder, such as kad:panns-wgm, or that of a convention of another tool, such as
audiocraft-kl. Only VGGish's distance is called FAD and only CLAP's cosine CLAP score; what the
encoders trained here give has their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundwright.core.errors import UserError, nearest
from soundwright.evaluation.cards import Better
from soundwright.evaluation.encoders import ENCODERS, Kind


@dataclass(frozen=True)
class KindFacts:
    """What is true of every metric of a kind."""

    better: Better
    about: str
    pairs: bool
    """Whether a sound is compared with its own partner or prompt."""
    per_sound: bool
    """Whether every sound has a number of its own."""
    revision: int = 1
    """Raised whenever the same sounds would get another number."""


KINDS: Mapping[Kind, KindFacts] = MappingProxyType(
    {
        "fd": KindFacts("lower", "Fréchet distance of two sets", pairs=False, per_sound=False),
        "fd-inf": KindFacts(
            "lower",
            "Fréchet distance, extrapolated to infinitely many sounds",
            pairs=False,
            per_sound=False,
        ),
        "kad": KindFacts(
            "lower", "kernel distance of two sets, 100 MMD²", pairs=False, per_sound=False
        ),
        "kl": KindFacts(
            "lower", "divergence of classes from those of the reference", pairs=True, per_sound=True
        ),
        "is": KindFacts(
            "higher", "inception score: sure of each, varied over all", pairs=False, per_sound=False
        ),
        "match": KindFacts(
            "higher", "cosine between a sound and its prompt", pairs=True, per_sound=True
        ),
        "accuracy": KindFacts(
            "higher", "share in which the label is heard", pairs=True, per_sound=True
        ),
        "aesthetics": KindFacts("higher", "mark of about 1 to 10", pairs=False, per_sound=True),
    }
)


AXES: Mapping[str, str] = MappingProxyType(
    {
        "CE": "content enjoyment",
        "CU": "content usefulness",
        "PC": "production complexity",
        "PQ": "production quality",
    }
)
"""Of Audiobox Aesthetics, in its order. More complexity is not better in itself."""


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    name: str
    kind: Kind
    encoder: str
    """A key of `ENCODERS`."""
    convention: str = "soundwright"
    """Of a tool, as `evaluation.distances` names it."""
    reference_encoder: str = ""
    """What hears the references, where a tool treats them otherwise than generated sounds."""

    axis: str = ""
    """Which of an encoder's marks."""

    @property
    def encoders(self) -> tuple[str, ...]:
        """All that it needs."""
        return (self.encoder, self.reference_encoder) if self.reference_encoder else (self.encoder,)

    @property
    def facts(self) -> KindFacts:
        """Of its kind."""
        return KINDS[self.kind]

    @property
    def is_offline(self) -> bool:
        """Whether all that it needs ships with Soundwright."""
        return ENCODERS[self.encoder].bundled

    @property
    def about(self) -> str:
        """A line for people."""
        of_axis = f" for {AXES[self.axis]}" if self.axis else ""
        told = f"{self.facts.about}{of_axis}; {ENCODERS[self.encoder].hears}"
        return told if self.convention == "soundwright" else f"{told}; as in {self.convention}"


def _make_table() -> dict[str, Metric]:
    """Every kind for every encoder that can serve it, then other tools' conventions."""
    rows: list[Metric] = []
    for encoder, choice in ENCODERS.items():
        rows += [Metric(f"{kind}:{encoder}", kind, encoder) for kind in choice.serves]
    rows += [
        Metric("google-fad", "fd", "vggish-google", "google"),
        Metric("torchvggish-fad", "fd", "vggish"),
        Metric(
            "audiocraft-kl", "kl", "passt-audiocraft-generated", "audiocraft", "passt-audiocraft"
        ),
        Metric("stable-kl", "kl", "passt-stable", "stable"),
        Metric("stable-fd", "fd", "openl3-env-stable"),
        Metric("stable-fd-music", "fd", "openl3-music-stable"),
        Metric("audioldm-kl", "kl", "cnn14-16k", "audioldm"),
        Metric("audioldm-kl-sigmoid", "kl", "cnn14-16k", "audioldm-sigmoid"),
        Metric("audioldm-is", "is", "cnn14-16k", "audioldm"),
    ]
    rows += [
        Metric(f"aesthetics-{axis.lower()}", "aesthetics", "audiobox-aesthetics", axis=axis)
        for axis in AXES
    ]
    return {row.name: row for row in rows}


METRICS: Mapping[str, Metric] = MappingProxyType(_make_table())

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "offline": (
            "kad:soundwright-tagger-2",
            "fd:soundwright-tagger-2",
            "kl:soundwright-tagger-2",
            "match:soundwright-matcher-1",
            "accuracy:judge-1",
        ),
        "recommended": (
            "kad:passt",
            "fd:passt",
            "kad:panns-wgm",
            "fd:panns-wgm",
            "kl:passt",
            "match:clap-630k-audioset-best",
            "torchvggish-fad",
        ),
        "aesthetics": tuple(f"aesthetics-{axis.lower()}" for axis in AXES),
    }
)
"""Names for several at once. `offline` needs no downloads and is what is measured where nothing
else is asked for; a default that grew with what lies in a cache would differ between machines."""
DEFAULT = ("offline",)


def choose_metrics(names: Sequence[str]) -> list[Metric]:
    """Metrics by name or group, each once, in the order asked for.

    Raises:
        UserError: An unknown name; the nearest one is named.
    """
    return [METRICS[name] for name in dict.fromkeys(_spell_out(names))]


def _spell_out(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name in GROUPS:
            yield from GROUPS[name]
        elif name in METRICS:
            yield name
        else:
            raise UserError(
                f"There is no metric {name!r}.",
                expected=nearest(name, (*METRICS, *GROUPS)),
                change="See soundwright evaluate --list.",
            )
