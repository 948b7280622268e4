"""Training a vocoder from a recipe; what comes of it is a whole latent codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.codecs.task import CodecTask, CodecTaskConfig
from soundwright.codecs.vocoding import RebuiltMels, TrueMels, VocoderTraining, plain_weights
from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.data.segments import SegmentConfig
from soundwright.pipelines.cards import describe_latents, write_card
from soundwright.pipelines.corpora import cut_waveforms
from soundwright.pipelines.jobs import Job, Workplace, run_job
from soundwright.pipelines.latent_codecs import VocoderChoice, build_vocoder
from soundwright.pipelines.models import RECORD_FILE, ModelRecord, write_model
from soundwright.pipelines.parts import load_latent_codec, load_vae
from soundwright.pipelines.recipe import Recipe, compose_recipe
from soundwright.pipelines.vae_system import VaeRecipe, prepare_vae
from soundwright.training.checkpoints import read_weights


class VaeSource(Config):
    """Whose spectrograms the vocoder is to turn into sound: exactly one of these."""

    model: str | None = None
    """A finished autoencoder, by name or folder."""
    recipe: str | None = None
    """A recipe of one, trained first, on the data of this one, into `vae/` of the run."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.model is None) == (self.recipe is None):
            raise ValueError("give exactly one of model and recipe")
        return self


class VocoderRecipe(Recipe):
    """Train a vocoder for an autoencoder."""

    kind: Literal["vocoder"]  # type: ignore[assignment]
    vae: VaeSource
    vocoder: VocoderChoice
    from_model: str | None = None
    """A latent codec whose vocoder, of the same shape, training starts from. The windows of its
    spectrograms may lie elsewhere: `mel.padding` and `mel.trim` may differ."""
    mels: Literal["true", "rebuilt"] = "true"
    """Spectrograms of the recordings, or what the frozen autoencoder makes of them: for
    fine-tuning a vocoder that has learnt from true ones."""
    segments: SegmentConfig = SegmentConfig()
    task: CodecTaskConfig = CodecTaskConfig()


def prepare_vocoder(recipe: VocoderRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the vocoder of a recipe.

    Trains the autoencoder first, where it is missing.

    Raises:
        ConfigError: Vocoder and autoencoder read different spectrograms, or `from_model` has a
            vocoder of another shape.
    """
    seed = recipe.training.seed
    vae, vae_record = _find_vae(recipe, place)
    vae_name = f"{vae_record.name} ({vae_record.hash})"
    vocoder = build_vocoder(recipe.vocoder, seed)
    if vocoder.mel != vae.config.mel:
        raise ConfigError(
            f"The vocoder reads other spectrograms than {vae_name} makes.",
            expected=f"vocoder.*.mel: {vae.config.mel.plain()}",
        )
    lineage = f"Its autoencoder is {vae_name}."
    if recipe.from_model is not None:
        start, record, _ = load_latent_codec(recipe.from_model)
        shape = VocoderChoice.read(record.parts["vocoder"])
        if shape.placed_as(vocoder.mel) != recipe.vocoder:
            raise ConfigError(
                f"The vocoder of {recipe.from_model} has another shape than the recipe's.",
                expected=f"vocoder: {shape.placed_as(vocoder.mel).plain()}",
            )
        vocoder.load_state_dict(start.vocoder.state_dict())
        lineage += f" Its vocoder began as that of {record.name} ({record.hash})."
    source = TrueMels(vocoder.mel) if recipe.mels == "true" else RebuiltMels(vae)
    training = VocoderTraining(vocoder, source)
    sounds = cut_waveforms(
        recipe.data,
        recipe.segments,
        place.data,
        sample_rate=training.sample_rate,
        channels=training.channels,
        seed=seed,
    )

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "generator")
        weights = plain_weights(weights)
        facts = {
            "parameters": f"{_millions(vae)} M of the autoencoder, {_millions(vocoder)} M of the "
            "vocoder",
            "sound": f"{vocoder.mel.sample_rate} Hz, 1 channel",
            "latents": describe_latents(vae.config),
            "steps": recipe.training.steps,
        }
        write_model(
            folder,
            kind="mel_codec",
            name=recipe.name,
            parts={
                "vae": (vae_record.parts["vae"], vae.state_dict()),
                "vocoder": (recipe.vocoder.plain(), weights),
            },
            settings={},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=write_card(recipe, facts, sounds.clips, lineage=lineage),
            storage=recipe.storage,
        )

    task = CodecTask(training, recipe.task, seed=seed)
    return Job(task, sounds.batches, sounds.validation, save)


def _find_vae(recipe: VocoderRecipe, place: Workplace) -> tuple[MelAutoencoder[Any], ModelRecord]:
    name: str | Path | None = recipe.vae.model
    if recipe.vae.recipe is not None:
        name = _train_vae(recipe.vae.recipe, recipe, place)
    assert name is not None
    vae, record, _ = load_vae(name)
    return vae, record


def _train_vae(name: str, recipe: VocoderRecipe, place: Workplace) -> Path:
    values = {**compose_recipe(name), "data": recipe.data.plain()}
    vae_recipe = VaeRecipe.read(values, origin=f"recipe {name}")
    inside = Workplace(place.run / "vae", place.data, place.resume, place.accept_changes)
    if not (inside.model / RECORD_FILE).is_file():
        run_job(prepare_vae(vae_recipe, inside), vae_recipe, inside)
    return inside.model


def _millions(module: Any) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f}"
