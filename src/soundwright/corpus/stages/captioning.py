"""`caption`: what is heard, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor

from soundwright.core.config import Config
from soundwright.core.errors import AudioError
from soundwright.core.protocols import Captioner
from soundwright.core.records import Caption, Clip
from soundwright.corpus.clip_values import clip_values
from soundwright.corpus.expressions import Expression, parse_expression
from soundwright.corpus.failures import failure_of
from soundwright.corpus.plugins import load_plugin
from soundwright.corpus.sounds import ClipSounds
from soundwright.corpus.stage import Output, Stage, in_batches


class CaptionConfig(Config):
    """Who captions, and what."""

    model: str = "bundled-captioner"
    """Name or folder of a captioner."""
    plugin: str = ""
    """Instead of `model`: `package.module:function`, which gives a `Captioner`
    (`soundwright.core.protocols`)."""
    metadata: bool = True
    """Tell the captioner title and tags."""
    only: str | None = None
    """An expression, as for `select`: other clips stay without a caption of the model. Saves time
    where few clips will be kept; but then loosening `select` cannot bring back what was never
    captioned."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Clips at once. Enters the captions' last digits: it stays the same within a corpus."""
    device: str = "auto"


class CaptionClips(Stage):
    """Adds a model's caption to the captions of a clip."""

    name = "caption"

    def __init__(self, config: CaptionConfig, root: Path) -> None:
        self.config, self._root = config, root
        self._only = parse_expression(config.only) if config.only else None

    def identity(self) -> str:
        """Of the captioner."""
        return self._captioner.identity

    def expressions(self) -> tuple[str, ...]:
        """That of what is captioned, if there is one."""
        return (self.config.only,) if self.config.only else ()

    def process(self, rows: Iterator[Clip], out: Output) -> None:
        """Annotate; see `Stage`."""
        sounds = ClipSounds(self._root)
        for batch in in_batches(rows, self.config.batch_size):
            self._caption(batch, sounds, out)

    def _caption(self, batch: Sequence[Clip], sounds: ClipSounds, out: Output) -> None:
        heard: dict[str, Tensor] = {}
        failed: set[str] = set()
        for clip in batch:
            if not _is_wanted(clip, self._only):
                continue
            try:
                heard[clip.id] = sounds.read(clip).samples
            except AudioError as error:
                out.fail(failure_of(error, clip.id, self.name))
                failed.add(clip.id)
        wanted = [clip for clip in batch if clip.id in heard]
        captions: dict[str, Caption] = {}
        if wanted:
            told = [_tell(clip) for clip in wanted] if self.config.metadata else None
            rate = wanted[0].sample_rate
            found = self._captioner.describe([heard[clip.id] for clip in wanted], rate, told)
            captions = {clip.id: one for clip, one in zip(wanted, found, strict=True)}
        for clip in batch:
            if clip.id in captions:
                out.keep(_add(clip, captions[clip.id]))
            elif clip.id not in failed:
                out.keep(clip)

    @cached_property
    def _captioner(self) -> Captioner:
        if self.config.plugin:
            return load_plugin(self.config.plugin, "captioner", ("name", "identity", "describe"))
        from soundwright.pipelines.captioning import load_captioner

        return load_captioner(self.config.model, device=self.config.device)


def _is_wanted(clip: Clip, only: Expression | None) -> bool:
    return only is None or only.evaluate(clip_values(clip))


def _tell(clip: Clip) -> Mapping[str, str]:
    """Title, tags and visual caption, as far as they are known."""
    known = {
        "title": str(clip.metadata.get("title", "")),
        "tags": ", ".join(clip.tags),
        "visual": str(clip.metadata.get("visual", "")),
    }
    return {name: text for name, text in known.items() if text}


def _add(clip: Clip, caption: Caption) -> Clip:
    others = tuple(one for one in clip.captions if one.model != caption.model)
    return clip.model_copy(update={"captions": (*others, caption)})
