"""Small models of other libraries with random weights, written as those libraries write them.

The names of AudioCraft's tensors are those of its source (models/lm.py, modules/transformer.py,
modules/seanet.py, quantization/core_vq.py), its configuration that of its config/ folder.
"""

import re
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    EncodecConfig,
    EncodecModel,
    GenerationConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
)

WORDS = ["a", "dog", "barks", "twice", "rain", "and", "then", "the", "wind", "in", "trees"]
SIZE, LEVELS, WIDTH, TEXT_WIDTH = 16, 3, 24, 12


def write_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    vocabulary = {word: row for row, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    return fast


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Lively weights, so that every one of them is heard."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            size = 0.3 if weight.dim() > 1 else 0.1
            norm = weight.dim() == 1 and name.endswith("norm.weight")
            weight.copy_(size * torch.randn(weight.shape, generator=stream) + norm)
        for name, buffer in sorted(model.named_buffers()):
            if name.endswith("codebook.embed"):
                buffer.copy_(torch.randn(buffer.shape, generator=stream))
            elif name.endswith("cluster_size"):
                buffer.fill_(3.0)
            elif name.endswith("embed_avg"):
                buffer.copy_(3.0 * model.get_buffer(name.replace("embed_avg", "embed")))


def encodec_config(levels: int = LEVELS, **values) -> EncodecConfig:
    return EncodecConfig(
        **{
            "sampling_rate": 400, "upsampling_ratios": [4, 2], "hidden_size": 8,
            "num_filters": 2, "codebook_size": SIZE, "num_lstm_layers": 1, "pad_mode": "constant",
            "use_causal_conv": False, "use_conv_shortcut": False,
            "target_bandwidths": [levels * 50 * 4 / 1000 + 1e-9], **values,
        }
    )  # fmt: skip


def musicgen_config(*, stereo: bool = False, codec_levels: int = LEVELS, **decoder):
    values = {
        "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
        "ffn_dim": 4 * WIDTH, "num_codebooks": (1 + stereo) * LEVELS, "vocab_size": SIZE,
        "pad_token_id": SIZE, "bos_token_id": SIZE, "audio_channels": 1 + stereo, **decoder,
    }  # fmt: skip
    text = T5Config(
        d_model=TEXT_WIDTH, d_kv=4, d_ff=16, num_layers=2, num_heads=3, vocab_size=3 + len(WORDS)
    )
    return MusicgenConfig(
        text_encoder=text.to_dict(),
        audio_encoder=encodec_config(codec_levels).to_dict(),
        decoder=MusicgenDecoderConfig(**values).to_dict(),
    )


def write_musicgen(folder: Path, *, seed: int = 0, shards: str | None = None, **values):
    """A folder as on the hub; gives the model, in evaluation mode."""
    model = MusicgenForConditionalGeneration(musicgen_config(**values)).eval()
    randomise(model, seed)
    special = model.config.decoder.pad_token_id
    # As on the hub: top_k is not said.
    model.generation_config = GenerationConfig(
        bos_token_id=special, decoder_start_token_id=special, pad_token_id=special,
        do_sample=True, guidance_scale=3.0, max_length=60,
    )  # fmt: skip
    model.save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
    write_tokenizer(folder)
    return model


def write_encodec(folder: Path, **values) -> EncodecModel:
    model = EncodecModel(encodec_config(**values)).eval()
    randomise(model)
    model.save_pretrained(folder)
    return model


def audiocraft_lm(model: MusicgenForConditionalGeneration) -> dict[str, torch.Tensor]:
    """`best_state` of the AudioCraft model with the same weights."""
    theirs = {
        name.removeprefix("decoder.").removeprefix("model.decoder."): weight
        for name, weight in model.state_dict().items()
        if name.startswith("decoder.")
    }
    state: dict[str, torch.Tensor] = {}
    simple = {
        "self_attn.out_proj": "self_attn.out_proj",
        "encoder_attn.out_proj": "cross_attention.out_proj",
        "fc1": "linear1", "fc2": "linear2", "self_attn_layer_norm": "norm1",
        "encoder_attn_layer_norm": "norm_cross", "final_layer_norm": "norm2",
    }  # fmt: skip
    for layer in range(model.config.decoder.num_hidden_layers):
        there, here = f"layers.{layer}.", f"transformer.layers.{layer}."
        for attention, name in (("self_attn", "self_attn"), ("encoder_attn", "cross_attention")):
            parts = [theirs[f"{there}{attention}.{part}_proj.weight"] for part in "qkv"]
            state[f"{here}{name}.in_proj_weight"] = torch.cat(parts)
        for module, name in simple.items():
            for kind in ("weight", "bias"):
                if f"{there}{module}.{kind}" in theirs:
                    state[f"{here}{name}.{kind}"] = theirs[f"{there}{module}.{kind}"]
    for book in range(model.config.decoder.num_codebooks):
        state[f"emb.{book}.weight"] = theirs[f"embed_tokens.{book}.weight"]
        state[f"linears.{book}.weight"] = theirs[f"lm_heads.{book}.weight"]
    for kind in ("weight", "bias"):
        state[f"out_norm.{kind}"] = theirs[f"layer_norm.{kind}"]
        name = f"condition_provider.conditioners.description.output_proj.{kind}"
        state[name] = model.get_parameter(f"enc_to_dec_proj.{kind}")
    return {name: weight.detach().clone() for name, weight in state.items()}


def audiocraft_codec(model: EncodecModel) -> dict[str, torch.Tensor]:
    """`best_state` of the AudioCraft codec with the same weights."""
    state: dict[str, torch.Tensor] = {}
    transposed = {
        f"decoder.layers.{number}."
        for number, layer in enumerate(model.decoder.layers)
        if type(layer).__name__ == "EncodecConvTranspose1d"
    }
    for name, weight in model.state_dict().items():
        kind = "convtr" if any(name.startswith(layer) for layer in transposed) else "conv"
        name = name.replace(".parametrizations.weight.original0", ".weight_g")
        name = name.replace(".parametrizations.weight.original1", ".weight_v")
        name = re.sub(r"\.conv\.(weight_[gv]|weight|bias)$", rf".{kind}.{kind}.\1", name)
        name = re.sub(r"\.norm\.(weight|bias)$", rf".{kind}.norm.\1", name)
        name = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
        name = re.sub(
            r"^quantizer\.layers\.(\d+)\.codebook", r"quantizer.vq.layers.\1._codebook", name
        )
        state[name] = weight.detach().clone()
    return state


def audiocraft_lm_settings(model, *, stereo: bool = False) -> dict:
    """`xp.cfg` of a MusicGen, as far as it says what the model is."""
    decoder = model.config.decoder
    books = decoder.num_codebooks
    return {
        "solver": "musicgen", "sample_rate": 400, "channels": 1 + stereo, "device": "cuda",
        "dora": {"dir": "/checkpoint/${oc.env:USER}/experiments"},
        "lm_model": "transformer_lm",
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {
                "delays": [q // 2 if stereo else q for q in range(books)],
                "flatten_first": 0, "empty_initial": 0,
            },
            "unroll": {"flattening": [0, 1, 2, 3], "delays": [0, 0, 0, 0]},
        },
        "interleave_stereo_codebooks": {"use": stereo, "per_timestep": False},
        "transformer_lm": {
            "dim": decoder.hidden_size, "num_heads": decoder.num_attention_heads,
            "num_layers": decoder.num_hidden_layers, "hidden_scale": 4, "n_q": books,
            "card": decoder.vocab_size, "dropout": 0.0, "emb_lr": None, "activation": "gelu",
            "norm_first": True, "bias_ff": False, "bias_attn": False, "bias_proj": False,
            "past_context": None, "causal": True, "custom": False, "memory_efficient": True,
            "attention_as_float32": False, "layer_scale": None, "positional_embedding": "sin",
            "xpos": False, "checkpointing": "none", "weight_init": "gaussian",
            "depthwise_init": "current", "zero_bias_init": True, "norm": "layer_norm",
            "cross_attention": False, "qk_layer_norm": False, "qk_layer_norm_cross": False,
            "attention_dropout": None, "kv_repeat": 1, "two_step_cfg": False,
        },
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": 3.0},
        "fuser": {
            "cross_attention_pos_emb": False, "cross_attention_pos_emb_scale": 1, "sum": [],
            "prepend": [], "cross": ["description"], "input_interpolate": [],
        },
        "conditioners": {
            "args": {"merge_text_conditions_p": 0.25, "drop_desc_p": 0.5},
            "description": {
                "model": "t5",
                "t5": {
                    "name": "t5-base", "finetune": False, "word_dropout": 0.3,
                    "normalize_text": False,
                },
            },
        },
        "dataset": {"segment_duration": 30},
    }  # fmt: skip


def audiocraft_codec_settings(model: EncodecModel) -> dict:
    """`xp.cfg` of an EnCodec; interpolations are kept, as `OmegaConf.to_yaml` keeps them."""
    config = model.config
    return {
        "solver": "compression", "sample_rate": config.sampling_rate,
        "channels": config.audio_channels, "compression_model": "encodec",
        "encodec": {
            "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": "${sample_rate}",
            "channels": "${channels}", "causal": config.use_causal_conv, "renormalize": False,
        },
        "seanet": {
            "dimension": config.hidden_size, "channels": "${channels}",
            "causal": "${encodec.causal}", "n_filters": config.num_filters,
            "n_residual_layers": config.num_residual_layers,
            "ratios": list(config.upsampling_ratios), "activation": "ELU",
            "activation_params": {"alpha": 1.0}, "norm": config.norm_type, "norm_params": {},
            "kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 7,
            "dilation_base": 2, "pad_mode": config.pad_mode,
            "true_skip": not config.use_conv_shortcut, "compress": 2,
            "lstm": config.num_lstm_layers, "disable_norm_outer_blocks": 0,
            "decoder": {
                "trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None,
            },
            "encoder": {},
        },
        "rvq": {
            "n_q": config.num_quantizers, "q_dropout": False, "bins": config.codebook_size,
            "decay": 0.99, "kmeans_init": True, "kmeans_iters": 50, "threshold_ema_dead_code": 2,
            "orthogonal_reg_weight": 0.0, "orthogonal_reg_active_codes_only": False,
        },
    }  # fmt: skip


def write_export(path: Path, state: dict[str, torch.Tensor], settings: dict) -> None:
    """As audiocraft.utils.export does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    package = {
        "best_state": state,
        "xp.cfg": yaml.safe_dump(settings, sort_keys=False),
        "version": "1.4.0a2",
        "exported": True,
    }
    torch.save(package, path)


def write_audiocraft(folder: Path, model, *, stereo: bool = False, **changes) -> None:
    """An AudioCraft folder with the weights of a transformers' model, in fp16 as published."""
    half = {name: weight.half() for name, weight in audiocraft_lm(model).items()}
    settings = {**audiocraft_lm_settings(model, stereo=stereo), **changes}
    write_export(folder / "state_dict.bin", half, settings)
    codec = model.audio_encoder
    write_export(
        folder / "compression_state_dict.bin",
        audiocraft_codec(codec),
        audiocraft_codec_settings(codec),
    )
