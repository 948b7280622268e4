"""Decode with MusicGen-small's shape: ours beside transformers', on the same weights, in one run.

    python benchmarks/decoding.py [--threads N] [--frames N] [--rounds N] [--layers N]
        [--device cpu|cuda] [--out FILE]

420 M parameters (24 layers of width 1024, 16 heads, 4 codebooks of 2048, text of width 768),
random weights, one sound with guidance (two rows), greedy. Ours is `lm.decoding.generate` with the
engine that the command line would take; theirs is `MusicgenForConditionalGeneration.generate` with
SDPA and with whichever of its caches is faster, and nothing to do but decode: the text's states are
given, and the codec hands the tokens back. They take turns; figures are medians. The floor of a
precision is one streaming read of as many bytes as a step reads weights, in the same turns.

Tokens are checked in the same run: every token of ours must be the one that transformers' model,
given the tokens before it, finds likeliest, unless its two best logits are within 1e-4.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    EncodecConfig,
    GenerationConfig,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    T5Config,
)
from transformers.modeling_outputs import BaseModelOutput

from soundwright.core.devices import choose_device, supports_bf16
from soundwright.core.errors import UserError
from soundwright.core.protocols import TextStates
from soundwright.core.seeding import torch_stream
from soundwright.lm.decoding import DecodingConfig, generate
from soundwright.lm.engine import stack_rows
from soundwright.lm.engine_choice import choose_engine
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.musicgen_weights import musicgen_decoder_config, to_musicgen
from soundwright.lm.sampling import guide
from soundwright.pipelines.benchmarking import (
    BYTES,
    StandInText,
    describe_machine,
    floor_of,
    time_in_turns,
)

GUIDANCE = 3.0
GREEDY = DecodingConfig(greedy=True, guidance=GUIDANCE, tail="special")
NEAR = 1e-4
REALTIME = 50.0
"""Frames a second of MusicGen's codec."""
TRIAL_FRAMES = 8
CACHES = ("dynamic", "static")


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    transformers.logging.set_verbosity_error()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    config = LmConfig(layers=options.layers)
    lm = draw_model(config)
    text = StandInText(config.text_width).encode([""])
    peers = make_peers(lm, text, device)
    works, made = make_works(lm, peers, text, options.frames, device)
    taken = time_in_turns(works, options.rounds, device)
    seconds = {name: median(values) for name, values in taken.items()}
    tokens = {
        dtype: check_tokens(peers.get(dtype, peers["fp32"]), lm, text, made[f"ours {dtype}"])
        for dtype in BYTES
        if f"ours {dtype}" in made
    }
    same = torch.equal(made["ours fp32"].cpu(), made["theirs fp32"].cpu())
    tokens["fp32"]["whole_sequences_equal"] = same
    steps = options.frames + lm.pattern.lag
    results = {
        "machine": {**describe_machine(device), "transformers": transformers.__version__},
        "parameters": sum(value.numel() for value in lm.parameters()),
        "frames": options.frames,
        "rounds": options.rounds,
        "step_ms": {name: 1e3 * value / steps for name, value in seconds.items()}
        | {name: 1e3 * value for name, value in seconds.items() if "floor" in name},
        "ratios": list_ratios(seconds, steps),
        "frames_per_s": {
            name: options.frames / value for name, value in seconds.items() if "floor" not in name
        },
        "tokens": tokens,
        "seconds": taken,
    }
    report(results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")
    if tokens["fp32"]["wrong"]:
        sys.exit("Tokens differ from those of transformers.")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--frames", type=int, default=100, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, after one to warm up")
    parser.add_argument("--layers", type=int, default=24, help="fewer for a quick look")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def draw_model(config: LmConfig) -> AudioLm:
    """A model with normal weights, which are drawn faster than initial ones."""
    with torch.device("meta"):
        lm = AudioLm(config)
    lm.to_empty(device="cpu")
    stream = torch_stream(0, "bench", "weights")
    with torch.no_grad():
        for weight in lm.parameters():
            deviation = weight.shape[-1] ** -0.5 if weight.dim() == 2 else 0.02
            weight.normal_(0.0, deviation, generator=stream).add_(float(weight.dim() == 1))
    return lm.eval()


def make_peers(
    lm: AudioLm, text: TextStates, device: torch.device
) -> dict[str, MusicgenForConditionalGeneration]:
    """The model of transformers with the same weights, in each precision that the device has."""
    peer = build_peer(lm, T5Config(d_kv=4, d_ff=8, num_layers=1, num_heads=1)).to(device).eval()
    peers = {"fp32": peer}
    if supports_bf16(device):
        peers["bf16"] = copy.deepcopy(peer).to(torch.bfloat16)
    for made in peers.values():
        leave_only_decoding(made, text.states)
    return peers


def build_peer(lm: AudioLm, reader: T5Config) -> MusicgenForConditionalGeneration:
    """A MusicGen of transformers around the tensors of a model, which it shares where it can.

    Args:
        lm: The model.
        reader: The text encoder; its width becomes the model's `text_width`.
    """
    decoder = {**musicgen_decoder_config(lm.config), "dropout": 0.0}
    reader.d_model = lm.config.text_width
    # The smallest codec that fits: it is never run.
    codec = EncodecConfig(num_filters=2, codebook_size=lm.config.codebook_size)
    config = MusicgenConfig(
        text_encoder=reader.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder
    )
    peer = MusicgenForConditionalGeneration(config)
    own = dict(to_musicgen(lm.state_dict(), lm.config))
    left = peer.load_state_dict(own, strict=False, assign=True)
    assert not left.unexpected_keys
    assert all(name.startswith(("text_encoder", "audio_encoder")) for name in left.missing_keys)
    assert peer.decoder.config._attn_implementation == "sdpa"
    return peer


def leave_only_decoding(peer: MusicgenForConditionalGeneration, states: Tensor) -> None:
    """Give a model the text's states [1, S, text_width], and have it give back tokens."""
    states = states.to(peer.device, peer.dtype)
    peer.text_encoder.forward = lambda **_kwargs: BaseModelOutput(last_hidden_state=states)
    peer.audio_encoder.decode = lambda codes, **_kwargs: SimpleNamespace(audio_values=codes)


def make_works(
    lm: AudioLm,
    peers: Mapping[str, MusicgenForConditionalGeneration],
    text: TextStates,
    frames: int,
    device: torch.device,
) -> tuple[dict[str, Callable[[], Any]], dict[str, Tensor]]:
    """What is timed by name, and where each leaves its tokens [1, K, T]."""
    works: dict[str, Callable[[], Any]] = {}
    made: dict[str, Tensor] = {}

    def keep(name: str, work: Callable[[], Tensor]) -> None:
        works[name] = lambda: made.update({name: work()})

    for dtype, peer in peers.items():
        cache = choose_cache(peer, text, device)
        keep(
            f"theirs {dtype}",
            lambda peer=peer, cache=cache: run_peer(peer, text, frames, cache),
        )
    for dtype in BYTES:
        try:
            engine = choose_engine(copy.deepcopy(lm).to(device), dtype)
        except UserError as error:
            print(f"{dtype} is left out: {error}")
            continue
        keep(
            f"ours {dtype}",
            lambda engine=engine: generate(engine, text, frames, [0], GREEDY),
        )
        works[f"floor {dtype}"] = floor_of(lm.config, dtype, device)
    return works, made


def choose_cache(
    peer: MusicgenForConditionalGeneration, text: TextStates, device: torch.device
) -> str:
    """The name of the cache with which transformers is faster here."""
    works = {
        cache: lambda cache=cache: run_peer(peer, text, TRIAL_FRAMES, cache) for cache in CACHES
    }
    taken = time_in_turns(works, 1, device)
    return min(CACHES, key=lambda cache: min(taken[cache]))


@torch.inference_mode()
def run_peer(
    peer: MusicgenForConditionalGeneration, text: TextStates, frames: int, cache: str
) -> Tensor:
    """The loop of transformers itself: tokens [1, K, T]."""
    config, special = peer.decoder.config, peer.decoder.config.vocab_size
    settings = GenerationConfig(
        max_new_tokens=frames + config.num_codebooks - 1,
        do_sample=False,
        guidance_scale=GUIDANCE,
        decoder_start_token_id=special,
        bos_token_id=special,
        pad_token_id=special,
        cache_implementation=None if cache == "dynamic" else cache,
    )
    mask = text.mask.long().to(peer.device)
    return peer.generate(mask, attention_mask=mask, generation_config=settings)[0]


@torch.inference_mode()
def check_tokens(
    peer: MusicgenForConditionalGeneration, lm: AudioLm, text: TextStates, tokens: Tensor
) -> dict[str, Any]:
    """What transformers' model, given the tokens [1, K, T] before it, says of every token.

    Returns:
        How many there are, how many are its likeliest (`equal`), how many are not and lie within
        1e-4 of it (`near`), and how many are `wrong`.
    """
    sequence = lm.pattern.lay_out(tokens.cpu(), lm.special).to(peer.device)
    states, mask = stack_rows(text, None, GUIDANCE)
    logits = peer(
        decoder_input_ids=sequence[..., :-1].repeat(2, 1, 1).flatten(0, 1),
        encoder_outputs=BaseModelOutput(last_hidden_state=states.to(peer.device, peer.dtype)),
        attention_mask=mask.long().to(peer.device),
    ).logits.float()
    logits = guide(*logits.unflatten(0, (2, lm.config.codebooks)), GUIDANCE)
    held = lm.pattern.holds(tokens.shape[-1], sequence.shape[-1], peer.device)[:, 1:]
    targets = sequence[0, :, 1:].clamp_max(lm.special - 1)
    lacking = logits.amax(-1) - logits.gather(-1, targets[..., None])[..., 0]
    lacking = lacking[held]
    equal, near = int((lacking == 0).sum()), int(((lacking > 0) & (lacking <= NEAR)).sum())
    return {
        "count": len(lacking),
        "equal": equal,
        "near": near,
        "wrong": len(lacking) - equal - near,
    }


def list_ratios(seconds: Mapping[str, float], steps: int) -> dict[str, float]:
    """What is asked for: ours to theirs, ours to the floor, ours to real time."""
    ratios: dict[str, float] = {}
    for dtype in BYTES:
        ours, theirs = seconds.get(f"ours {dtype}"), seconds.get(f"theirs {dtype}")
        if ours is None:
            continue
        if theirs is not None:
            ratios[f"{dtype}: times as fast as transformers"] = theirs / ours
            ratios[f"{dtype}: transformers, times the floor"] = (
                theirs / steps / seconds[f"floor {dtype}"]
            )
        ratios[f"{dtype}: ours, times the floor"] = ours / steps / seconds[f"floor {dtype}"]
    return ratios


def report(results: Mapping[str, Any]) -> None:
    """Print what was found."""
    machine = results["machine"]
    print(f"{machine['processor']}, {machine['threads']} threads, {machine['device']}")
    print(f"torch {machine['torch']}, transformers {machine['transformers']}")
    print(f"{results['parameters'] / 1e6:.2f} M parameters, {results['frames']} frames")
    for name, value in results["step_ms"].items():
        rate = results["frames_per_s"].get(name)
        print(f"{name:12} {value:8.2f} ms" + (f" {rate:8.1f} frames/s" if rate else ""))
    for name, value in results["ratios"].items():
        print(f"{name:40} {value:.2f}")
    if "ours int8" in results["frames_per_s"]:
        rate = results["frames_per_s"]["ours int8"]
        print(f"int8: {rate:.1f} frames/s; real time is {REALTIME:.0f}: {rate / REALTIME:.2f}")
    print(json.dumps({"tokens": results["tokens"]}))


if __name__ == "__main__":
    main()
