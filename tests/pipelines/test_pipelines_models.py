import json
import shutil

import pytest
import torch

from soundwright.core.errors import CheckpointError, MissingWeightsError, UserError
from soundwright.core.files import read_json, write_json
from soundwright.pipelines import models
from soundwright.pipelines.models import (
    FORMAT_VERSION,
    find_model,
    list_models,
    read_card,
    read_part,
    read_record,
    verify_model,
    write_card,
    write_model,
)


def make(folder, *, value=1.0, name="small", card="# Small\n"):
    return write_model(
        folder,
        kind="codec",
        name=name,
        parts={"codec": ({"compact": {}}, {"weight": torch.full((2, 3), value)})},
        settings={},
        recipe={"name": name},
        licence="CC0",
        card=card,
    )


def test_a_written_model_verifies_and_comes_back(tmp_path):
    record = make(tmp_path / "m")
    assert verify_model(tmp_path / "m") == record
    assert torch.equal(read_part(tmp_path / "m", "codec")["weight"], torch.ones(2, 3))
    assert read_card(tmp_path / "m") == "# Small\n"


def test_writing_again_replaces_the_whole_folder(tmp_path):
    first = make(tmp_path / "m")
    (tmp_path / "m" / "leftover").write_text("x")
    second = make(tmp_path / "m", value=2.0)
    assert first.hash != second.hash
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "card.md",
        "codec.safetensors",
        "model.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_the_hash_is_of_the_model_not_of_its_name_or_card(tmp_path):
    first = make(tmp_path / "a", name="one", card="# One\n")
    second = make(tmp_path / "b", name="two", card="# Two\n")
    assert first.hash == second.hash
    rewritten = write_card(tmp_path / "a", "# Measured: 70 %\n")
    assert rewritten.hash == first.hash
    assert verify_model(tmp_path / "a") == rewritten


@pytest.mark.parametrize("name", ["codec.safetensors", "card.md"])
def test_a_flipped_byte_is_named(tmp_path, name):
    make(tmp_path / "m")
    content = bytearray((tmp_path / "m" / name).read_bytes())
    content[-2] ^= 1
    (tmp_path / "m" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        verify_model(tmp_path / "m")


def test_a_missing_file_is_named(tmp_path):
    make(tmp_path / "m")
    (tmp_path / "m" / "codec.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"codec\.safetensors is missing"):
        verify_model(tmp_path / "m")


def test_a_newer_format_is_refused_with_a_reason(tmp_path):
    make(tmp_path / "m")
    values = read_json(tmp_path / "m" / "model.json")
    write_json(
        tmp_path / "m" / "model.json",
        {**values, "format_version": FORMAT_VERSION + 1, "invented_later": True},
    )
    with pytest.raises(CheckpointError, match=f"model format {FORMAT_VERSION + 1}.*reads up to"):
        read_record(tmp_path / "m")


@pytest.mark.parametrize("content", ["[]", '{"format_version": 1}', '"x"'])
def test_a_record_that_says_something_else_is_damaged(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        read_record(tmp_path)


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model"):
        read_record(tmp_path)


def test_installed_models_are_found_by_name(own_cache):
    make(own_cache / "models" / "birds")
    (own_cache / "models" / "no-model").mkdir()
    assert list_models()["birds"] == own_cache / "models" / "birds"
    assert "no-model" not in list_models()
    assert find_model("birds") == own_cache / "models" / "birds"


def test_an_unknown_name_gets_the_nearest_one(own_cache):
    with pytest.raises(UserError, match="did you mean 'bundled'"):
        find_model("bundeld")


def test_a_copy_without_the_bundled_model_says_how_to_get_it(own_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "bundled_folder", lambda name: tmp_path / "empty")
    with pytest.raises(MissingWeightsError, match=r"no bundled model.*\n.*train bundled-lm"):
        find_model("bundled")


def test_a_hub_name_without_network_says_where_to_put_the_model(own_cache):
    with pytest.raises(MissingWeightsError, match="network is forbidden"):
        find_model("nobody/nothing-here")


def test_a_model_can_be_moved(tmp_path):
    record = make(tmp_path / "m")
    shutil.copytree(tmp_path / "m", tmp_path / "elsewhere")
    assert verify_model(tmp_path / "elsewhere").hash == record.hash


def test_the_record_is_plain_json(tmp_path):
    make(tmp_path / "m")
    values = json.loads((tmp_path / "m" / "model.json").read_text())
    assert values["licence"] == "CC0"
    assert set(values["files"]) == {"card.md", "codec.safetensors"}
