"""The configuration of a corpus: inputs, stages, how much may go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config, compose
from soundwright.core.errors import ConfigError, UserError, nearest
from soundwright.corpus.duplicates import DuplicateConfig
from soundwright.corpus.fetching import FetchPolicy
from soundwright.corpus.fingerprints import FingerprintConfig
from soundwright.corpus.gaps import GapConfig
from soundwright.corpus.ingest import IngestConfig
from soundwright.corpus.inputs.choice import Input
from soundwright.corpus.stages.agreeing import ClapSimConfig
from soundwright.corpus.stages.captioning import CaptionConfig
from soundwright.corpus.stages.decoding import DecodeConfig
from soundwright.corpus.stages.decontaminating import DecontaminateConfig
from soundwright.corpus.stages.exporting import ExportConfig
from soundwright.corpus.stages.merging import MergeConfig
from soundwright.corpus.stages.probing import ProbeConfig
from soundwright.corpus.stages.selecting import SelectConfig
from soundwright.corpus.stages.tagging import TagConfig
from soundwright.corpus.stages.transcribing import TranscriptsConfig
from soundwright.corpus.stages.wording import KeywordsConfig

CONFIG_NAME = "corpus.yaml"
LISTENING = ("probe", "fingerprint", "dedup", "tag", "caption", "clapsim")
"""Stages that need samples."""
PRESETS = Path(__file__).parent / "presets"


class ExecutionConfig(Config):
    """How much may go wrong, and how often it is tried again."""

    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Part of the rows of a stage that may fail before the run stops: more is rather a mistake in
    the configuration than in the data."""
    at_least: Annotated[int, Field(ge=1)] = 20
    """Failures that are never too many."""
    attempts: Annotated[int, Field(ge=1)] = 2
    """Times that a shard whose worker dies is tried before its rows are looked at one by one."""


class CorpusConfig(Config):
    """Everything that a corpus follows from. A stage that is null is left out."""

    name: str = "corpus"
    description: str = ""
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    execution: ExecutionConfig = ExecutionConfig()
    ingest: IngestConfig = IngestConfig()
    transcripts: TranscriptsConfig | None = None
    gaps: GapConfig = GapConfig()
    fetch: FetchPolicy | None = None
    decode: DecodeConfig = DecodeConfig()
    probe: ProbeConfig | None = ProbeConfig()
    fingerprint: FingerprintConfig | None = None
    dedup: DuplicateConfig | None = None
    decontaminate: DecontaminateConfig | None = None
    tag: TagConfig | None = None
    caption: CaptionConfig | None = None
    merge: MergeConfig | None = None
    keywords: KeywordsConfig | None = None
    clapsim: ClapSimConfig | None = None
    select: SelectConfig = SelectConfig()
    export: ExportConfig = ExportConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dedup is not None and self.fingerprint is None:
            raise ValueError("dedup compares fingerprints: set fingerprint as well, such as {}")
        if self.decode.sound == "none":
            listening = [name for name in LISTENING if getattr(self, name) is not None]
            if listening:
                raise ValueError(f"decode.sound is none, but these listen: {', '.join(listening)}")
            if self.export.format != "manifest":
                raise ValueError("decode.sound is none, so that only export.format: manifest fits")
        return self


def read_corpus_config(path: Path, overrides: tuple[str, ...] = ()) -> CorpusConfig:
    """A corpus's configuration with the preset that it extends.

    Raises:
        ConfigError: An unknown key or preset, a wrong value.
        UserError: There is no such file.
    """
    if not path.is_file():
        raise UserError(
            f"{path} does not exist.",
            expected="a corpus's configuration",
            change="Make one: soundwright corpus init corpus.yaml --media FOLDER",
        )
    return CorpusConfig.read(compose(str(path), overrides, find=find_preset), origin=str(path))


def find_preset(name: str) -> Path:
    """The file of a preset, or the file itself.

    Raises:
        ConfigError: There is neither.
    """
    here = PRESETS / f"{name.removesuffix('.yaml')}.yaml"
    if here.is_file():
        return here
    if Path(name).is_file():
        return Path(name)
    raise ConfigError(f"There is no preset {name!r}; {nearest(name, preset_names())}")


def preset_names() -> list[str]:
    """All presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))
