import json

import pytest

from soundwright.pipelines.models import read_record


def test_training_ends_with_the_models_folder(command, tmp_path):
    result = command(
        *("train", "encodec-16k-tiny", "--set", "training.steps=2", "--out", "run", "--json")
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["steps"], told["model"]) == (2, "run/model")
    assert read_record(tmp_path / "run" / "model").kind == "codec"
    assert "train" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["synth-tny"], "did you mean 'synth-tiny'?"),
        (["synth-tiny", "--set", "lm.dimm=3"], "did you mean 'dim'?"),
        (["synth-tiny", "--set", "lm.dim"], "key=value"),
        (["synth-tiny", "--resume", "--out", "nowhere"], "nowhere does not exist"),
        (["synth-tiny", "--resume", "--out", "."], "is no run"),
        (["encodec-16k", "--out", "run"], "The recipe names no data"),
        (["encodec-16k", "--set", "data.manifests=[none.jsonl]", "--out", "run"], "none.jsonl"),
        (["no.yaml"], "There is no recipe 'no.yaml'"),
        (["synth-tiny", "--set", "training.device=abacus", "--out", "r"], "abacus"),
    ],
)
def test_a_run_that_cannot_be_is_explained(refuses, arguments, says):
    refuses("train", *arguments, says=says)


def test_a_finished_run_is_kept(refuses, tiny_run):
    refuses("train", "bundled-lm-tiny", "--out", tiny_run, says="holds a run already")


def test_recipes_are_listed_shown_and_compared(command):
    listed = json.loads(command("recipes", "list", "--json").stdout)["recipes"]
    assert listed["rr-sound-300m"]["kind"] == "lm"
    assert "rr-sound-300m" in command("recipes", "list").stdout
    shown = command("recipes", "show", "rr-sound-300m", "--set", "lm.dim=512", "--json")
    assert json.loads(shown.stdout)["recipe"]["lm"]["dim"] == 512
    assert "dim: 1024" in command("recipes", "show", "rr-sound-300m").stdout
    found = command("recipes", "diff", "rr-sound-300m", "rr-music-300m", "--json")
    differences = json.loads(found.stdout)["differences"]
    assert differences["segments.duration"] == {"first": 10.0, "second": 30.0}
    assert "lm.dim" not in differences
    same = command("recipes", "diff", "judge", "judge")
    assert (same.exit_code, same.stdout) == (0, "")


def test_models_are_listed_shown_and_verified(command, tiny_model, own_cache):
    import shutil

    shutil.copytree(tiny_model, own_cache / "models" / "tiny")
    listed = json.loads(command("models", "list", "--json").stdout)["models"]
    assert listed["tiny"]["hash"] == read_record(tiny_model).hash
    assert "tiny" in command("models", "list").stdout
    assert command("models", "show", "tiny").stdout.startswith("# bundled-lm-tiny")
    assert json.loads(command("models", "show", "tiny", "--json").stdout)["kind"] == "lm"
    assert "all 3 files are as recorded" in command("models", "verify", "tiny").stdout
    assert json.loads(command("models", "verify", "tiny", "--json").stdout)["files"]


def test_a_flipped_byte_fails_verification(refuses, tiny_model, tmp_path):
    import shutil

    shutil.copytree(tiny_model, tmp_path / "model")
    weights = tmp_path / "model" / "codec.safetensors"
    content = bytearray(weights.read_bytes())
    content[-9] ^= 4
    weights.write_bytes(content)
    refuses("models", "verify", "model", says="codec.safetensors is damaged")


def test_the_demo_writes_ten_sounds_and_a_page(command, tiny_model, tmp_path):
    result = command("demo", "--model", tiny_model, "--out", "demo")
    assert result.exit_code == 0, result.stderr
    page = tmp_path / "demo" / "index.html"
    assert str(page) in result.stdout
    sounds = sorted(path.name for path in (tmp_path / "demo").glob("*.wav"))
    assert len(sounds) == 10
    text = page.read_text()
    assert text.count('src="data:audio/wav;base64,') == 10
    assert text.count('src="data:image/png;base64,') == 10
    assert "counted" in text
    assert "ordered" in text
    assert all(name in text for name in sounds)
    told = json.loads((tmp_path / "demo" / sounds[0].replace(".wav", ".json")).read_text())
    assert told["prompt"] == "a dog barks"


def test_an_unknown_command_gets_the_nearest(refuses):
    refuses("generat", "rain", says="Did you mean 'generate'?")


def test_the_version_is_said(command):
    import soundwright

    assert command("--version").stdout == f"soundwright {soundwright.__version__}\n"
