"""What RR has to work with, and what it does: layer, pooling, gradients, size of the batch.

    python benchmarks/rr_representations.py --sweep DIR [--rows NAME ...] [--out FILE]

For the models of a sweep (`soundwright sweep run`) on its held-out clips, without text, as in the
steps that RR trains: the mean of A and its correlation with T at every layer under both poolings,
before and after training; how much of L_rr is no more than the distance between the two means; the
largest share of the maxima of max pooling that one position holds. And for the gradients of a
finished model on training batches: how long lambda times RR's is beside cross-entropy's, the cosine
between them, and how well RR's gradients of different batches agree, at three sizes of batch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundwright.core.progress import Meter
from soundwright.core.protocols import TextEncoder, TokenBatch
from soundwright.data.frame_segments import TokenSegments
from soundwright.data.store import TokenStore
from soundwright.evaluation.sweeps.plan import check_rows, plan_runs
from soundwright.evaluation.sweeps.running import held_out_clips, read_claim
from soundwright.lm.model import AudioLm, LmOutput
from soundwright.lm.objective import masked_cross_entropy
from soundwright.lm.representations import caption_identities, pooled_positions, represent
from soundwright.lm.similarity import RrConfig, RrReport, regularize
from soundwright.pipelines.lm_recipe import LmRecipe
from soundwright.pipelines.models import find_model, read_record
from soundwright.pipelines.parts import load_lm
from soundwright.text.encoders import load_text_encoder

POOLINGS = ("max", "mean")
SIZES = (8, 16, 48)
BATCHES = 8
WEIGHT = 3.0


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    sweep = read_claim(options.sweep)
    recipe = check_rows(sweep)
    encoder = load_text_encoder(recipe.text.encoder)
    store = TokenStore(options.sweep / "tokens")
    held_out = held_out_clips(sweep, recipe, options.sweep)
    wanted = options.rows or [row.name for row in sweep.rows]
    runs = [run for run in plan_runs(sweep) if run.row.name in wanted]
    results: dict[str, Any] = {"untrained": [], "trained": {}, "gradients": {}}
    still = list(batches_of(store, recipe, held_out.clips, recipe.segments.batch, BATCHES))
    with Meter("models", len(runs)) as meter:
        for run in runs:
            folder = options.sweep / "runs" / run.place / "model"
            if folder.is_dir():
                path = find_model(folder)
                lm = load_lm(read_record(path), path)
                described = describe_layers(lm, encoder, still)
                results["trained"].setdefault(run.row.name, []).append(described)
                if run.seed == sweep.seeds[0]:
                    results["gradients"][run.row.name] = describe_gradients(
                        lm, encoder, store, recipe
                    )
                if run.row.name == sweep.baseline:
                    fresh = AudioLm(recipe.lm, seed=run.seed)
                    results["untrained"].append(describe_layers(fresh.eval(), encoder, still))
            meter.advance()
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", type=Path, required=True, help="folder of `sweep run`")
    parser.add_argument("--rows", nargs="*", help="only these rows")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def batches_of(
    store: TokenStore, recipe: LmRecipe, clips: Sequence[Any], size: int, count: int
) -> Iterator[TokenBatch]:
    """`count` batches of `size` clips, in a fixed order."""
    config = recipe.segments.model_copy(update={"batch": size, "shuffle": False, "crop": "start"})
    segments = TokenSegments(store, config, seed=0, clips=clips)
    return (segments[number] for number in range(count))


def run_without_text(
    lm: AudioLm, encoder: TextEncoder, batch: TokenBatch, layer: int | None
) -> tuple[LmOutput, Any, Any]:
    """The model's output with the text hidden, the sequence, and the text."""
    sequence = lm.pattern.for_training(batch.tokens, batch.mask, lm.special)
    text = encoder.encode(batch.texts)
    output = lm(sequence.inputs, text.states, text.mask, drop_text=True, hidden_layer=layer)
    return output, sequence, text


def report_of(batch: TokenBatch, hidden: Tensor, text: Any, config: RrConfig) -> RrReport:
    """Equations 3-5 of one batch."""
    captions = caption_identities(batch.texts, hidden.device)
    return regularize(
        represent(text.states, text.mask, hidden, batch.mask, captions, config), config
    )


@torch.no_grad()
def describe_layers(
    lm: AudioLm, encoder: TextEncoder, batches: Sequence[TokenBatch]
) -> dict[str, dict[str, float]]:
    """Means over batches, by layer and pooling; the last layer is the output of the norm."""
    found: dict[str, dict[str, float]] = {}
    for layer in (*range(lm.config.layers), None):
        runs = [(batch, *run_without_text(lm, encoder, batch, layer)) for batch in batches]
        for pooling in POOLINGS:
            config = RrConfig(layer=layer, pooling=pooling)
            reports = [report_of(batch, out.hidden, text, config) for batch, out, _, text in runs]
            loss, T, A = (
                np.array([float(getattr(one, name)) for one in reports])
                for name in ("loss", "text_mean", "audio_mean")
            )
            name = f"{'norm' if layer is None else layer}/{pooling}"
            found[name] = {
                "mean_T": round(float(T.mean()), 4),
                "mean_A": round(float(A.mean()), 4),
                "correlation": round(float(np.mean([float(r.correlation) for r in reports])), 4),
                "L_rr": round(float(loss.mean()), 5),
                "offset_share": round(float(((T - A) ** 2 / loss).mean()), 4),
            }
            if pooling == "max":
                shares = [top_position(batch, out.hidden) for batch, out, _, _ in runs]
                found[name]["most_maxima_in_one_position"] = round(float(np.mean(shares)), 4)
    return found


def top_position(batch: TokenBatch, hidden: Tensor) -> float:
    """The largest share of a sound's D maxima that stand at one position, mean over the batch."""
    positions = pooled_positions(batch.mask, "targets")
    where = hidden.masked_fill(~positions[..., None], -torch.inf).argmax(dim=1)
    counts = torch.stack([torch.bincount(row, minlength=hidden.shape[1]) for row in where])
    return (counts.amax(dim=1) / hidden.shape[2]).mean().item()


def describe_gradients(
    lm: AudioLm, encoder: TextEncoder, store: TokenStore, recipe: LmRecipe
) -> dict[str, dict[str, float]]:
    """Cross-entropy's and RR's gradients over all weights, by size of the batch."""
    clips = [clip for clip in store.manifest.clips if clip.split != "validation"]
    found = {}
    for size in SIZES:
        ce, rr = [], []
        for batch in batches_of(store, recipe, clips, size, BATCHES):
            output, sequence, text = run_without_text(lm, encoder, batch, None)
            entropy = masked_cross_entropy(output.logits, sequence.targets, sequence.mask).loss
            ce.append(gradient_of(entropy, lm))
            rr.append(
                WEIGHT * gradient_of(report_of(batch, output.hidden, text, RrConfig()).loss, lm)
            )
        found[str(size)] = {
            "rr_to_ce_length": round(
                float(np.mean([float(r.norm() / c.norm()) for r, c in zip(rr, ce, strict=True)])), 4
            ),
            "cosine_rr_ce": round(mean_cosine(zip(rr, ce, strict=True)), 4),
            "cosine_rr_of_two_batches": round(mean_cosine(combinations(rr, 2)), 4),
            "cosine_ce_of_two_batches": round(mean_cosine(combinations(ce, 2)), 4),
        }
    return found


def gradient_of(loss: Tensor, lm: AudioLm) -> Tensor:
    """All weights' gradient as one vector; what a loss does not reach is zero."""
    weights = list(lm.parameters())
    parts = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            torch.zeros(weight.numel()) if part is None else part.flatten()
            for weight, part in zip(weights, parts, strict=True)
        ]
    )


def mean_cosine(pairs: Any) -> float:
    """Mean cosine of pairs of vectors."""
    return float(np.mean([float(torch.cosine_similarity(a, b, dim=0)) for a, b in pairs]))


if __name__ == "__main__":
    main()
