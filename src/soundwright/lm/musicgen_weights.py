"""MusicGen's and AudioGen's weights, as transformers names them, in and out.

| here                             | in MusicgenForConditionalGeneration            |
|----------------------------------|------------------------------------------------|
| embedding (codebooks stacked)    | decoder.model.decoder.embed_tokens.q           |
| heads (codebooks stacked)        | decoder.lm_heads.q                             |
| blocks.l                         | decoder.model.decoder.layers.l                 |
| .self_attention.qkv, .out        | .self_attn.{q,k,v,out}_proj                    |
| .cross_attention.query, .key_... | .encoder_attn.{q,k,v,out}_proj                 |
| .ffn_in, .ffn_out                | .fc1, .fc2                                     |
| .self_, .cross_, .ffn_norm       | .self_attn_, .encoder_attn_, .final_layer_norm |
| out_norm                         | decoder.model.decoder.layer_norm               |
| text_projection                  | enc_to_dec_proj                                |

`MusicgenForCausalLM` has the same names without the leading "decoder.", and no enc_to_dec_proj.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from soundwright.core.errors import CheckpointError, UserError
from soundwright.lm.assembly import Assembled, Piece, refuse_leftovers
from soundwright.lm.model import LmConfig

_DECODER = "decoder.model.decoder."
_OWN = ("decoder.model", "decoder.lm_heads", "enc_to_dec_proj")
_IGNORED = ("embed_positions.weights",)
"""Computed, not learned; older versions of transformers stored them."""

_BLOCK = {
    "self_attention.qkv.weight": (
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
    ),
    "self_attention.out.weight": ("self_attn.out_proj.weight",),
    "cross_attention.query.weight": ("encoder_attn.q_proj.weight",),
    "cross_attention.key_value.weight": (
        "encoder_attn.k_proj.weight",
        "encoder_attn.v_proj.weight",
    ),
    "cross_attention.out.weight": ("encoder_attn.out_proj.weight",),
    "ffn_in.weight": ("fc1.weight",),
    "ffn_out.weight": ("fc2.weight",),
    "self_norm.weight": ("self_attn_layer_norm.weight",),
    "self_norm.bias": ("self_attn_layer_norm.bias",),
    "cross_norm.weight": ("encoder_attn_layer_norm.weight",),
    "cross_norm.bias": ("encoder_attn_layer_norm.bias",),
    "ffn_norm.weight": ("final_layer_norm.weight",),
    "ffn_norm.bias": ("final_layer_norm.bias",),
}
"""A weight of a block here, and the weights of a layer there that are stacked to make it."""


def from_musicgen(state: Mapping[str, Tensor], config: LmConfig) -> Mapping[str, Tensor]:
    """Translate transformers' weights to `AudioLm`'s, each when it is asked for.

    Args:
        state: Weights of a MusicgenForConditionalGeneration or a MusicgenForCausalLM; those of
            text encoder and codec are ignored. transformers makes no projection where text
            encoder and decoder are equally wide: the identity stands for it here.
        config: The shape, from `config_from_musicgen`.

    Raises:
        CheckpointError: Weights are missing or left over.
    """
    prefix = "" if any(name.startswith(_DECODER) for name in state) else "decoder."
    pieces = {
        ours: tuple(Piece(name.removeprefix(prefix)) for name in theirs)
        for ours, theirs in _names(config).items()
    }
    constants: dict[str, Tensor] = {}
    if "enc_to_dec_proj.weight" not in state:
        constants = _identity_projection(config)
        pieces = {name: parts for name, parts in pieces.items() if name not in constants}
    own = tuple(f"{part}.".removeprefix(prefix) for part in _OWN)
    refuse_leftovers((name for name in state if name.startswith(own)), pieces, _IGNORED)
    return Assembled(state, pieces, constants=constants, origin="MusicGen weights")


def to_musicgen(state: Mapping[str, Tensor], config: LmConfig) -> Mapping[str, Tensor]:
    """Translate `AudioLm`'s weights to those of MusicgenForConditionalGeneration's own part.

    Raises:
        UserError: The text encoder is as wide as the model and its projection is no identity:
            transformers has no place for it then.
    """
    projected = config.text_width != config.dim
    if not projected and not _projects_nothing(state):
        raise UserError(
            f"transformers' MusicGen has no text projection where both widths are {config.dim}.",
            change="Train with a text encoder of another width, such as t5-base (768).",
        )
    pieces = {
        name: (Piece(ours, part, len(theirs)),)
        for ours, theirs in _names(config).items()
        for part, name in enumerate(theirs)
        if projected or not ours.startswith("text_projection")
    }
    return Assembled(state, pieces, origin="model's weights")


def config_from_musicgen(decoder: Mapping[str, Any], text_width: int) -> LmConfig:
    """The shape that a MusicgenDecoderConfig describes.

    Args:
        decoder: Its values, as in `decoder` of a config.json.
        text_width: `d_model` of the text encoder.

    Raises:
        CheckpointError: A variant that has no counterpart here.
    """
    dim, ffn_dim = decoder["hidden_size"], decoder["ffn_dim"]
    if (
        ffn_dim % dim
        or decoder.get("scale_embedding", False)
        or decoder.get("activation_function", "gelu") != "gelu"
        or decoder.get("cross_attention_hidden_size") is not None
    ):
        raise CheckpointError("This MusicGen variant is none that was ever published.")
    dropout = decoder.get("dropout", 0.0)
    # Dropout here is in the feed-forward layer too. Where the two differ there, they are the
    # defaults of transformers, by which no published model was trained: AudioCraft drops nothing.
    dropout = dropout if decoder.get("activation_dropout", dropout) == dropout else 0.0
    return LmConfig.read(
        {
            "dim": dim,
            "layers": decoder["num_hidden_layers"],
            "heads": decoder["num_attention_heads"],
            "ffn_multiple": ffn_dim // dim,
            "codebooks": decoder["num_codebooks"],
            "codebook_size": decoder["vocab_size"],
            "text_width": text_width,
            "pattern": "stereo-delay" if decoder.get("audio_channels", 1) == 2 else "delay",
            "dropout": dropout,
        },
        origin="the MusicGen configuration",
    )


def musicgen_decoder_config(config: LmConfig) -> dict[str, Any]:
    """The values of a MusicgenDecoderConfig for this shape.

    Raises:
        UserError: The pattern is none that transformers can generate with, or the text is
            read in a way that it cannot.
    """
    if config.pattern == "parallel":
        raise UserError("transformers' MusicGen has the delay pattern only, not 'parallel'.")
    if not config.mask_text:
        raise UserError(
            "The model reads text with its padding, as AudioCraft does (mask_text: false); "
            "transformers always leaves padding out.",
            change="Import it again with its texts masked. For one prompt at a time the two are "
            "the same.",
        )
    return {
        "hidden_size": config.dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "ffn_dim": config.dim * config.ffn_multiple,
        "num_codebooks": config.codebooks,
        "vocab_size": config.codebook_size,
        "pad_token_id": config.codebook_size,
        "bos_token_id": config.codebook_size,
        "decoder_start_token_id": config.codebook_size,
        "audio_channels": 2 if config.pattern == "stereo-delay" else 1,
        "activation_function": "gelu",
        "dropout": config.dropout,
        "activation_dropout": config.dropout,
        "attention_dropout": 0.0,
        "layerdrop": 0.0,
        "scale_embedding": False,
    }


def _names(config: LmConfig) -> dict[str, tuple[str, ...]]:
    """Every weight of an `AudioLm`, with the weights there that are stacked to make it."""
    books = range(config.codebooks)
    names = {
        "embedding.weight": tuple(f"{_DECODER}embed_tokens.{q}.weight" for q in books),
        "heads.weight": tuple(f"decoder.lm_heads.{q}.weight" for q in books),
        "out_norm.weight": (f"{_DECODER}layer_norm.weight",),
        "out_norm.bias": (f"{_DECODER}layer_norm.bias",),
        "text_projection.weight": ("enc_to_dec_proj.weight",),
        "text_projection.bias": ("enc_to_dec_proj.bias",),
    }
    for number in range(config.layers):
        for ours, theirs in _BLOCK.items():
            layer = f"{_DECODER}layers.{number}."
            names[f"blocks.{number}.{ours}"] = tuple(layer + name for name in theirs)
    return names


def _identity_projection(config: LmConfig) -> dict[str, Tensor]:
    if config.text_width != config.dim:
        raise CheckpointError(
            f"The MusicGen weights have no projection from {config.text_width} to {config.dim}."
        )
    return {
        "text_projection.weight": torch.eye(config.dim),
        "text_projection.bias": torch.zeros(config.dim),
    }


def _projects_nothing(state: Mapping[str, Tensor]) -> bool:
    weight, bias = state["text_projection.weight"], state["text_projection.bias"]
    identity = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
    return torch.equal(weight, identity) and not bias.any()
