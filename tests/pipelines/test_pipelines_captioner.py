"""Captioners from recipe to folder, and what a folder says of sounds."""

import json
import shutil
from itertools import pairwise

import pytest
import torch

import soundwright
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, CheckpointError, UserError
from soundwright.core.journal import journal_of
from soundwright.core.protocols import Captioner
from soundwright.core.seeding import torch_stream
from soundwright.data.manifest import read_manifest, write_manifest
from soundwright.pipelines.captioner_parts import load_captioner_parts
from soundwright.pipelines.captioner_system import prepare_captioner
from soundwright.pipelines.captioning import SILENCE, Captioned, Span, _join_spans
from soundwright.pipelines.jobs import Workplace
from soundwright.pipelines.models import read_part, read_record
from soundwright.pipelines.recaptioning import caption_manifest
from soundwright.pipelines.systems import read_recipe
from soundwright.pipelines.training import train_recipe
from soundwright.scorers.tagger import Tagger, tagger2_folder

RATE = 16_000


def noise(seconds, seed=0, rate=RATE):
    samples = 0.2 * torch.randn(1, round(seconds * rate), generator=torch_stream(seed, "noise"))
    return Sound(samples.clamp(-1, 1), rate)


@pytest.fixture(scope="module")
def captioner(tiny_captioner):
    return soundwright.load_captioner(tiny_captioner)


@pytest.fixture(scope="module")
def corpus(tiny_captioner_run):
    (scenes,) = (tiny_captioner_run / "data").glob("scenes-*")
    return read_manifest(scenes)


def test_both_stages_leave_the_frozen_parts_as_they_were(tiny_captioner_run):
    first, second = (tiny_captioner_run / place for place in ("stage1/model", "model"))
    language = read_part(tiny_captioner_run / "language" / "model", "language")
    one, two = (read_part(folder, "captioner") for folder in (first, second))
    for name, value in language.items():
        # Folders hold int8: what is frozen is the same up to that.
        step = max(float(value.abs().max()) / 100, 1e-6)
        torch.testing.assert_close(one[f"bart.{name}"], value, rtol=0, atol=step)
    table = "bart.model.shared.weight"
    torch.testing.assert_close(two[table], one[table], rtol=0, atol=float(one[table].max()) / 100)
    moved = "bart.model.decoder.layers.0.fc1.bias"
    assert not torch.equal(one[moved], two[moved])
    tower, tagger = read_part(second, "tower"), Tagger.load(tagger2_folder()).state_dict()
    assert all(torch.equal(tower[f"tagger.{name}"], value) for name, value in tagger.items())


def test_a_killed_run_ends_with_the_same_weights(tiny_captioner, tiny_captioner_run, tmp_path):
    """Killed after the checkpoint in the middle of its second stage."""
    again = tmp_path / "run"
    shutil.copytree(tiny_captioner_run, again)
    shutil.rmtree(again / "model")
    shutil.rmtree(max((again / "checkpoints").iterdir()))
    train_recipe("bundled-captioner-tiny", out=again, resume=True)
    for file in ("captioner", "tower", "matcher"):
        name = f"{file}.safetensors"
        assert (again / "model" / name).read_bytes() == (tiny_captioner / name).read_bytes()


def test_the_folder_tells_all_of_the_model(tiny_captioner):
    record = read_record(tiny_captioner)
    assert record.kind == "captioner"
    assert set(record.parts) == {"tower", "matcher", "captioner"}
    assert record.settings["clap"] is None
    assert "tokenizer.json" in record.files
    card = (tiny_captioner / "card.md").read_text()
    assert "bundled-captioner-stage1-tiny" in card
    assert "metadata | title" in card


@pytest.mark.parametrize(
    ("override", "lacks"),
    [("clap=null", "matcher"), ("bridge.fields=[]", None), ("start=null", None)],
)
def test_each_ablation_is_one_option(override, lacks, tiny_captioner_run, tmp_path):
    shutil.copytree(tiny_captioner_run / "data", tmp_path / "run" / "data")
    shutil.copytree(tiny_captioner_run / "language", tmp_path / "run" / "language")
    trained = train_recipe("bundled-captioner-tiny", [override], out=tmp_path / "run")
    record = read_record(trained.model)
    assert lacks not in record.parts
    assert (tmp_path / "run" / "stage1").exists() is (override != "start=null")
    (said,) = soundwright.load_captioner(trained.model).caption(noise(1.0))
    assert isinstance(said.text, str)


def test_autocaps_recipe_trains_at_a_tiny_size(tmp_path):
    trained = train_recipe("autocap-tiny", out=tmp_path / "run")
    parts = load_captioner_parts(trained.model, torch.device("cpu"))
    assert parts.ears.towers.tower.frames == parts.model.config.frames
    (said,) = soundwright.load_captioner(trained.model).caption(noise(1.0), [{"title": "a dog"}])
    assert 0 <= said.confidence <= 1


def test_silent_clips_are_counted_and_never_trained_on(tiny_captioner_run, tmp_path, corpus):
    shutil.copytree(corpus.folder, tmp_path / "corpus")
    manifest = read_manifest(tmp_path / "corpus")
    silent = manifest.clips[8]
    write(tmp_path / "corpus" / silent.location.path, Sound(torch.zeros(1, 2 * RATE), RATE))
    changed = [
        clip.model_copy(update={"pcm_hash": "silent"}) if clip.id == silent.id else clip
        for clip in manifest.clips
    ]
    write_manifest(tmp_path / "corpus" / "manifest.jsonl", manifest.with_clips(changed))
    recipe = read_recipe(
        "bundled-captioner-tiny",
        [
            f"data.manifests=[{tmp_path / 'corpus' / 'manifest.jsonl'}]",
            "data.scenes=null",
            f"start.model={tiny_captioner_run / 'stage1' / 'model'}",
            "start.recipe=null",
            "language=null",
        ],
    )
    job = prepare_captioner(recipe, Workplace(tmp_path / "run", tmp_path / "data"))
    assert silent.id not in {clip.id for clip in job.batches._clips}
    strict = recipe.model_copy(update={"max_bad_rate": 0.0})
    with pytest.raises(UserError, match="bad"):
        prepare_captioner(strict, Workplace(tmp_path / "run2", tmp_path / "data"))


def test_it_is_a_captioner_of_the_protocol(captioner):
    speaker: Captioner = captioner
    found = speaker.describe([noise(1.0).samples, noise(2.0).samples[0]], RATE)
    assert [one.kind for one in found] == ["model", "model"]
    assert found[0].model == "bundled-captioner-tiny"
    assert found[0].revision == captioner.identity
    assert 0 < found[0].confidence <= 1


def test_files_and_sounds_of_any_rate_say_the_same(captioner, tmp_path):
    sound = noise(1.5, rate=32_000)
    write(tmp_path / "a.wav", sound)
    from_file = captioner.caption(tmp_path / "a.wav")[0]
    from_memory = captioner.caption([sound])[0]
    assert from_file.text == from_memory.text
    assert from_file.agreement == pytest.approx(from_memory.agreement, abs=1e-3)


def test_long_sounds_are_captioned_part_by_part(captioner):
    (said,) = captioner.caption(noise(25.0))
    spans = said.spans
    assert spans[0].start == 0
    assert spans[-1].end == pytest.approx(25.0)
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(a.text != b.text for a, b in pairwise(spans))


def test_spans_in_a_row_with_one_caption_are_one(captioner):
    def span(start, text, confidence, agreement):
        record = captioner._record(text, confidence)
        return Span(start, start + 1.0, record, agreement)

    spans = [
        span(0.0, "rain", 0.9, 0.5),
        span(1.0, "rain", 0.4, 0.7),
        span(2.0, "a dog", 0.8, None),
    ]
    first, second = _join_spans(spans)
    assert (first.start, first.end, first.caption.confidence, first.agreement) == (0, 2, 0.4, 0.5)
    assert (second.start, second.text) == (2.0, "a dog")
    assert Captioned((first, second)).text == "rain, then a dog"


def test_silence_is_called_so_by_rule(captioner):
    (said,) = captioner.caption(Sound(torch.zeros(1, RATE), RATE))
    assert (said.text, said.confidence, said.agreement) == (SILENCE, 1.0, None)
    mixed = captioner.caption([Sound(torch.zeros(1, RATE), RATE), noise(1.0)])
    assert mixed[1].text == captioner.caption(noise(1.0))[0].text


def test_batches_change_nothing(captioner):
    sounds = [noise(1.0 + place / 2, seed=place) for place in range(5)]
    known = [{"title": f"dog {place}"} for place in range(5)]
    once = captioner.caption(sounds, known, batch_size=5)
    alone = captioner.caption(sounds, known, batch_size=1)
    assert [one.text for one in once] == [one.text for one in alone]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metadata": [{"titel": "x"}]}, "did you mean 'title'"),
        ({"metadata": []}, "0 sounds for 1 sounds"),
        ({"beams": 0}, "beams"),
        ({"method": "guess"}, "method"),
        ({"batch_size": 0}, "batch size"),
    ],
)
def test_what_cannot_be_is_refused(captioner, arguments, message):
    with pytest.raises(UserError, match=message):
        captioner.caption([noise(1.0)], **arguments)


def test_other_models_do_not_caption(tiny_model, captioner, tmp_path):
    with pytest.raises(CheckpointError, match="is a lm, and does not caption"):
        soundwright.load_captioner(tiny_model)
    (tmp_path / "no.wav").write_text("no sound")
    with pytest.raises(AudioError):
        captioner.caption(tmp_path / "no.wav")


def test_a_corpus_is_captioned_and_goes_on_where_it_stood(captioner, corpus, tmp_path):
    journal = journal_of(tmp_path / "manifest.jsonl")
    whole = caption_manifest(corpus, captioner, journal)
    assert whole.count == len(corpus.clips)
    clip = whole.manifest.clips[0]
    assert clip.captions[:-1] == corpus.clips[0].captions
    assert clip.captions[-1].kind == "model"
    assert f"agreement/{captioner.name}" in clip.scores
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:6]) + "\n" + lines[6][:10])
    again = caption_manifest(corpus, captioner, journal)
    assert again.manifest.clips == whole.manifest.clips
    twice = caption_manifest(again.manifest, captioner, tmp_path / "other.journal")
    assert twice.manifest.clips[0].captions == clip.captions


def test_another_captioners_journal_is_refused(captioner, corpus, tmp_path):
    journal = tmp_path / "a.journal"
    caption_manifest(corpus, captioner, journal)
    with pytest.raises(UserError, match="other settings"):
        caption_manifest(corpus, captioner, journal, beams=1)


def test_clips_that_cannot_be_read_are_counted(captioner, corpus, tmp_path):
    gone = corpus.clips[1].model_copy(
        update={"location": corpus.clips[1].location.model_copy(update={"path": "gone.wav"})}
    )
    manifest = corpus.with_clips([corpus.clips[0], gone])
    found = caption_manifest(manifest, captioner, tmp_path / "a.journal")
    assert found.count == 1
    assert sum(found.left_out.values()) == 1
    assert found.manifest.clips[1] == gone


def test_a_language_is_no_captioner(tiny_captioner_run):
    with pytest.raises(CheckpointError, match="is a language"):
        soundwright.load_captioner(tiny_captioner_run / "language" / "model")


def test_the_tokenizer_is_part_of_the_folder(tiny_captioner, tmp_path):
    shutil.copytree(tiny_captioner, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "9"}))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged"):
        soundwright.load_captioner(tmp_path / "model")


def test_a_recipe_that_is_no_model_yet_is_told_so():
    with pytest.raises(UserError, match=r"there is a recipe of that name[\s\S]*soundwright train"):
        soundwright.load_captioner("bundled-captioner-tower")
