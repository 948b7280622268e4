"""Recipes of autoencoders and vocoders, from nothing to a latent codec that loads and fits."""

import pytest
import torch

from soundwright.codecs.hifigan import HifiGan
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.codecs.mel_vae_1d import MelVae1d
from soundwright.core.errors import CheckpointError, ConfigError
from soundwright.core.seeding import torch_stream
from soundwright.pipelines.latent_codecs import VaeChoice
from soundwright.pipelines.models import read_part, verify_model, write_model
from soundwright.pipelines.parts import load_latent_codec, load_vae
from soundwright.pipelines.training import train_recipe

SOUND = 0.1 * torch.randn(2, 1, 5000, generator=torch_stream(0, "sound"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The finished run of mel-vocoder-tiny, which trains its autoencoder on the way."""
    given = ["data.scenes.clips=6", "data.scenes.validation=2"]
    run = tmp_path_factory.mktemp("mel") / "run"
    return train_recipe("mel-vocoder-tiny", given, out=run).model.parent


@pytest.fixture(scope="module")
def run_1d(run, tmp_path_factory):
    """That of genau-small-vocoder-tiny, from the vocoder of `run`, whose windows lie elsewhere."""
    given = [
        "data.scenes.clips=6",
        "data.scenes.validation=2",
        f"from_model={run / 'model'}",
        "training.steps=3",
        "training.average=",
    ]
    out = tmp_path_factory.mktemp("genau") / "run"
    return train_recipe("genau-small-vocoder-tiny", given, out=out).model.parent


def test_a_run_leaves_a_whole_latent_codec(run):
    codec, record, folder = load_latent_codec(run / "model")
    assert folder == run / "model"
    assert (record.kind, record.storage, list(record.parts)) == (
        "mel_codec",
        "fp16",
        ["vae", "vocoder"],
    )
    assert (codec.latent_shape, codec.hop_length) == ((4, 8), 1280)
    posterior = codec.encode(SOUND)
    assert posterior.mean.shape == (2, 4, 4, 8)
    assert codec.decode(posterior.mean).shape == (2, 1, 5120)
    card = (folder / "card.md").read_text()
    assert "Its autoencoder is mel-vae-tiny" in card
    assert "12.5 frames a second of 4 x 8" in card


def test_a_codec_over_time_alone_has_latents_without_bands(run_1d):
    codec, record, folder = load_latent_codec(run_1d / "model")
    assert isinstance(codec.autoencoder, MelVae1d)
    assert record.kind == "mel_codec"
    assert list(record.parts["vae"]) == ["mel_2d", "mel_1d"]
    assert record.parts["vae"]["mel_2d"] is None
    assert codec.autoencoder.config.scale != 1
    assert (codec.latent_shape, codec.hop_length) == ((4,), 640)
    posterior = codec.encode(SOUND)
    assert posterior.mean.shape == (2, 4, 8)
    assert codec.decode(posterior.mean).shape == (2, 1, 5120)
    assert "25 frames a second of 4 |" in (folder / "card.md").read_text()
    assert load_vae(run_1d / "vae" / "model")[1].parts["vae"] == record.parts["vae"]


def test_a_vocoder_starts_from_one_whose_windows_lie_elsewhere(run, run_1d):
    old, new = read_part(run / "model", "vocoder"), read_part(run_1d / "model", "vocoder")
    change = max((old[name] - new[name]).abs().max().item() for name in old)
    assert 0 < change < 0.01
    card = (run_1d / "model" / "card.md").read_text()
    assert "Its vocoder began as that of mel-vocoder-tiny" in card


def test_folders_from_before_there_were_two_autoencoders_load(tmp_path):
    shape = MelVaeConfig(widths=(8, 8), layers=1, groups=4, latent_channels=2)
    vae = MelVae(shape, 3)
    write_model(
        tmp_path / "old",
        kind="vae",
        name="old",
        parts={"vae": (shape.plain(), vae.state_dict())},
        settings={},
        recipe={},
        licence="CC0",
        card="",
    )
    loaded, record, _ = load_vae(tmp_path / "old")
    assert record.parts["vae"] == shape.plain()
    assert isinstance(loaded, MelVae)
    assert loaded.config == shape
    assert VaeChoice.read(shape.plain()) == VaeChoice(mel_2d=shape)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mel_1d": {}, "mel_2d": {}}, "exactly one of mel_2d and mel_1d"),
        ({"mel_1d": None}, "exactly one of mel_2d and mel_1d"),
        ({"mel_2d": {}, "patch": 1}, "unknown key 'patch'"),
        ({"mel_1d": {"patch": 1}}, "unknown key 'mel_1d.patch'"),
    ],
)
def test_an_autoencoder_is_one_of_two(values, words):
    with pytest.raises(ConfigError, match=words):
        VaeChoice.read(values)


def test_its_autoencoder_is_the_one_that_was_trained_and_stands_alone_too(run):
    alone, record, _ = load_vae(run / "vae" / "model")
    assert record.kind == "vae"
    joined, _, _ = load_vae(run / "model")
    assert alone.config == joined.config
    for name, value in alone.state_dict().items():
        assert torch.equal(value, joined.state_dict()[name])


def test_latents_of_training_data_have_variance_one(run):
    """Over what the scale was measured on; one crop of it is enough to be near."""
    from soundwright.data.manifest import read_clip, read_manifest

    vae, _, _ = load_vae(run / "vae" / "model")
    assert vae.config.scale != 0.9227914214134216
    (folder,) = (run / "data").iterdir()
    manifest = read_manifest(folder / "manifest.jsonl")
    clips = [clip for clip in manifest.clips if clip.split != "validation"]
    with torch.no_grad():
        found = [
            vae.encode(vae.mels(read_clip(manifest, clip, sample_rate=16_000).samples))
            for clip in clips
        ]
    means = torch.cat([part.mean.flatten() for part in found])
    noise = torch.cat([part.deviation.flatten() for part in found])
    assert (means.var() + noise.square().mean()).sqrt().item() == pytest.approx(1, abs=0.2)


def test_a_vocoder_goes_on_from_another_one_on_rebuilt_mels(run, tmp_path):
    given = [
        "vae.recipe=",
        f"vae.model={run / 'model'}",
        f"from_model={run / 'model'}",
        "mels=rebuilt",
        "training.steps=2",
        "training.average=",
        "training.optimizer.schedule.warmup=0",
    ]
    trained = train_recipe("mel-vocoder-tiny", given, out=tmp_path / "run")
    assert verify_model(trained.model).kind == "mel_codec"
    old, new = read_part(run / "model", "vocoder"), read_part(trained.model, "vocoder")
    change = max((old[name] - new[name]).abs().max().item() for name in old)
    assert 0 < change < 0.01


@pytest.mark.parametrize(("system", "shape"), [("tango", (8, 16)), ("genau", (4,))])
def test_the_tiny_twins_of_the_papers_codecs_train_to_the_end(tmp_path, system, shape):
    given = ["training.steps=3", "data.scenes.clips=4", "data.scenes.validation=1"]
    trained = train_recipe(f"{system}-vocoder-tiny", given, out=tmp_path / "run")
    codec, _, _ = load_latent_codec(trained.model)
    assert isinstance(codec.vocoder, HifiGan)
    assert codec.latent_shape == shape
    assert codec.decode(codec.encode(SOUND).mean).shape == (2, 1, 5120)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["vae.model=somewhere"], "exactly one of model and recipe"),
        (["vocoder.hifigan={}"], "exactly one of spectrum and hifigan"),
        (["vae.recipe=mel-vae-tine"], "did you mean 'mel-vae-tiny'"),
    ],
)
def test_a_recipe_with_two_answers_or_none_is_refused(given, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        train_recipe("mel-vocoder-tiny", given, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["vocoder.spectrum.mel.floor=1e-4"], "other spectrograms than mel-vocoder-tiny"),
        (["from_model={model}", "vocoder.spectrum.width=24"], "has another shape"),
        (["from_model=bundled-diffusion"], "has another shape"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_before_training(run, given, words, tmp_path):
    source = ["vae.recipe=", "vae.model={model}"]
    given = [text.format(model=run / "model") for text in [*source, *given]]
    with pytest.raises(ConfigError, match=words):
        train_recipe("mel-vocoder-tiny", given, out=tmp_path / "run")


def test_a_model_without_the_part_is_named(run):
    with pytest.raises(CheckpointError, match=r"is a vae and has no vocoder(.|\n)*vae are there"):
        load_latent_codec(run / "vae" / "model")
