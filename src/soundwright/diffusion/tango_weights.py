"""Tango's and Tango 2's U-Net, in and out: the public checkpoint's names, and folders of diffusers.

| here          | in pytorch_model_main.bin | in a folder of diffusers             |
|---------------|---------------------------|--------------------------------------|
| unet.x        | unet.x                    | x in diffusion_pytorch_model         |
| null          | none: states of ""        | none                                 |
| (not ours)    | text_encoder.x            |                                      |

The names within the U-Net are those of diffusers 0.18, with which Tango was made, and of today's.
The checkpoint's configuration only names a file of its code's repository that has the U-Net's
shape; where that file does not lie in the folder, the shape is read off the weights. Tango's
upcast_attention has no part: torch's own attention, which both use, keeps sums in fp32 anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.files import read_json, write_bytes, write_json
from soundwright.core.hub import first_line
from soundwright.core.pickles import read_pickle, refuse_pointer
from soundwright.diffusion.noise import NoiseConfig
from soundwright.diffusion.unet import UnetConfig

MAIN_FILE = "pytorch_model_main"
MAIN_CONFIG = "main_config.json"

_HEAD_WIDTH = 64
"""Channels of an attention head in all published models; weights do not tell it."""
_PLAIN: Mapping[str, Any] = {
    "act_fn": "silu",
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "transformer_layers_per_block": 1,
    "use_linear_projection": True,
}
"""Arguments of diffusers' U-Net that have this value here, whatever the configuration."""


class TangoFiles(NamedTuple):
    """What a folder of Tango holds beside codec and vocoder."""

    config: UnetConfig
    unet: dict[str, Tensor]
    """Weights of the U-Net as `LatentUnet` names them; the null is missing."""
    text_encoder: dict[str, Tensor]
    """Weights as transformers' T5EncoderModel names them; empty where there are none."""
    text_encoder_name: str
    """Such as google/flan-t5-large."""


def read_tango(folder: Path) -> TangoFiles:
    """Read the main file and the configuration of a Tango checkpoint; no code in it is run.

    Args:
        folder: With main_config.json and pytorch_model_main.bin or .safetensors.

    Raises:
        CheckpointError: A file is missing or damaged, or the model is of another kind.
    """
    main = read_json(folder / MAIN_CONFIG)
    state = _read_main(folder)
    groups = sorted({name.split(".")[0] for name in state} - {"unet", "text_encoder"})
    if groups:
        raise CheckpointError(
            f"{folder} has weights of {', '.join(groups)}.",
            expected="unet and text_encoder alone: no Mustango, and no U-Net of Stable Diffusion "
            "with adapters around it",
        )
    unet = {name: value for name, value in state.items() if name.startswith("unet.")}
    named = main.get("unet_model_config_path")
    beside = None if not named else folder / Path(named).name
    shape = read_json(beside) if beside is not None and beside.is_file() else None
    return TangoFiles(
        config=config_from_tango(unet) if shape is None else config_from_diffusers(shape),
        unet=unet,
        text_encoder={
            name.removeprefix("text_encoder."): value
            for name, value in state.items()
            if name.startswith("text_encoder.")
        },
        text_encoder_name=main.get("text_encoder_name", "google/flan-t5-large"),
    )


def config_from_diffusers(values: Mapping[str, Any]) -> UnetConfig:
    """The shape that a configuration of diffusers' UNet2DConditionModel says; v-prediction.

    Raises:
        CheckpointError: A U-Net that has no counterpart here.
    """
    for key, wanted in _PLAIN.items():
        if values.get(key, wanted) != wanted:
            raise CheckpointError(
                f"The U-Net has {key} = {values[key]!r}.", expected=f"{wanted!r}, as Tango has it"
            )
    levels = values["down_block_types"]
    widths = values["block_out_channels"]
    heads = values["attention_head_dim"]
    kinds = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
    attention = [kinds.get(kind) for kind in levels]
    mirrored = ["CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(attention)]
    if None in attention or list(values["up_block_types"]) != mirrored:
        raise CheckpointError(
            f"The U-Net's blocks are {', '.join((*levels, *values['up_block_types']))}.",
            expected="CrossAttnDownBlock2D or DownBlock2D, and their counterparts on the way up",
        )
    if values["in_channels"] != values["out_channels"]:
        raise CheckpointError(
            f"The U-Net reads {values['in_channels']} channels and writes "
            f"{values['out_channels']}.",
            expected="as many as latents have, both times",
        )
    return _config(
        {
            "channels": values["in_channels"],
            "widths": widths,
            "attention": attention,
            "heads": [heads] * len(widths) if isinstance(heads, int) else heads,
            "layers": values.get("layers_per_block", 2),
            "groups": values.get("norm_num_groups", 32),
            "cross_width": values["cross_attention_dim"],
        }
    )


def config_from_tango(state: Mapping[str, Tensor]) -> UnetConfig:
    """The shape of a U-Net of Tango by its weights, named unet.*.

    Heads have 64 channels and norms 32 groups, as in all published models.

    Raises:
        CheckpointError: These are not the weights of such a U-Net.
    """
    try:
        widths, attention = [], []
        while (first := f"unet.down_blocks.{len(widths)}.resnets.0.conv1.weight") in state:
            prefix = f"unet.down_blocks.{len(widths)}."
            attention.append(f"{prefix}attentions.0.proj_in.weight" in state)
            widths.append(len(state[first]))
        layers = sum(
            name.startswith("unet.down_blocks.0.resnets.") and name.endswith(".conv1.weight")
            for name in state
        )
        middle = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        cross, channels = state[middle].shape[1], state["unet.conv_in.weight"].shape[1]
    except KeyError as error:
        raise CheckpointError(f"The checkpoint has no tensor {error}.") from error
    return _config(
        {
            "channels": channels,
            "widths": widths,
            "attention": attention,
            "heads": [max(width // _HEAD_WIDTH, 1) for width in widths],
            "layers": layers,
            "cross_width": cross,
        }
    )


def to_tango(state: Mapping[str, Tensor], config: UnetConfig) -> dict[str, Tensor]:
    """The weights that stand in pytorch_model_main under unet.*.

    Raises:
        UserError: The model has parts for which there is no place there.
    """
    _check_exportable(config)
    return {name: value for name, value in state.items() if name.startswith("unet.")}


def write_diffusers(state: Mapping[str, Tensor], config: UnetConfig, folder: Path) -> None:
    """Write what diffusers loads: unet/ and scheduler/, as the folders of its pipelines have them.

    What stands for no text is not among a U-Net's weights there; it is laid beside, in
    null.safetensors, as [S, D].

    Args:
        state: Of a `LatentUnet`.
        config: Its configuration.
        folder: Where to; made if need be.

    Raises:
        UserError: The model has parts for which there is no place there.
    """
    weights = {
        name.removeprefix("unet."): value.contiguous()
        for name, value in to_tango(state, config).items()
    }
    process = config.process
    assert isinstance(process, NoiseConfig)
    unet = {"_class_name": "UNet2DConditionModel", **config.diffusers_config()}
    scheduler = {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": process.steps,
        "beta_start": process.beta_start,
        "beta_end": process.beta_end,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction" if process.prediction == "v" else "epsilon",
        "clip_sample": False,
        "timestep_spacing": "trailing",
    }
    write_json(folder / "unet" / "config.json", unet)
    # diffusers asks for the metadata.
    data = save(weights, metadata={"format": "pt"})
    write_bytes(folder / "unet" / "diffusion_pytorch_model.safetensors", data)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    write_bytes(
        folder / "null.safetensors",
        save({"null": state["null"].contiguous()}, metadata={"format": "pt"}),
    )


def _check_exportable(config: UnetConfig) -> None:
    if config.text_width != config.cross_width:
        raise UserError(
            "The model projects its text, for which a U-Net of diffusers has no place.",
            change=f"Train with unet.cross_width={config.text_width}.",
        )
    if config.vector_width or config.sources:
        raise UserError(
            "The model reads vectors or data sets, for which a U-Net of diffusers has no place.",
            expected="a model that reads texts alone",
        )
    if not isinstance(config.process, NoiseConfig):
        raise UserError(
            "The model was trained by flow, which Tango's layout does not know.",
            expected="a process of noise",
        )


def _config(shape: Mapping[str, Any]) -> UnetConfig:
    values = {**shape, "text_width": shape["cross_width"], "null": "fixed"}
    return UnetConfig.read(values, origin="the checkpoint's U-Net")


def _read_main(folder: Path) -> Mapping[str, Tensor]:
    safe = folder / f"{MAIN_FILE}.safetensors"
    if safe.is_file():
        refuse_pointer(safe)
        try:
            return load_file(safe)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{safe} is damaged, or no safetensors ({first_line(error)}).",
                change="Copy or fetch the file again.",
            ) from error
    state = read_pickle(folder / f"{MAIN_FILE}.bin")
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CheckpointError(f"{folder / MAIN_FILE}.bin is no dictionary of tensors.")
    return state
