import json
import signal
import time

import pytest
import torch

import soundwright
from forks import Fork
from soundwright.audio.files import read, read_metadata
from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.data.manifest import read_manifest
from soundwright.data.tokens import tokenize
from soundwright.pipelines.models import read_card, read_part, read_record, verify_model
from soundwright.pipelines.parts import load_codec
from soundwright.pipelines.training import train_recipe
from soundwright.scorers.tagger import Tagger
from soundwright.training.checkpoints import list_checkpoints
from soundwright.training.session import Session


@pytest.fixture(scope="module")
def manifest(tiny_run):
    (folder,) = (tiny_run / "data").iterdir()
    return read_manifest(folder / "manifest.jsonl")


@pytest.fixture(scope="module")
def tokens(manifest, tiny_model, tmp_path_factory):
    codec, _, _ = load_codec(tiny_model)
    return tokenize(manifest, codec, tmp_path_factory.mktemp("tokens") / "store").folder


def test_a_run_leaves_a_model_that_is_whole_and_says_what_it_is(tiny_run):
    record = verify_model(tiny_run / "model")
    assert (record.kind, record.name, record.storage) == ("lm", "bundled-lm-tiny", "int8")
    assert record.settings["generation"]["window"] == 1.0
    card = read_card(tiny_run / "model")
    assert "soundwright train bundled-lm-tiny" in card
    assert "| scenes | 12 |" in card
    codec = verify_model(tiny_run / "codec" / "model")
    assert codec.kind == "codec"


def test_sounds_are_made_during_training(tiny_run):
    sounds = sorted((tiny_run / "samples" / "step-00000012").glob("*.wav"))
    assert [read_metadata(path)["title"] for path in sounds][:2] == ["a dog barks", "rain falls"]
    assert all(read(path).duration == 1.0 for path in sounds)
    records = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    (made,) = [record for record in records if record["kind"] == "samples"]
    assert 0 <= made["silent_fraction"] <= 1
    assert 0 < made["distinct_fraction"] <= 1


def test_a_checkpoint_carries_the_resolved_recipe(tiny_run):
    from soundwright.training.checkpoints import read_weights

    weights, metadata = read_weights(list_checkpoints(tiny_run / "checkpoints")[-1], "lm")
    assert metadata["metadata"]["lm"]["dim"] == 32
    assert metadata["training"]["steps"] == 12
    assert weights.keys() == read_part(tiny_run / "model", "lm").keys()


@pytest.mark.parametrize("recipe", ["encodec-16k-tiny", "rr-music-300m-tiny"])
def test_tiny_twins_of_the_papers_train_to_the_end(recipe, tmp_path):
    trained = train_recipe(recipe, ["training.steps=3"], out=tmp_path / "run")
    assert trained.result.step == 3
    assert verify_model(trained.model).name == recipe


def test_the_tiny_judge_trains_to_a_tagger(tmp_path):
    trained = train_recipe("judge-tiny", out=tmp_path / "run")
    tagger = Tagger.load(trained.model)
    assert tagger.labels == ("rain", "dog bark", "church bell")
    assert 0 <= trained.result.validation["accuracy"] <= 1


def test_a_model_is_fine_tuned_on_tokens_of_its_codec(tiny_model, tokens, tmp_path):
    trained = train_recipe(
        "finetune-tiny", [f"from_model={tiny_model}", f"tokens={tokens}"], out=tmp_path / "run"
    )
    before, after = read_record(tiny_model), verify_model(trained.model)
    assert after.parts["codec"] == before.parts["codec"]
    old, new = read_part(tiny_model, "lm"), read_part(trained.model, "lm")
    change = max((old[name] - new[name]).abs().max() for name in old)
    assert 0 < change < 0.02
    assert soundwright.load(trained.model).generate("rain", duration=0.4)
    assert f"Fine-tuned from bundled-lm-tiny ({before.hash}" in read_card(trained.model)


def test_tokens_of_another_codec_are_refused(tiny_model, manifest, tmp_path):
    codec, _, _ = load_codec(tiny_model)
    tokenize(manifest, codec, tmp_path / "store", identity="another")
    with pytest.raises(UserError, match=r"another codec(.|\n)*soundwright data tokenize"):
        train_recipe(
            "finetune-tiny",
            [f"from_model={tiny_model}", f"tokens={tmp_path / 'store'}"],
            out=tmp_path / "run",
        )


def test_tokens_and_data_together_are_refused(tiny_model, tokens):
    given = [f"from_model={tiny_model}", f"tokens={tokens}", "data.scenes.clips=3"]
    with pytest.raises(ConfigError, match="tokens are given"):
        train_recipe("finetune-tiny", given)


def test_a_shape_that_is_not_the_codecs_is_named(tiny_run, tmp_path):
    given = [
        "codec.recipe=",
        f"codec.model={tiny_run / 'codec' / 'model'}",
        "lm.codebooks=3",
    ]
    with pytest.raises(ConfigError, match=r"lm\.codebooks is 3, but the codec's is 4"):
        train_recipe("bundled-lm-tiny", given, out=tmp_path / "run")


def test_a_folder_that_is_no_run_is_not_resumed(tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(UserError, match="is no run"):
        train_recipe("bundled-lm-tiny", out=tmp_path, resume=True)
    with pytest.raises(UserError, match="does not exist"):
        train_recipe("bundled-lm-tiny", out=tmp_path / "nowhere", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_run_is_not_overwritten(tiny_run):
    before = (tiny_run / "model" / "lm.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"holds a run already(.|\n)*--resume"):
        train_recipe("bundled-lm-tiny", out=tiny_run)
    assert (tiny_run / "model" / "lm.safetensors").read_bytes() == before


def test_resuming_with_other_settings_names_them(tiny_model, tokens, tmp_path):
    given = [f"from_model={tiny_model}", f"tokens={tokens}", "training.steps=2"]
    train_recipe("finetune-tiny", given, out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"segments\.batch: 4 in the run, 2 now"):
        train_recipe(
            "finetune-tiny", [*given, "segments.batch=2"], out=tmp_path / "run", resume=True
        )


def test_a_finished_run_goes_on_when_more_steps_are_asked_for(tiny_model, tokens, tmp_path):
    given = [f"from_model={tiny_model}", f"tokens={tokens}"]
    constant = "training.optimizer.schedule.kind=constant"
    first = train_recipe(
        "finetune-tiny", [*given, constant, "training.steps=3"], out=tmp_path / "a"
    )
    longer = train_recipe("finetune-tiny", [*given, constant], out=tmp_path / "a", resume=True)
    straight = train_recipe("finetune-tiny", [*given, constant], out=tmp_path / "b")
    assert (first.result.step, longer.result.step) == (3, 6)
    assert same_weights(longer.model, straight.model)


def test_a_damaged_checkpoint_is_named_and_nothing_is_lost(tiny_model, tokens, tmp_path):
    given = [f"from_model={tiny_model}", f"tokens={tokens}", "training.steps=3"]
    trained = train_recipe("finetune-tiny", given, out=tmp_path / "run")
    weights = trained.result.checkpoint / "weights-lm.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights-lm\.safetensors is damaged"):
        train_recipe("finetune-tiny", given, out=tmp_path / "run", resume=True)
    assert weights.read_bytes() == content
    assert verify_model(trained.model)


def same_weights(first, second):
    old, new = read_part(first, "lm"), read_part(second, "lm")
    return old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)


@pytest.mark.slow
def test_a_run_killed_at_three_moments_ends_with_the_same_weights(tiny_run, tmp_path):
    """While scenes are made, while the codec trains, while the language model trains."""
    run = tmp_path / "run"
    moments = ("data/*/audio/*.flac", "codec/checkpoints/step-*", "checkpoints/step-*")
    for number, moment in enumerate(moments):
        kill_at(run, moment, resume=number > 0)
        assert not (run / "model").exists()
    trained = train_recipe("bundled-lm-tiny", out=run, resume=True)
    assert trained.result.step == 12
    assert same_weights(trained.model, tiny_run / "model")
    assert read_record(trained.model).hash == read_record(tiny_run / "model").hash


def kill_at(run, moment, **options):
    """Start training and kill it as soon as something matches `moment`."""
    process = Fork(train_slowly, run, torch.get_num_threads(), options)
    deadline = time.monotonic() + 120
    while not any(run.glob(moment)):
        assert process.is_running, process.wait()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send(signal.SIGKILL)
    assert process.wait().status == -signal.SIGKILL


def train_slowly(run, threads, options):
    """More steps would change the schedule; waiting between steps gives time to kill instead."""
    step = Session.step

    def slow(*given, **named):
        time.sleep(0.2)
        return step(*given, **named)

    Session.step = slow
    torch.set_num_threads(threads)
    train_recipe("bundled-lm-tiny", out=run, **options)
