"""EnCodec's weights and configuration as others write them down.

| `transformers.EncodecModel`              | AudioCraft's `EncodecModel`                         |
|------------------------------------------|-----------------------------------------------------|
| encoder.layers.N, decoder.layers.N       | encoder.model.N, decoder.model.N                    |
| .conv (convolution)                      | .conv.conv, .convtr.convtr                          |
| .norm (time_group_norm)                  | .conv.norm, .convtr.norm                            |
| .block.M.conv, .shortcut.conv            | .block.M.conv.conv, .shortcut.conv.conv             |
| .lstm                                    | .lstm                                               |
| .parametrizations.weight.original0, 1    | .weight_g, .weight_v (older transformers too)       |
| quantizer.layers.K.codebook              | quantizer.vq.layers.K._codebook                     |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor
from transformers import EncodecModel

from soundwright.core.errors import CheckpointError

_LEVEL = re.compile(r"quantizer\.layers\.(\d+)\.")
_COMPUTED = (".stride", ".kernel_size", ".padding_total")
"""Endings of buffers that follow from the configuration; some versions stored them."""

_FROM_AUDIOCRAFT = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.(?:conv|convtr)\.norm\."), ".norm."),
    (re.compile(r"\.(?:conv\.conv|convtr\.convtr)\."), ".conv."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)
_TO_PARAMETRIZATIONS = (
    (re.compile(r"\.weight_g$"), ".parametrizations.weight.original0"),
    (re.compile(r"\.weight_v$"), ".parametrizations.weight.original1"),
)

_SEANET: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {
        "dimension": ("latent_width", 128),
        "n_filters": ("filters", 32),
        "n_residual_layers": ("residual_layers", 3),
        "ratios": ("ratios", (8, 5, 4, 2)),
        "norm": ("norm", "none"),
        "kernel_size": ("kernel", 7),
        "last_kernel_size": ("last_kernel", 7),
        "residual_kernel_size": ("residual_kernel", 3),
        "dilation_base": ("dilation_growth", 2),
        "pad_mode": ("pad_mode", "reflect"),
        "compress": ("compress", 2),
        "lstm": ("lstm_layers", 0),
    }
)
"""Keys of `seanet`: the field of `EncodecCodecConfig`, and the default of AudioCraft's code."""

_FIXED: Mapping[str, Any] = MappingProxyType(
    {
        "activation": "ELU",
        "activation_params": {"alpha": 1.0},
        "norm_params": {},
        "disable_norm_outer_blocks": 0,
        "final_activation": None,
        "final_activation_params": None,
        "trim_right_ratio": 1.0,
    }
)
"""Keys of `seanet`, and of its parts `encoder` and `decoder`, that can have one value only."""


def load_network(model: EncodecModel, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a network that may have fewer levels than they.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    own = model.state_dict()
    levels = len(model.quantizer.layers)
    given: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        level = _LEVEL.match(name)
        if not name.endswith(_COMPUTED) and not (level and int(level[1]) >= levels):
            given[_rename(name, _TO_PARAMETRIZATIONS)] = tensor
    missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing:
        raise CheckpointError(f"The EnCodec weights lack {missing[0]!r}, of {len(missing)} in all.")
    if extra:
        raise CheckpointError(
            f"The EnCodec weights have {extra[0]!r}, of {len(extra)} in all, for which the "
            "configuration has no place."
        )
    for name, tensor in given.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"The EnCodec weight {name!r} has the shape {tuple(tensor.shape)}.",
                expected=f"{tuple(own[name].shape)}, by the configuration",
            )
        own[name].copy_(tensor)


def from_audiocraft(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AudioCraft's `best_state` under the names of transformers' `EncodecModel`."""
    return {_rename(name, _FROM_AUDIOCRAFT): tensor for name, tensor in state.items()}


def read_audiocraft(values: Mapping[str, Any]) -> dict[str, Any]:
    """`xp.cfg` of an exported compression model as values of an `EncodecCodecConfig`.

    Args:
        values: Interpolations resolved.

    Raises:
        CheckpointError: The codec is none that this network can be.
    """
    if values.get("compression_model") != "encodec":
        raise CheckpointError(
            f"The checkpoint's compression_model is {values.get('compression_model')!r}.",
            expected="encodec",
        )
    encodec, seanet, rvq = (_section(values, key) for key in ("encodec", "seanet", "rvq"))
    if encodec.get("quantizer") != "rvq" or encodec.get("autoencoder") != "seanet":
        raise CheckpointError("The checkpoint's codec is no SEANet with residual quantisation.")
    if encodec.get("renormalize"):
        raise CheckpointError(
            "This EnCodec normalises its input; its tokens alone are not the sound.",
            expected="renormalize: false",
        )
    _check_fixed(seanet)
    return {
        "sample_rate": encodec.get("sample_rate"),
        "channels": encodec.get("channels"),
        "causal": bool(encodec.get("causal")),
        "conv_shortcut": not seanet.get("true_skip", True),
        "quantizer": {"codebooks": rvq.get("n_q"), "codebook_size": rvq.get("bins")},
        **{ours: seanet.get(theirs, default) for theirs, (ours, default) in _SEANET.items()},
    }


def _check_fixed(seanet: Mapping[str, Any]) -> None:
    for part in ("encoder", "decoder"):
        # What is said for one part alone would make the two unlike.
        alone = {key: value for key, value in (seanet.get(part) or {}).items() if key not in _FIXED}
        if alone:
            raise CheckpointError(
                f"The checkpoint's codec has seanet.{part}.{next(iter(alone))}.",
                expected="the same network in encoder and decoder",
            )
    for values in (seanet, seanet.get("encoder") or {}, seanet.get("decoder") or {}):
        for key, wanted in _FIXED.items():
            if values.get(key) not in (wanted, None):
                raise CheckpointError(
                    f"The checkpoint's codec has seanet.{key} = {values[key]!r}.",
                    expected=repr(wanted),
                )


def _section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = values.get(key)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"The codec's xp.cfg has no section {key!r}.")
    return section


def _rename(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name
