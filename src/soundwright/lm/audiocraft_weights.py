"""AudioCraft's language models: their weights and configuration, in.

| here                             | in the state dictionary of an `LMModel`                   |
|----------------------------------|-----------------------------------------------------------|
| embedding (codebooks stacked)    | emb.q                                                     |
| heads (codebooks stacked)        | linears.q                                                 |
| blocks.l                         | transformer.layers.l                                      |
| .self_attention.qkv, .out        | .self_attn.in_proj_weight, .out_proj                      |
| .cross_attention.query           | .cross_attention.in_proj_weight, first third of the rows  |
| .cross_attention.key_value       | .cross_attention.in_proj_weight, the rest                 |
| .ffn_in, .ffn_out                | .linear1, .linear2                                        |
| .self_, .cross_, .ffn_norm       | .norm1, .norm_cross, .norm2                               |
| out_norm                         | out_norm                                                  |
| text_projection                  | condition_provider.conditioners.description.output_proj   |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor

from soundwright.core.errors import CheckpointError
from soundwright.lm.assembly import Assembled, Piece, refuse_leftovers
from soundwright.lm.model import LmConfig

TEXT_PROJECTION = "condition_provider.conditioners.description.output_proj"

_BLOCK: Mapping[str, tuple[Piece, ...]] = MappingProxyType(
    {
        "self_attention.qkv.weight": (Piece("self_attn.in_proj_weight"),),
        "self_attention.out.weight": (Piece("self_attn.out_proj.weight"),),
        "cross_attention.query.weight": (Piece("cross_attention.in_proj_weight", 0, 3),),
        "cross_attention.key_value.weight": (
            Piece("cross_attention.in_proj_weight", 1, 3),
            Piece("cross_attention.in_proj_weight", 2, 3),
        ),
        "cross_attention.out.weight": (Piece("cross_attention.out_proj.weight"),),
        "ffn_in.weight": (Piece("linear1.weight"),),
        "ffn_out.weight": (Piece("linear2.weight"),),
        "self_norm.weight": (Piece("norm1.weight"),),
        "self_norm.bias": (Piece("norm1.bias"),),
        "cross_norm.weight": (Piece("norm_cross.weight"),),
        "cross_norm.bias": (Piece("norm_cross.bias"),),
        "ffn_norm.weight": (Piece("norm2.weight"),),
        "ffn_norm.bias": (Piece("norm2.bias"),),
    }
)

_TRANSFORMER: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "norm_first": (True, False),
        "bias_ff": (False, True),
        "bias_attn": (False, True),
        "bias_proj": (False, True),
        "activation": ("gelu", "relu"),
        "norm": ("layer_norm", "layer_norm"),
        "positional_embedding": ("sin", "sin"),
        "positional_scale": (1, 1),
        "max_period": (10_000, 10_000),
        "causal": (True, False),
        "past_context": (None, None),
        "layer_scale": (None, None),
        "qk_layer_norm": (False, False),
        "qk_layer_norm_cross": (False, False),
        "kv_repeat": (1, 1),
    }
)
"""Keys of `transformer_lm`: the value that the network here has, and AudioCraft's default."""


def from_audiocraft(state: Mapping[str, Tensor], config: LmConfig) -> Mapping[str, Tensor]:
    """Translate AudioCraft's weights to `AudioLm`'s, each when it is asked for.

    Args:
        state: `best_state` of an exported checkpoint.
        config: The shape, from `config_from_audiocraft`.

    Raises:
        CheckpointError: Weights are missing or left over.
    """
    pieces = _pieces(config)
    if "transformer.layers.0.self_attn.mha.in_proj_weight" in state:
        # Trained without memory-efficient attention, torch's own module holds the projections.
        pieces = {name: tuple(map(_in_torchs_module, parts)) for name, parts in pieces.items()}
    refuse_leftovers(state, pieces)
    return Assembled(state, pieces, origin="AudioCraft weights")


def config_from_audiocraft(values: Mapping[str, Any], text_width: int) -> LmConfig:
    """The shape that an experiment's configuration describes.

    Args:
        values: `xp.cfg` of a checkpoint, interpolations resolved.
        text_width: Width of the text encoder: what `TEXT_PROJECTION` reads.

    Raises:
        CheckpointError: The model is of another architecture, or it is conditioned by more than
            a text.
    """
    if values.get("lm_model") != "transformer_lm":
        raise CheckpointError(
            f"The checkpoint's lm_model is {values.get('lm_model')!r}.",
            expected="transformer_lm, as MusicGen and AudioGen have it (no MAGNeT, no JASCO)",
        )
    transformer = _section(values, "transformer_lm")
    for key, (wanted, default) in _TRANSFORMER.items():
        found = transformer.get(key, default)
        if found != wanted:
            raise CheckpointError(
                f"The checkpoint has transformer_lm.{key} = {found!r}.", expected=repr(wanted)
            )
    _check_conditions(values)
    absent = sorted({"dim", "num_layers", "num_heads", "n_q", "card"} - transformer.keys())
    if absent:
        raise CheckpointError(f"The checkpoint's xp.cfg has no transformer_lm.{absent[0]}.")
    scale = transformer.get("hidden_scale", 4)
    if scale != int(scale):
        raise CheckpointError(
            f"The checkpoint has transformer_lm.hidden_scale = {scale}.", expected="a whole number"
        )
    shape = {
        "dim": transformer["dim"],
        "layers": transformer["num_layers"],
        "heads": transformer["num_heads"],
        "ffn_multiple": int(scale),
        "codebooks": transformer["n_q"],
        "codebook_size": transformer["card"],
        "text_width": text_width,
        "pattern": _read_pattern(values, transformer),
        "dropout": transformer.get("dropout", 0.0),
    }
    return LmConfig.read(shape, origin="the checkpoint's xp.cfg")


def _pieces(config: LmConfig) -> dict[str, tuple[Piece, ...]]:
    books = range(config.codebooks)
    pieces = {
        "embedding.weight": tuple(Piece(f"emb.{q}.weight") for q in books),
        "heads.weight": tuple(Piece(f"linears.{q}.weight") for q in books),
        "out_norm.weight": (Piece("out_norm.weight"),),
        "out_norm.bias": (Piece("out_norm.bias"),),
        "text_projection.weight": (Piece(f"{TEXT_PROJECTION}.weight"),),
        "text_projection.bias": (Piece(f"{TEXT_PROJECTION}.bias"),),
    }
    for number in range(config.layers):
        for ours, theirs in _BLOCK.items():
            pieces[f"blocks.{number}.{ours}"] = tuple(
                piece._replace(name=f"transformer.layers.{number}.{piece.name}") for piece in theirs
            )
    return pieces


def _in_torchs_module(piece: Piece) -> Piece:
    name = piece.name.replace("self_attn.", "self_attn.mha.")
    return piece._replace(name=name.replace("cross_attention.", "cross_attention.mha."))


def _section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = values.get(key)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"The checkpoint's xp.cfg has no section {key!r}.")
    return section


def _check_conditions(values: Mapping[str, Any]) -> None:
    """Refuse what is conditioned by a melody, a style, chords, or by a text in another way."""
    conditioners = {name for name in _section(values, "conditioners") if name != "args"}
    if conditioners != {"description"}:
        raise CheckpointError(
            f"The checkpoint is conditioned by {', '.join(sorted(conditioners)) or 'nothing'}.",
            expected="description alone: a text. Melody and style models are not supported.",
        )
    fuser = _section(values, "fuser")
    others = [key for key in ("sum", "prepend", "input_interpolate", "ignore") if fuser.get(key)]
    if list(fuser.get("cross") or []) != ["description"] or others:
        raise CheckpointError(
            "The checkpoint does not read its text by cross-attention alone.",
            expected="fuser.cross: [description], and nothing else in fuser",
        )
    if fuser.get("cross_attention_pos_emb"):
        raise CheckpointError("The checkpoint adds positions to the text, which none here does.")


def _read_pattern(values: Mapping[str, Any], transformer: Mapping[str, Any]) -> str:
    pattern = _section(values, "codebooks_pattern")
    name = pattern.get("modeling") or transformer.get("q_modeling")
    if name == "parallel":
        return "parallel"
    options = pattern.get("delay") or {}
    books = range(transformer["n_q"])
    delays = list(options.get("delays") or books)
    plain = (
        name == "delay" and not options.get("flatten_first") and not options.get("empty_initial")
    )
    if plain and delays == list(books):
        return "delay"
    if plain and delays == [q // 2 for q in books]:
        return "stereo-delay"
    raise CheckpointError(
        f"The checkpoint lays its codebooks out as {name!r} with delays {delays}.",
        expected="parallel, or delays 0, 1, 2 ... (in stereo 0, 0, 1, 1 ...)",
    )
