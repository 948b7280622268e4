"""All stages in their order, by name: where a name in a configuration becomes a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from soundwright.corpus.config import CorpusConfig
from soundwright.corpus.stage import Stage
from soundwright.corpus.stages.agreeing import ClapSim
from soundwright.corpus.stages.captioning import CaptionClips
from soundwright.corpus.stages.cutting import Gaps
from soundwright.corpus.stages.decoding import Decode
from soundwright.corpus.stages.decontaminating import Decontaminate
from soundwright.corpus.stages.deduplicating import Dedup
from soundwright.corpus.stages.exporting import Export
from soundwright.corpus.stages.fetching import Fetch
from soundwright.corpus.stages.fingerprinting import Fingerprints
from soundwright.corpus.stages.merging import Merge
from soundwright.corpus.stages.probing import Probe
from soundwright.corpus.stages.selecting import Select
from soundwright.corpus.stages.tagging import Tag
from soundwright.corpus.stages.transcribing import Transcripts
from soundwright.corpus.stages.wording import Keywords

STAGES: MappingProxyType[str, Callable[..., Stage]] = MappingProxyType(
    {
        "transcripts": Transcripts,
        "gaps": Gaps,
        "fetch": Fetch,  # `build_stage` tells it of `gaps` too.
        "decode": Decode,
        "probe": Probe,
        "fingerprint": Fingerprints,
        "dedup": Dedup,
        "decontaminate": Decontaminate,
        "tag": Tag,
        "caption": CaptionClips,
        "merge": Merge,
        "keywords": Keywords,
        "clapsim": ClapSim,
        "select": Select,
        "export": Export,
    }
)
"""After `ingest`, which deals the inputs into shards."""


def build_stage(name: str, config: CorpusConfig, root: Path) -> Stage:
    """A stage, ready to process.

    Raises:
        UserError: What it needs is missing or unknown: a word list, an expression's name.
    """
    if name == Fetch.name:
        assert config.fetch is not None, "only chosen stages are built"
        # What was of unknown length before it was there is cut here, as `gaps` would have.
        return Fetch(config.fetch, root, config.gaps)
    return STAGES[name](getattr(config, name), root)


def chosen_stages(config: CorpusConfig) -> list[str]:
    """The stages that a configuration has, in order."""
    return [name for name in STAGES if getattr(config, name) is not None]
