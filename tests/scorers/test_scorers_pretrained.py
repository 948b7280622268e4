"""Checkpoints: found by path, folder or publication, read in safe mode, told of truthfully."""

import hashlib
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.scorers.pretrained import (
    Published,
    hash_weights,
    load_published,
    read_state,
)
from soundwright.scorers.windows import WindowRule


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def network():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({"model": state(), "iteration": 7}, tmp_path / "Net_mAP=0.4.pth")
    return tmp_path / "Net_mAP=0.4.pth"


@pytest.fixture
def published(checkpoint):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return Published("https://example.org/files/Net_mAP%3D0.4.pth", f"sha256:{digest}", "MIT")


def state():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    return {
        name: torch.full_like(value, number) for number, (name, value) in
        enumerate(net.state_dict().items())
    }  # fmt: skip


def test_a_file_a_folder_and_the_cache_give_the_same_weights(
    network, published, checkpoint, tmp_path
):
    for weights in (str(checkpoint), str(checkpoint.parent)):
        told = load_published(network, published, weights)
        assert told == "Net_mAP=0.4.pth, as published"
        assert torch.equal(network[0].bias, torch.ones(2))
        assert not network.training
        assert not network[0].weight.requires_grad
    cache = tmp_path / "cache" / "encoders"
    cache.mkdir(parents=True)
    checkpoint.rename(cache / checkpoint.name)
    assert load_published(network, published, None) == "Net_mAP=0.4.pth, as published"


def test_converted_weights_are_told_of_and_have_the_same_identity(
    network, published, checkpoint, tmp_path
):
    load_published(network, published, str(checkpoint))
    before = hash_weights(network)
    save_file(state(), tmp_path / "converted.safetensors")
    told = load_published(network, published, str(tmp_path / "converted.safetensors"))
    assert told == "converted.safetensors, not Net_mAP=0.4.pth as published"
    assert hash_weights(network) == before
    network[1].running_var[0] += 1e-6
    assert hash_weights(network) != before
    assert hash_weights(network, WindowRule(size=2, hop=1)) != hash_weights(network)


def test_names_are_translated(network, published, tmp_path):
    torch.save({f"old.{name}": tensor for name, tensor in state().items()}, tmp_path / "a.pt")
    load_published(
        network,
        published,
        str(tmp_path / "a.pt"),
        lambda found: {name.removeprefix("old."): tensor for name, tensor in found.items()},
    )
    assert float(network[1].bias[0]) == 3


def test_weights_that_are_nowhere_say_what_to_fetch_and_where_to_put_it(
    network, published, tmp_path
):
    with pytest.raises(MissingWeightsError) as caught:
        load_published(network, published, None)
    for words in (published.address, str(tmp_path / "cache/encoders/Net_mAP=0.4.pth"), "forbidden"):
        assert words in str(caught.value)
    (tmp_path / "empty").mkdir()
    for weights in ("no/such/file.pth", str(tmp_path / "empty")):
        with pytest.raises(MissingWeightsError, match=r"Net_mAP(.|\n)*https://example\.org"):
            load_published(network, published, weights)
    with pytest.raises(MissingWeightsError, match="'owner/name' is not in the cache"):
        load_published(network, published, "owner/name")


def test_a_damaged_file_in_the_cache_is_refused(network, published, checkpoint, tmp_path):
    cache = tmp_path / "cache" / "encoders"
    cache.mkdir(parents=True)
    (cache / checkpoint.name).write_bytes(checkpoint.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not the file that was published"):
        load_published(network, published, None)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_files_that_are_something_else_are_refused(network, published, tmp_path):
    path = tmp_path / "a.pth"
    for held in ({"model": [1, 2]}, {"state_dict": {"0.weight": "no tensor"}}, {}):
        torch.save(held, path)
        with pytest.raises(CheckpointError, match="no dictionary"):
            read_state(path)
    torch.save({"model": state(), "extra": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(CheckpointError, match="would run code"):
        load_published(network, published, str(path))
    assert not (tmp_path / "sprung").exists()
    (tmp_path / "a.safetensors").write_bytes(b"\x10")
    with pytest.raises(CheckpointError, match="damaged"):
        load_published(network, published, str(tmp_path / "a.safetensors"))


def test_weights_of_another_network_are_refused_with_a_reason(network, published, tmp_path):
    wrong = state() | {"0.weight": torch.zeros(5, 3)}
    save_file(wrong, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"size mismatch for 0\.weight"):
        load_published(network, published, str(tmp_path / "a.safetensors"))
    del wrong["0.weight"]
    save_file(wrong, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="Missing key"):
        load_published(network, published, str(tmp_path / "a.safetensors"))
