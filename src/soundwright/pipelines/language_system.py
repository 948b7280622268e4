"""Training the small BART of a captioner to write, from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from soundwright.captioner.denoising import DenoisingConfig, DenoisingTask, Texts
from soundwright.captioner.language import BartShape, Language, build_bart
from soundwright.captioner.words import Words, train_words
from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.data.manifest import Manifest
from soundwright.pipelines.cards import write_card
from soundwright.pipelines.corpora import gather_corpus, split_corpus
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.models import find_model, read_part, verify_model, write_model
from soundwright.pipelines.recipe import Recipe
from soundwright.text.preparation import PreparationConfig, clip_texts
from soundwright.training.checkpoints import read_weights

WORDS_FILE = "tokenizer.json"


class LanguageRecipe(Recipe):
    """Train a BART and its tokenizer on the captions of a corpus."""

    kind: Literal["language"]  # type: ignore[assignment]
    words: int = Field(default=1000, ge=261)
    """Most in the vocabulary, bytes included. What captions need is often less."""
    bart: BartShape = BartShape()
    """Its `words` are those that the tokenizer ends up with."""
    text: PreparationConfig = PreparationConfig()
    denoising: DenoisingConfig = DenoisingConfig()


def prepare_language(recipe: LanguageRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the language model of a recipe.

    Raises:
        ConfigError: Texts are longer than BART's positions.
    """
    room = recipe.bart.positions - 2
    if recipe.denoising.words > room:
        raise ConfigError(
            f"denoising.words is {recipe.denoising.words}, but bart.positions leaves {room}.",
            change=f"Set denoising.words={room} or less.",
        )
    train, validation = split_corpus(recipe.data, gather_corpus(recipe.data, place.data))
    texts = _read_texts(train, recipe.text)
    words = train_words(texts, recipe.words)
    shape = recipe.bart.model_copy(update={"words": len(words)})
    seed = recipe.training.seed
    bart = build_bart(shape, seed)
    batch = recipe.denoising.batch
    held_out = None
    if validation is not None:
        held_out = Texts(_read_texts(validation, recipe.text), batch, seed=seed)

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "language")
        facts = {
            "parameters": f"{sum(p.numel() for p in bart.parameters()) / 1e6:.2f} M",
            "words": len(words),
            "texts": len(texts),
            "steps": recipe.training.steps,
        }
        write_model(
            folder,
            kind="language",
            name=recipe.name,
            parts={"language": (shape.plain(), weights)},
            settings={},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=write_card(recipe, facts, train),
            storage=recipe.storage,
            texts={WORDS_FILE: words.text},
        )

    task = DenoisingTask(bart, words, recipe.denoising, seed)
    return Job(task, Texts(texts, batch, seed=seed), held_out, save)


def load_language(name: str | Path) -> Language:
    """A language model that a recipe has trained.

    Raises:
        UserError: There is no such model.
        CheckpointError: It is damaged, or of another kind.
    """
    folder = find_model(name)
    record = verify_model(folder)
    if record.kind != "language":
        raise CheckpointError(
            f"{name} is a {record.kind}.", expected="a language, as a recipe of that kind makes it"
        )
    shape = BartShape.read(record.parts["language"], origin=f"the model {name}")
    return Language(shape, read_part(folder, "language"), read_words(folder))


def read_words(folder: Path) -> Words:
    """The tokenizer of a model folder.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        return Words((folder / WORDS_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / WORDS_FILE} cannot be read: {error}") from error


def _read_texts(manifest: Manifest, preparation: PreparationConfig) -> list[str]:
    """All texts of a corpus, each once."""
    found = (text for clip in manifest.clips for text in clip_texts(clip, preparation))
    return list(dict.fromkeys(found))
