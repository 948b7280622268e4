import json

import pytest
import soundfile
import torch

from soundwright.audio.files import read, write
from soundwright.audio.mel import PRESETS
from soundwright.audio.sound import Sound
from soundwright.cli.data_import import ROLES
from soundwright.codecs.mel_vae import MelVaeConfig
from soundwright.codecs.mel_vae_1d import MelVae1dConfig
from soundwright.codecs.spectrum_vocoder import SpectrumVocoderConfig
from soundwright.data.frame_segments import FrameSegmentConfig, LatentSegments
from soundwright.data.importers.folder import Columns
from soundwright.data.manifest import read_clip, read_manifest
from soundwright.data.store import LatentStore
from soundwright.pipelines.latent_codecs import VaeChoice, VocoderChoice, build_vae, build_vocoder
from soundwright.pipelines.models import verify_model, write_model
from soundwright.pipelines.parts import load_latent_codec


@pytest.fixture
def folder(tmp_path):
    """Six recordings with a table, as a person has them."""
    place = tmp_path / "recordings"
    rows = ["file,caption,licence"]
    for number in range(6):
        draw = torch.Generator().manual_seed(number)
        samples = torch.randn(1, 24_000, generator=draw) * 0.1
        write(place / f"take{number}.wav", Sound(samples, 16_000))
        rows.append(f"take{number}.wav,my noise number {number},CC0")
    (place / "captions.csv").write_text("\n".join(rows) + "\n")
    return place


def imported(command, *arguments):
    return command("data", "import", *arguments, "--out", "mine")


def test_three_commands_make_a_model_of_a_folder(command, folder, tiny_model, tmp_path):
    """The three commands of the documentation, on a tiny model."""
    steps = [
        ("data", "import", folder, "--out", "mine"),
        ("data", "tokenize", "mine", "--model", tiny_model, "--out", "mine/tokens"),
        (
            *("train", "finetune-tiny", "--set", f"from_model={tiny_model}"),
            *("--set", "tokens=mine/tokens", "--out", "run"),
        ),
        ("generate", "my noise", "--model", "run/model", "--duration", 0.4),
    ]
    for step in steps:
        result = command(*step)
        assert result.exit_code == 0, result.stderr
    assert verify_model(tmp_path / "run" / "model").name == "finetune-tiny"
    assert (tmp_path / "my-noise-0.wav").is_file()


SMALL = {"widths": (8, 8, 16), "groups": 4, "latent_channels": 2}


@pytest.fixture(scope="module", params=["mel_2d", "mel_1d"])
def tiny_latent_codec(request, tmp_path_factory):
    """A mel autoencoder and a vocoder with initial weights, as a model folder."""
    if request.param == "mel_2d":
        pytest.importorskip("diffusers")
        vae = VaeChoice(mel_2d=MelVaeConfig(**SMALL))
    else:
        vae = VaeChoice(mel_1d=MelVae1dConfig(layers=1, neck=4, **SMALL))
    shape = SpectrumVocoderConfig(mel=vae.config.mel, width=8, blocks=1)
    vocoder = VocoderChoice(spectrum=shape)
    out = tmp_path_factory.mktemp("models") / "mel"
    write_model(
        out,
        kind="mel_codec",
        name="mel",
        parts={
            "vae": (vae.plain(), build_vae(vae).state_dict()),
            "vocoder": (vocoder.plain(), build_vocoder(vocoder).state_dict()),
        },
        settings={},
        recipe={},
        licence="CC0",
        card="",
    )
    return out


def test_the_latents_of_a_latent_codec_are_stored(
    command, refuses, folder, tmp_path, tiny_model, tiny_latent_codec
):
    assert imported(command, folder).exit_code == 0
    tokenize = ("data", "tokenize", "mine", "--model", tiny_latent_codec)
    result = command(*tokenize, "--out", "latents", "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    codec, _, _ = load_latent_codec(tiny_latent_codec)
    shape = (2, 16) if codec.autoencoder.config.mel == PRESETS["tango"] else (2,)
    assert (said["model"], said["clips"], said["skipped"]) == ("mel", 6, 0)
    assert said["info"]["latent_shape"] == list(shape)
    store = LatentStore(tmp_path / "latents")
    clip = store.manifest.clips[2]
    expected = codec.encode(read_clip(store.manifest, clip).samples[None])
    assert store.frames(clip.id) == 38
    for stored, found in zip(store.read(clip.id), (expected.mean, expected.deviation), strict=True):
        assert torch.allclose(stored, found[0], atol=2e-3)
    config = FrameSegmentConfig(batch=2, duration=2.0)
    batch = LatentSegments(store, config, seed=0)[0]
    assert batch.mean.shape == batch.deviation.shape == (2, 2, 50, *shape[1:])
    assert batch.mask.sum(1).tolist() == [38, 38]
    silence = store.silence[0][:, 0]
    assert torch.equal(batch.mean[0, :, 49], silence)
    assert codec.decode(batch.mean).shape == (2, 1, 32_000)
    assert "latents of 6 clips, 0 skipped" in command(*tokenize, "--out", "latents").stdout
    refuses(*tokenize[:-1], tiny_model, "--out", "latents", says="holds soundwright-latents")


def test_a_missing_file_is_named_counted_and_skipped(command, folder):
    with (folder / "captions.csv").open("a") as table:
        table.write("take99.wav,not there,CC0\n")
    result = imported(command, folder, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)["report"]
    assert (report["kept"], report["reasons"]) == (6, {"missing": 1})
    assert "take99.wav" in result.stderr


def test_strict_stops_at_a_missing_file(refuses, folder):
    with (folder / "captions.csv").open("a") as table:
        table.write("take99.wav,not there,CC0\n")
    refuses("data", "import", folder, "--strict", "--out", "mine", says="take99.wav")


def test_a_caption_column_that_is_not_there_gets_the_nearest(refuses, folder, tmp_path):
    refuses(
        *("data", "import", folder, "--caption-column", "captoin", "--out", "mine"),
        says=("captoin", "caption"),
    )
    assert not (tmp_path / "mine").exists()


def test_columns_of_other_names_are_told_and_can_be_named(command, folder, tmp_path):
    (folder / "captions.csv").write_text(
        "file,caption,Keyword,Onset,Offset\ntake0.wav,a hiss,hiss,0.5,1\n"
    )
    result = imported(command, folder)
    assert result.exit_code == 0
    assert "columns not read: Keyword, Onset, Offset" in result.stderr
    named = ("--column", "tags=Keyword", "--column", "start=Onset", "--column", "end=Offset")
    result = imported(command, folder, *named)
    assert "columns not read" not in result.stderr
    (clip,) = read_manifest(tmp_path / "mine" / "manifest.jsonl").clips
    assert (clip.tags, clip.location.start, clip.duration) == (("hiss",), 0.5, 0.5)


def test_every_other_column_that_a_folder_knows_can_be_named():
    assert {*ROLES, "file", "captions"} == set(Columns.model_fields)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["tag=Keyword"], "did you mean 'tags'"),
        (["Keyword"], "ROLE=NAME"),
        (["tags="], "names no column"),
        (["tags=a", "tags=b"], "tags again"),
        (["tags=Keyword"], "no tags column 'Keyword'"),
    ],
)
def test_a_column_of_no_role_is_refused(refuses, folder, given, says):
    named = [one for text in given for one in ("--column", text)]
    refuses("data", "import", folder, *named, "--out", "mine", says=says)


def test_a_table_without_captions_is_explained(refuses, folder):
    (folder / "captions.csv").write_text("file,weather\ntake0.wav,fine\n")
    refuses("data", "import", folder, "--out", "mine", says="caption")


def test_sounds_that_are_none_are_skipped_by_name(command, folder):
    soundfile.write(folder / "take0.wav", torch.zeros(0).numpy(), 16_000)
    (folder / "take1.wav").write_bytes(b"")
    (folder / "take2.wav").write_text("not a sound")
    result = imported(command, folder, "--json")
    reasons = json.loads(result.stdout)["report"]["reasons"]
    assert reasons == {"no-samples": 1, "empty": 1, "not-audio": 1}
    assert json.loads(result.stdout)["clips"] == 3


def test_an_mp3_cut_in_half_is_skipped_by_name(command, folder):
    sound = read(folder / "take0.wav")
    write(folder / "take0.mp3", Sound(sound.samples.repeat(1, 4), 16_000))
    whole = (folder / "take0.mp3").read_bytes()
    (folder / "take0.mp3").write_bytes(whole[: len(whole) // 2])
    table = (folder / "captions.csv").read_text().replace("take0.wav", "take0.mp3")
    (folder / "captions.csv").write_text(table)
    result = imported(command, folder, "--json")
    report = json.loads(result.stdout)["report"]
    assert report["reasons"] == {"truncated": 1}
    assert "take0.mp3" in result.stderr


def test_esc10_gets_sentences_folds_and_terms(command, tmp_path):
    place = tmp_path / "esc"
    write(place / "audio" / "1-1-A.ogg", Sound(torch.rand(1, 44_100) - 0.5, 44_100))
    (place / "metadata.csv").write_text(
        "file,fold,label,title,author,source_url,licence,licence_url\n"
        "audio/1-1-A.ogg,1,dog bark,bark.wav,Ann,http://x/1/,CC-BY,http://y/\n"
    )
    result = command("data", "import", place, "--layout", "esc10", "--out", "esc10")
    assert result.exit_code == 0, result.stderr
    (clip,) = read_manifest(tmp_path / "esc10" / "manifest.jsonl").clips
    assert (clip.split, clip.tags, clip.licence.name) == ("fold1", ("dog bark",), "CC-BY")
    assert any("dog" in caption.text for caption in clip.captions)


def test_a_published_data_set_is_imported_with_its_table_elsewhere(command, tmp_path):
    write(tmp_path / "sounds" / "07076051.wav", Sound(torch.rand(1, 8000) - 0.5, 8000))
    columns = "location,description,secs,category,CDNumber,CDName,tracknum"
    table = tmp_path / "BBCSoundEffects.csv"
    table.write_text(f"{columns}\n07076051.wav,An engine,1,Engines: Petrol,EC1,Engines,4\n")
    result = command(
        *("data", "import", "sounds", "--layout", "bbc", "--captions", table, "--out", "bbc")
    )
    assert result.exit_code == 0, result.stderr
    (clip,) = read_manifest(tmp_path / "bbc").clips
    assert (clip.captions[0].text, clip.licence.name) == ("An engine", "RemArc")
    assert clip.location.path == (tmp_path / "sounds" / "07076051.wav").resolve().as_posix()


def test_scenes_are_made_counted_checked_and_packed(command, tmp_path):
    made = command(
        *("data", "synth", "--clips", 4, "--seed", 3, "--out", "scenes"),
        *("--set", "composer.duration=1", "--json"),
    )
    assert json.loads(made.stdout)["clips"] == 4
    counted = json.loads(command("data", "stats", "scenes", "--json").stdout)
    assert counted["total"]["clips"] == 4
    assert "4 clips" in command("data", "stats", "scenes").stdout
    assert command("data", "verify", "scenes").exit_code == 0
    packed = command("data", "shard", "scenes", "--out", "shards")
    assert packed.exit_code == 0, packed.stderr
    assert (tmp_path / "shards" / "shard-00000.tar").is_file()


def test_verify_tells_what_differs_with_status_1(command, tmp_path):
    command("data", "synth", "--clips", 2, "--out", "scenes", "--set", "composer.duration=1")
    (tmp_path / "scenes" / "audio" / "000001.flac").unlink()
    result = command("data", "verify", "scenes", "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["reason"], problem["path"]) == ("missing", "scenes/audio/000001.flac")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "nowhere", "--out", "x"], "nowhere"),
        (["import", ".", "--out", "x", "--layout", "esc10"], "is not ESC-50"),
        (["import", ".", "--out", "x", "--layout", "audiocaps"], "is not AudioCaps: it is empty"),
        (["import", ".", "--out", "x", "--layout", "clothe"], "did you mean 'clotho'"),
        (["import", ".", "--out", "x", "--layout", "esc50", "--split", "a"], "not take --split"),
        (["stats", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["verify", "."], "manifest.jsonl does not exist"),
        (["tokenize", "nowhere.jsonl", "--out", "x"], "nowhere.jsonl does not exist"),
        (["synth", "--out", "x", "--set", "composer.durations=1"], "did you mean 'duration'"),
        (["synth", "--out", "x", "--clips", "0"], "--clips"),
        (["synth", "--out", "x", "--set", "composer.labels=[dog barc]"], "dog barc"),
    ],
)
def test_bad_input_is_explained(refuses, arguments, says):
    refuses("data", *arguments, says=says)
