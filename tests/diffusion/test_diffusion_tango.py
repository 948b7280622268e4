"""Tango's layout, in and out, on small random weights."""

import json

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.protocols import TextStates
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.noise import NoiseConfig, NoiseProcess
from soundwright.diffusion.tango_weights import (
    config_from_diffusers,
    config_from_tango,
    read_tango,
    to_tango,
    write_diffusers,
)
from soundwright.diffusion.unet import LatentUnet, UnetConfig

SHAPE = {
    "in_channels": 8, "out_channels": 8, "sample_size": [32, 2], "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [64, 128, 128], "attention_head_dim": [1, 2, 2],
    "cross_attention_dim": 24, "norm_num_groups": 32, "norm_eps": 1e-5, "act_fn": "silu",
    "use_linear_projection": True, "upcast_attention": True, "only_cross_attention": False,
    "flip_sin_to_cos": True, "freq_shift": 0, "mid_block_scale_factor": 1,
}  # fmt: skip
MAIN = {
    "text_encoder_name": "google/flan-t5-large",
    "scheduler_name": "stabilityai/stable-diffusion-2-1",
    "unet_model_name": None,
    "unet_model_config_path": "configs/diffusion_model_config.json",
    "snr_gamma": 5.0,
}


@pytest.fixture(scope="module")
def peer():
    return UNet2DConditionModel(**SHAPE).eval()


@pytest.fixture
def folder(peer, tmp_path):
    """A checkpoint as the public ones are laid out."""
    state = {f"unet.{name}": value for name, value in peer.state_dict().items()}
    state["text_encoder.shared.weight"] = torch.ones(4, 24)
    torch.save(state, tmp_path / "pytorch_model_main.bin")
    (tmp_path / "main_config.json").write_text(json.dumps(MAIN))
    return tmp_path


def fill(config, unet):
    network = LatentUnet(config).eval()
    network.load_state_dict({**unet, "null": torch.ones(1, 24)})
    return network


def given(states, mask):
    return Conditions(TextStates(states, mask, states.sum(1)))


@pytest.fixture
def inputs():
    stream = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 8, 9, 4, generator=stream)
    states = torch.randn(2, 5, 24, generator=stream)
    mask = torch.arange(5) < torch.tensor([5, 2])[:, None]
    return latents, torch.tensor([1, 900]), states, mask


@pytest.mark.parametrize("shape_beside", [True, False])
def test_a_checkpoint_comes_in_and_goes_out_exactly(peer, folder, inputs, shape_beside):
    if shape_beside:
        (folder / "diffusion_model_config.json").write_text(json.dumps(SHAPE))
    files = read_tango(folder)
    assert files.text_encoder_name == "google/flan-t5-large"
    assert list(files.text_encoder) == ["shared.weight"]
    assert files.config.process == NoiseConfig()
    network = fill(files.config, files.unet)
    latents, times, states, mask = inputs
    with torch.no_grad():
        expected = peer(latents, times, states, encoder_attention_mask=mask).sample
        torch.testing.assert_close(
            network(latents, times, given(states, mask)), expected, atol=1e-5, rtol=1e-5
        )
    out = to_tango(network.state_dict(), files.config)
    assert out.keys() == files.unet.keys()
    assert all(torch.equal(out[name], value) for name, value in files.unet.items())


def test_safetensors_are_read_too(folder):
    state = torch.load(folder / "pytorch_model_main.bin")
    save_file(state, folder / "pytorch_model_main.safetensors")
    (folder / "pytorch_model_main.bin").unlink()
    assert read_tango(folder).unet.keys() == {n for n in state if n.startswith("unet.")}


def test_the_shape_is_read_off_the_weights(peer):
    state = {f"unet.{name}": value for name, value in peer.state_dict().items()}
    assert config_from_tango(state) == config_from_diffusers(SHAPE)
    with pytest.raises(CheckpointError, match="no tensor"):
        config_from_tango({})


def test_diffusers_loads_what_is_written(folder, inputs, tmp_path):
    files = read_tango(folder)
    network = fill(files.config, files.unet)
    out = tmp_path / "out"
    write_diffusers(network.state_dict(), files.config, out)
    loaded = UNet2DConditionModel.from_pretrained(out, subfolder="unet").eval()
    latents, times, states, mask = inputs
    with torch.no_grad():
        theirs = loaded(latents, times, states, encoder_attention_mask=mask).sample
        torch.testing.assert_close(
            theirs, network(latents, times, given(states, mask)), atol=1e-5, rtol=1e-5
        )
    written = {f"unet.{name}": value for name, value in loaded.state_dict().items()}
    assert all(torch.equal(written[name], value) for name, value in files.unet.items())
    scheduler = DDPMScheduler.from_pretrained(out, subfolder="scheduler")
    bars = NoiseProcess(NoiseConfig()).alphas_bar
    torch.testing.assert_close(scheduler.alphas_cumprod, bars.float())
    assert scheduler.config.prediction_type == "v_prediction"
    assert torch.equal(load_file(out / "null.safetensors")["null"], torch.ones(1, 24))
    assert config_from_diffusers(loaded.config) == files.config


def test_what_has_no_counterpart_there_stays(make_unet, tmp_path):
    projecting, flow = make_unet(), make_unet(cross_width=12, process={"kind": "flow"})
    for network, message in ((projecting, "projects its text"), (flow, "trained by flow")):
        with pytest.raises(UserError, match=message):
            write_diffusers(network.state_dict(), network.config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freq_shift": 1}, "freq_shift = 1"),
        ({"use_linear_projection": False}, "use_linear_projection"),
        ({"up_block_types": ["UpBlock2D"] * 3}, "blocks are"),
        ({"out_channels": 4}, "writes 4"),
        ({"attention_head_dim": [1, 2]}, "same number"),
    ],
)
def test_another_unet_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        config_from_diffusers({**SHAPE, **change})


def test_another_checkpoint_is_refused(folder):
    path = folder / "pytorch_model_main.bin"
    state = torch.load(path)
    torch.save({**state, "beat_embedding.weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="weights of beat_embedding"):
        read_tango(folder)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="no dictionary of tensors"):
        read_tango(folder)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="damaged"):
        read_tango(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="does not exist"):
        read_tango(folder)
    path.with_suffix(".safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="no safetensors"):
        read_tango(folder)


def test_the_default_configuration_is_tangos():
    shape = {
        **SHAPE,
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    }
    assert config_from_diffusers(shape) == UnetConfig(null="fixed")
