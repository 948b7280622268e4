"""The autoencoder and vocoder of AudioLDM, Tango and Tango 2, by the names of their checkpoints.

| here                                              | in pytorch_model_vae, or first_stage_model.* |
|---------------------------------------------------|----------------------------------------------|
| encoder.down_blocks.I.resnets.J                   | encoder.down.I.block.J                       |
| encoder.down_blocks.I.downsamplers.0.conv         | encoder.down.I.downsample.conv               |
| decoder.up_blocks.I.resnets.J                     | decoder.up.(levels - 1 - I).block.J          |
| decoder.up_blocks.I.upsamplers.0.conv             | decoder.up.(levels - 1 - I).upsample.conv    |
| mid_block.resnets.J                               | mid.block_(J + 1)                            |
| mid_block.attentions.0.to_{q,k,v}, .to_out.0      | mid.attn_1.{q,k,v}, .proj_out, kernels 1 x 1 |
| .attentions.0.group_norm, .conv_norm_out          | .attn_1.norm, .norm_out                      |
| .conv_shortcut                                    | .nin_shortcut                                |
| vocoder upsampler.I                               | vocoder.ups.I                                |

Names here are those of diffusers' AutoencoderKL and transformers' SpeechT5HifiGan, which hold the
weights. AudioLDM's whole checkpoints have first_stage_model. before the names; Tango's file of the
autoencoder has them bare, with the vocoder among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from soundwright.codecs.hifigan import HifiGan, HifiGanConfig, join_weight_norm
from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.core.errors import CheckpointError

_STAGE = "first_stage_model."
_VOCODER = "vocoder."
_NETWORK = "network."
_VAE_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_ATTENTION = re.compile(r"mid_block\.attentions\.0\.to_(?:q|k|v|out\.0)\.weight$")

_FROM = (
    (r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets."),
    (r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"^decoder\.up\.(\d+)\.block\.", r"decoder.up_blocks.\1.resnets."),
    (r"^decoder\.up\.(\d+)\.upsample\.", r"decoder.up_blocks.\1.upsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"^(encoder|decoder)\.norm_out\.", r"\1.conv_norm_out."),
)
_TO = (
    (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block."),
    (r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
    (r"^decoder\.up_blocks\.(\d+)\.resnets\.", r"decoder.up.\1.block."),
    (r"^decoder\.up_blocks\.(\d+)\.upsamplers\.0\.", r"decoder.up.\1.upsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"^(encoder|decoder)\.conv_norm_out\.", r"\1.norm_out."),
)


class AudioLdmWeights(NamedTuple):
    """What `from_audioldm` found, each as a state dictionary of its module here."""

    vae: dict[str, Tensor]
    """Of `MelVae`."""
    vocoder: dict[str, Tensor]
    """Of `HifiGan`."""


def from_audioldm(
    state: Mapping[str, Tensor], vae: MelVaeConfig, vocoder: HifiGanConfig
) -> AudioLdmWeights:
    """Translate a checkpoint of AudioLDM or Tango, bare or with first_stage_model. before names.

    Names of a whole checkpoint that are neither autoencoder nor vocoder are passed over. A vocoder
    with weight norm is freed of it.

    Args:
        state: The checkpoint's tensors by name.
        vae: The shape that the autoencoder is to have.
        vocoder: The shape that the vocoder is to have.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    whole = any(name.startswith(_STAGE) for name in state)
    stage = {name.removeprefix(_STAGE): value for name, value in state.items()}
    if whole:
        stage = {name: stage[name] for name in stage if _STAGE + name in state}
    levels = len(vae.widths)
    found_vae = {
        _NETWORK + ours: value.flatten(1) if _ATTENTION.search(ours) else value
        for name, value in stage.items()
        if name.startswith(_VAE_PARTS)
        for ours in [_flip_ups(_rename(name, _FROM), levels)]
    }
    found_vocoder = {
        _NETWORK + name.removeprefix(_VOCODER).replace("ups.", "upsampler.", 1): value
        for name, value in _folded(stage).items()
        if name.startswith(_VOCODER)
    }
    with torch.device("meta"):
        shape_vae, shape_vocoder = MelVae(vae).state_dict(), HifiGan(vocoder).state_dict()
    # transformers' own: the normalisation of spectrograms, which is off.
    buffers = {_NETWORK + name: shape_vocoder[_NETWORK + name] for name in ("mean", "scale")}
    for name, like in buffers.items():
        fill = torch.zeros if name.endswith("mean") else torch.ones
        found_vocoder[name] = fill(like.shape)
    _compare(found_vae, shape_vae, "autoencoder")
    _compare(found_vocoder, shape_vocoder, "vocoder")
    return AudioLdmWeights(found_vae, found_vocoder)


def to_audioldm(
    vae: Mapping[str, Tensor], vocoder: Mapping[str, Tensor], levels: int
) -> dict[str, Tensor]:
    """The checkpoint that Tango reads as pytorch_model_vae.

    Args:
        vae: State dictionary of a `MelVae`.
        vocoder: State dictionary of a `HifiGan`.
        levels: Of the autoencoder.
    """
    state = {}
    for ours, value in vae.items():
        name = _flip_ups(ours.removeprefix(_NETWORK), levels)
        kernel = value[..., None, None] if _ATTENTION.search(name) else value
        state[_rename(name, _TO)] = kernel
    for ours, value in vocoder.items():
        name = ours.removeprefix(_NETWORK)
        if name not in ("mean", "scale"):
            state[_VOCODER + name.replace("upsampler.", "ups.", 1)] = value
    return state


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _flip_ups(name: str, levels: int) -> str:
    """Number the decoder's levels from the other end: AudioLDM counts them as the encoder's."""
    return re.sub(
        r"^decoder\.up_blocks\.(\d+)",
        lambda found: f"decoder.up_blocks.{levels - 1 - int(found[1])}",
        name,
    )


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with weight norm's two parts joined."""
    folded = {}
    for name, value in state.items():
        if name.endswith(".weight_g"):
            stem = name.removesuffix("_g")
            folded[stem] = join_weight_norm(value, state[stem + "_v"])
        elif not name.endswith(".weight_v"):
            folded[name] = value
    return folded


def _compare(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise CheckpointError(
            f"The checkpoint's {what} lacks {missing[0]!r}, of {len(missing)} in all.",
            expected="an autoencoder of AudioLDM or Tango with its vocoder",
        )
    if extra:
        raise CheckpointError(
            f"The checkpoint's {what} has {extra[0]!r}, of {len(extra)} in all, for which the "
            "configuration has no place."
        )
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise CheckpointError(
                f"The checkpoint's {what} has {name!r} in the shape {tuple(value.shape)}.",
                expected=f"{tuple(wanted[name].shape)}, by the configuration",
            )
