"""What is done to captions and prompts before an encoder reads them (section 4.1 of the paper).

A model's preparation is part of its configuration: what its captions went through in training,
its prompts go through too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import simplemma
from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.records import Caption, Clip
from soundwright.text.metadata import MetadataConfig, merge_metadata
from soundwright.text.numbers import drop_numbers, spell_numerals
from soundwright.text.stop_words import STOP_WORDS

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?")
PUNCTUATION = re.compile(r"[?!;]|[:.,](?!\d)")
"""AudioGen's `?:!.,;`, but not inside a number."""
DANGLING = re.compile(r"(?<!\w)[-'’]+|[-'’]+(?!\w)")
CLITICS = frozenset(("", "s", "t", "d", "m", "re", "ve", "ll"))


class PreparationConfig(Config):
    """Steps of preparation. As it stands, the text is kept but for its white space."""

    lower_case: bool = False
    numbers: Literal["keep", "words", "drop"] = "keep"
    """"words" writes digits as words (AudioGen's option), "drop" deletes numbers in either form
    (the paper)."""
    stop_words: Literal["en-1"] | None = None
    """The list of words to delete."""
    lemmas: bool = False
    """Replace each word by its dictionary form."""
    drop_punctuation: bool = False
    """Delete `?:!.,;`."""
    tag_separator: str = ", "
    """Between the tags of a pseudo-sentence."""
    pseudo_sentences: Literal["missing", "always", "never"] = "missing"
    """Whether the tags of a clip make a text: when it has no caption, beside captions, never."""
    excluded_terms: tuple[str, ...] = ()
    """Clips that mention one of these in a tag or caption are left out of training."""
    metadata: MetadataConfig | None = None
    """How metadata joins the texts; None leaves it out."""
    sources: dict[str, Annotated[float, Field(ge=0)]] | None = Field(default=None, min_length=1)
    """Shares of the captions that are drawn, by where they come from: human, tags, metadata,
    template, model, or the name of one captioner. Shares of what a clip lacks fall to what it has;
    captions from elsewhere are never drawn. None draws all captions of a clip alike."""
    min_confidence: float | None = None
    """Captions of which less is known to hold are left out; of which nothing is known, not."""


PRESETS: Mapping[str, PreparationConfig] = MappingProxyType(
    {
        # The bundled model: counts, order and negation are what it is to obey.
        "none": PreparationConfig(),
        "rr-sound": PreparationConfig(
            lower_case=True,
            numbers="drop",
            stop_words="en-1",
            lemmas=True,
            drop_punctuation=True,
            tag_separator=" ",
            pseudo_sentences="always",
            excluded_terms=("speech",),
        ),
        "rr-music": PreparationConfig(metadata=MetadataConfig()),
    }
)


def prepare(text: str, config: PreparationConfig) -> str:
    """Prepare a natural caption or a prompt.

    A text that the deletions would leave empty keeps its words, since an empty text means
    "anything" to a model.
    """
    if config.lower_case:
        text = text.lower()
    if config.numbers == "words":
        text = spell_numerals(text)
    short = drop_numbers(text) if config.numbers == "drop" else text
    if config.stop_words is not None:
        short = _drop_stop_words(short, STOP_WORDS[config.stop_words])
    if not WORD.search(short) and WORD.search(text):
        short = text
    if config.lemmas:
        short = WORD.sub(lambda match: lemma(match[0]), short)
    if config.drop_punctuation:
        short = PUNCTUATION.sub(" ", short)
    if short != text:
        short = DANGLING.sub(" ", short)
    return " ".join(short.split())


def pseudo_sentence(tags: Iterable[str], config: PreparationConfig) -> str:
    """Make a text of tags by writing them one after another.

    Tags are chosen words already: of the steps, only case and punctuation apply to them.
    """
    words = [" ".join(tag.replace("_", " ").split()) for tag in tags]
    text = config.tag_separator.join(dict.fromkeys(word for word in words if word))
    if config.lower_case:
        text = text.lower()
    return " ".join((PUNCTUATION.sub(" ", text) if config.drop_punctuation else text).split())


def mentions(text: str | Iterable[str], term: str) -> bool:
    """Whether a text, or one of several, holds `term` as whole words, whatever their form.

    "Speech" and "speeches" mention "speech"; "speechless" and "speaking" do not.
    """
    wanted = _lemmas(term)
    for one in [text] if isinstance(text, str) else text:
        words = _lemmas(one)
        spans = range(len(words) - len(wanted) + 1)
        if wanted and any(words[first : first + len(wanted)] == wanted for first in spans):
            return True
    return False


def excluded_term(clip: Clip, config: PreparationConfig) -> str | None:
    """The first of `config.excluded_terms` that a tag or caption of the clip mentions."""
    texts = [*clip.tags, *(caption.text for caption in clip.captions)]
    return next((term for term in config.excluded_terms if mentions(texts, term)), None)


def clip_texts(clip: Clip, config: PreparationConfig) -> tuple[str, ...]:
    """The prepared texts of a clip without repetition: its captions, then its tags if asked for.

    Captions that were made of tags or metadata count as pseudo-sentences.
    """
    grouped = _group_texts(clip, config)
    return tuple(dict.fromkeys(text for texts in grouped.values() for text in texts))


def draw_text(clip: Clip, config: PreparationConfig, generator: np.random.Generator) -> str:
    """One text of a clip for training: a caption at random, joined with metadata if asked for.

    Empty where nothing is known about the clip.
    """
    texts = clip_texts(clip, config)
    if texts and config.sources is not None:
        texts = _draw_source(_group_texts(clip, config), config.sources, generator)
    chosen = texts[int(generator.integers(len(texts)))] if texts else ""
    if config.metadata is None:
        return chosen
    return merge_metadata(chosen, {"tags": clip.tags, **clip.metadata}, config.metadata, generator)


def _group_texts(clip: Clip, config: PreparationConfig) -> dict[str, tuple[str, ...]]:
    """The texts of a clip by source; by the empty word where none are told apart, or of tags."""
    found: dict[str, list[str]] = {}
    for caption in clip.captions:
        source = _source_of(caption, config)
        if source is None:
            continue
        made = caption.kind in ("tags", "metadata")
        text = pseudo_sentence([caption.text], config) if made else prepare(caption.text, config)
        if text:
            found.setdefault(source, []).append(text)
    if config.pseudo_sentences == "always" or (config.pseudo_sentences == "missing" and not found):
        text = pseudo_sentence(clip.tags, config)
        found |= {"": [*found.get("", ()), text]} if text else {}
    return {source: tuple(dict.fromkeys(texts)) for source, texts in found.items()}


def _source_of(caption: Caption, config: PreparationConfig) -> str | None:
    """As what a caption is counted; None where it is never drawn."""
    confidence, least = caption.confidence, config.min_confidence
    if confidence is not None and least is not None and confidence < least:
        return None
    if config.sources is None:
        return ""
    for name in (caption.model, caption.kind):
        if name is not None and config.sources.get(name):
            return name
    return None


def _draw_source(
    grouped: Mapping[str, tuple[str, ...]],
    shares: Mapping[str, float],
    generator: np.random.Generator,
) -> tuple[str, ...]:
    """The texts of one source; those of a clip's own tags have the share of tags."""
    names = list(grouped)
    weights = np.array([shares.get(name or "tags", 0.0) for name in names])
    if not weights.any():
        return tuple(text for texts in grouped.values() for text in texts)
    place = int(np.searchsorted(weights.cumsum(), generator.random() * weights.sum(), "right"))
    return grouped[names[min(place, len(names) - 1)]]


@functools.lru_cache(maxsize=1 << 16)
def lemma(word: str) -> str:
    """The English dictionary form of a word, without a possessive ending."""
    base, _ = _split_clitic(word)
    return simplemma.lemmatize(base, lang="en")


def _lemmas(text: str) -> Sequence[str]:
    return [lemma(word.lower()) for word in WORD.findall(text)]


def _drop_stop_words(text: str, stop_words: frozenset[str]) -> str:
    def keep(match: re.Match[str]) -> str:
        base, _ = _split_clitic(match[0].lower())
        return "" if base in stop_words else match[0]

    return WORD.sub(keep, text)


def _split_clitic(word: str) -> tuple[str, str]:
    """Split "dog's" into "dog" and "s"; other apostrophes ("o'clock") belong to the word."""
    base, mark, ending = word.replace("’", "'").rpartition("'")
    return (base, ending) if mark and ending.lower() in CLITICS else (word, "")
