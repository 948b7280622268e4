"""A whole checkpoint in Tango's layout, with small random weights, in and out."""

import json

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from foreign_models import WORDS, randomise, write_tokenizer
from safetensors.torch import load_file
from transformers import SpeechT5HifiGan, T5Config, T5EncoderModel

import soundwright
from soundwright.codecs.audioldm_weights import to_audioldm
from soundwright.codecs.hifigan import HifiGan, HifiGanConfig
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.core.errors import CheckpointError, UserError
from soundwright.pipelines.exporting import export_model
from soundwright.pipelines.foreign import ImportOptions
from soundwright.pipelines.importing import import_model
from soundwright.pipelines.models import read_part

WIDTH = 24
SHAPE = {
    "in_channels": 8, "out_channels": 8, "sample_size": [32, 2], "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [32, 32], "attention_head_dim": [1, 1], "cross_attention_dim": WIDTH,
    "norm_num_groups": 32, "use_linear_projection": True, "upcast_attention": True,
}  # fmt: skip
VAE = MelVaeConfig(widths=(32, 32, 32), layers=1)
VAE_CONFIG = {
    "image_key": "fbank",
    "subband": 1,
    "embed_dim": 8,
    "time_shuffle": 1,
    "ddconfig": {
        "double_z": True, "z_channels": 8, "resolution": 256, "downsample_time": False,
        "in_channels": 1, "out_ch": 1, "ch": 32, "ch_mult": [1, 1, 1], "num_res_blocks": 1,
        "attn_resolutions": [], "dropout": 0.0,
    },
    "scale_factor": 0.9227914214134216,
}  # fmt: skip
STFT = {
    "filter_length": 1024, "hop_length": 160, "win_length": 1024, "n_mel_channels": 64,
    "sampling_rate": 16000, "mel_fmin": 0, "mel_fmax": 8000,
}  # fmt: skip


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    shape = T5Config(
        d_model=WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=3, vocab_size=3 + len(WORDS)
    )
    model = T5EncoderModel(shape)
    randomise(model)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def peer():
    torch.manual_seed(1)
    return UNet2DConditionModel(**SHAPE).eval()


@pytest.fixture(scope="module")
def public(peer, text_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("public") / "tango-small"
    folder.mkdir()
    texts = T5EncoderModel.from_pretrained(text_encoder).state_dict()
    main = {f"unet.{name}": value for name, value in peer.state_dict().items()}
    main |= {f"text_encoder.{name}": value.clone() for name, value in texts.items()}
    torch.save(main, folder / "pytorch_model_main.bin")
    vae, vocoder = MelVae(VAE, 2), HifiGan(HifiGanConfig(width=32), 3)
    state = to_audioldm(vae.state_dict(), vocoder.state_dict(), levels=3)
    torch.save(state, folder / "pytorch_model_vae.bin")
    configs = {
        "main_config": {
            "text_encoder_name": "google/flan-t5-large",
            "scheduler_name": "stabilityai/stable-diffusion-2-1",
            "unet_model_config_path": "configs/diffusion_model_config.json",
        },
        "vae_config": VAE_CONFIG,
        "stft_config": STFT,
        "diffusion_model_config": SHAPE,
    }
    for name, values in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


@pytest.fixture(scope="module")
def imported(public, text_encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "model"
    import_model(public, out, options=ImportOptions(text_encoder=text_encoder), licence="MIT")
    return out


def test_a_public_checkpoint_generates(imported):
    model = soundwright.load(imported)
    assert model.defaults.sampler == "ddpm"
    assert (model.defaults.steps, model.defaults.cfg_scale) == (200, 3.0)
    sounds = model.generate(["a dog barks", "rain"], duration=0.3, steps=2, seed=4)
    assert sounds[0].samples.shape == (1, 4800)
    again = model.generate("rain", duration=0.3, steps=2, seed=5)[0]
    torch.testing.assert_close(again.samples, sounds[1].samples, rtol=0, atol=1e-4)


def test_no_text_is_the_empty_text_as_the_encoder_reads_it(imported, text_encoder):
    encoder = T5EncoderModel.from_pretrained(text_encoder).eval()
    with torch.no_grad():
        expected = encoder(torch.tensor([[1]])).last_hidden_state[0]
    torch.testing.assert_close(read_part(imported, "unet")["null"], expected)


def test_the_export_is_what_diffusers_and_transformers_load(imported, peer, tmp_path):
    out = tmp_path / "out"
    export_model(imported, out)
    unet = UNet2DConditionModel.from_pretrained(out, subfolder="unet")
    for name, value in peer.state_dict().items():
        assert torch.equal(unet.state_dict()[name], value), name
    vae = AutoencoderKL.from_pretrained(out, subfolder="vae")
    own = MelVae(VAE, 2).network.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in vae.state_dict().items())
    assert vae.config.scaling_factor == VAE_CONFIG["scale_factor"]
    vocoder = SpeechT5HifiGan.from_pretrained(out, subfolder="vocoder")
    assert vocoder.config.upsample_rates == [5, 4, 2, 2, 2]
    scheduler = DDPMScheduler.from_pretrained(out, subfolder="scheduler")
    assert scheduler.config.prediction_type == "v_prediction"
    texts = T5EncoderModel.from_pretrained(out, subfolder="text_encoder")
    assert texts.config.d_model == WIDTH


def test_an_export_in_half_precision_is_read_as_such(imported, tmp_path):
    export_model(imported, tmp_path / "half", storage="fp16")
    stored = load_file(tmp_path / "half" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert UNet2DConditionModel.from_pretrained(tmp_path / "half", subfolder="unet")


def test_options_for_other_models_and_formats_are_refused(public, imported, tmp_path):
    with pytest.raises(UserError, match="--codebooks is for language models"):
        import_model(public, tmp_path / "x", options=ImportOptions(codebooks=2))
    with pytest.raises(UserError, match="cannot be read by transformers"):
        export_model(imported, tmp_path / "y", to="transformers")
    assert not (tmp_path / "x").exists()


def test_another_autoencoder_is_refused(public, text_encoder, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    for path in public.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    values = {**VAE_CONFIG, "ddconfig": {**VAE_CONFIG["ddconfig"], "attn_resolutions": [16]}}
    (folder / "vae_config.json").write_text(json.dumps(values))
    options = ImportOptions(text_encoder=text_encoder)
    with pytest.raises(CheckpointError, match="attn_resolutions"):
        import_model(folder, tmp_path / "x", options=options)
    (folder / "vae_config.json").write_text(json.dumps(VAE_CONFIG))
    (folder / "pytorch_model_vae.bin").write_bytes(b"no pickle")
    with pytest.raises(CheckpointError, match="pytorch_model_vae"):
        import_model(folder, tmp_path / "x", options=options)
