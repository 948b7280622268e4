"""`soundwright models import` and `export`, as a person types them."""

import json
import os
import shutil

import pytest
import torch
from foreign_models import write_audiocraft, write_musicgen
from transformers import MusicgenForConditionalGeneration
from typer.testing import CliRunner

from soundwright.cli.main import app
from soundwright.pipelines.models import read_record


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model in transformers' layout, `musicgen-tiny`, and in AudioCraft's, `audiogen-tiny`."""
    base = tmp_path_factory.mktemp("there")
    write_audiocraft(base / "audiogen-tiny", write_musicgen(base / "musicgen-tiny"))
    return base


@pytest.fixture
def command(own_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, ["models", *map(str, arguments)])

    return run


def test_from_one_format_to_the_other(base, command, tmp_path, own_cache):
    result = command("import", base / "musicgen-tiny")
    assert result.exit_code == 0, result.stderr
    assert "models/musicgen-tiny" in result.stdout
    assert read_record(own_cache / "models" / "musicgen-tiny").kind == "lm"
    assert "musicgen-tiny" in command("list").stdout
    assert "in transformers's format" in command("show", "musicgen-tiny").stdout
    text_encoder = own_cache / "models" / "musicgen-tiny" / "text_encoder"
    result = command(
        *("import", base / "audiogen-tiny", "--out", "mine", "--name", "sounds", "--json"),
        *("--text-encoder", text_encoder, "--licence", "CC-BY-NC-4.0", "--storage", "fp32"),
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["folder"], told["name"], told["kind"]) == ("mine", "sounds", "lm")
    assert (told["licence"], told["storage"], told["notes"]) == ("CC-BY-NC-4.0", "fp32", [])
    assert "as recorded" in command("verify", "mine").stdout
    result = command("export", "mine", "--to", "transformers", "--out", "theirs", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["class"] == "MusicgenForConditionalGeneration"
    model = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "theirs")
    assert model.generation_config.top_k == 250
    assert "license: cc-by-nc-4.0" in (tmp_path / "theirs" / "README.md").read_text()


def test_a_note_says_what_the_model_will_need(base, command):
    result = command("import", base / "audiogen-tiny", "--out", "mine", "--text-padding")
    assert result.exit_code == 0, result.stderr
    assert "--text-encoder FOLDER" in result.stderr
    assert read_record(base.__class__("mine")).parts["lm"]["mask_text"] is False
    refused = command("export", "mine", "--out", "theirs")
    assert refused.exit_code == 2
    assert "reads text with its padding" in refused.stderr


def test_one_of_two_layouts_in_a_folder_can_be_chosen(base, command, tmp_path):
    shutil.copytree(base / "musicgen-tiny", "both")
    shutil.copytree(base / "audiogen-tiny", "both", dirs_exist_ok=True)
    for form, storage in (("auto", "fp32"), ("transformers", "fp32"), ("audiocraft", "fp16")):
        result = command("import", "both", "--format", form, "--out", form, "--json")
        assert json.loads(result.stdout)["storage"] == storage


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("sprung",))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "nothing"], "There is no nothing"),
        (["import", "a/b"], "hf download a/b --local-dir FOLDER"),
        (["import", "trap"], "would run code"),
        (["import", "base", "--codec", "no/no/no"], "There is no codec no/no/no"),
        (["import", "base", "--codec", "a/b"], "The codec 'a/b'"),
        (["import", "base", "--codebooks", "2"], "Leave --codebooks out"),
        (["import", "base", "--out", "full"], "full exists already"),
        (["import", "base", "--name", "../up"], "is no name for a model"),
        (["export", "bundled", "--out", "x"], "no counterpart of the light codec"),
        (["export", "bundled", "--out", "full"], "full exists already"),
        (["export", "base", "--out", "x"], "soundwright models import"),
        (["export", "nothing", "--out", "x"], "There is no model 'nothing'"),
    ],
)
def test_a_mistake_is_explained_and_leaves_nothing(base, command, tmp_path, arguments, says):
    (tmp_path / "base").symlink_to(base / "musicgen-tiny")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "trap").mkdir()
    torch.save({"best_state": {}, "xp.cfg": Trap()}, tmp_path / "trap" / "state_dict.bin")
    result = command(*arguments)
    assert result.exit_code == 2, result.stderr or result.exception
    assert result.stdout == ""
    assert says in " ".join(result.stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "full", "trap"]
