"""Measure what int8 changes: the bundled model's predictions beside those in fp32.

    python benchmarks/int8_quality.py --recordings FOLDER [--model DIR] [--every N]
        [--weights int8|bf16] [--out FILE]

Both engines read the tokens of recordings that the model never saw (fold 4 of ESC-10), each token
after the true ones before it, with the clip's caption and without text. Of every prediction it is
asked whether the likeliest token is the same (`agreement`, at least 97 %) and how far the
distribution is from that in fp32 (`kl`, KL(fp32 || int8) in nats, at most 0.01 in the mean). The
guided prediction, of which decoding draws, is reported beside them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.protocols import TextStates
from soundwright.core.records import Clip
from soundwright.data.importers.esc import import_esc
from soundwright.data.manifest import Manifest, read_clip
from soundwright.lm.cpu_engine import CpuEngine
from soundwright.lm.sampling import SamplingConfig, guide
from soundwright.pipelines.benchmarking import describe_machine
from soundwright.pipelines.parts import Codec, load_codec, load_lm
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.text.encoders import load_text_encoder
from soundwright.text.preparation import prepare

HELD_OUT = "fold4"
SECONDS = 5
BATCH = 16
LEAST_AGREEMENT, MOST_KL = 0.97, 0.01
UNGUIDED = SamplingConfig(guidance=1.0)
BARRED = ("with text", "without text")


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    codec, record, folder = load_codec(options.model)
    text = TextConfig.read(record.settings["text"])
    guidance = GenerationConfig.read(record.settings["generation"]).cfg_scale
    encoder = load_text_encoder(text.encoder)
    recordings = import_esc(options.recordings, subset="esc10").manifest
    clips = [clip for clip in recordings.clips if clip.split == HELD_OUT][:: options.every]
    plain = CpuEngine(load_lm(record, folder))
    narrow = CpuEngine(load_lm(record, folder), options.weights)
    tallies = {name: Tally(plain.config.codebooks) for name in (*BARRED, "guided")}
    done = 0
    for batch, tokens in batch_by_length(clips, codec, recordings):
        told = encoder.encode([prepare(caption_of(clip), text.preparation) for clip in batch])
        sequence = plain.pattern.lay_out(tokens, plain.config.special, tokens.shape[-1] + 1)
        held = plain.pattern.holds(tokens.shape[-1], sequence.shape[-1])[:, 1:]
        logits = [predict_all(engine, sequence, told, guidance) for engine in (plain, narrow)]
        for name, tally in tallies.items():
            tally.add(logits[0][name], logits[1][name], held)
        done += len(batch)
        print(f"{done} of {len(clips)} recordings", file=sys.stderr)
    results: dict[str, Any] = {
        "model": record.name,
        "model_hash": record.hash,
        "weights": options.weights,
        "machine": describe_machine(plain.device),
        "vnni": torch.cpu._is_vnni_supported(),
        "recordings": len(clips),
        **{name: tally.describe() for name, tally in tallies.items()},
    }
    results["passed"] = all(
        results[name]["agreement"] >= LEAST_AGREEMENT and results[name]["kl"] <= MOST_KL
        for name in BARRED
    )
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    beside = Path(__file__).parents[2] / "shared" / "data" / "esc10"
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(os.environ.get("SOUNDWRIGHT_ESC10", beside)),
        help="ESC-10 or ESC-50, in its published layout or with a table metadata.csv",
    )
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--weights", choices=("int8", "bf16"), default="int8")
    parser.add_argument("--every", type=int, default=1, help="take each so-many-th recording")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def batch_by_length(
    clips: Sequence[Clip], codec: Codec, recordings: Manifest
) -> Iterator[tuple[Sequence[Clip], Tensor]]:
    """Recordings of one length with their tokens [B, K, T]; some end early, and none is padded."""
    read = [(clip, read_tokens(codec, recordings, clip)) for clip in clips]
    for _, alike in itertools.groupby(sorted(read, key=frames_of), key=frames_of):
        group = list(alike)
        for first in range(0, len(group), BATCH):
            part = group[first : first + BATCH]
            yield [clip for clip, _ in part], torch.cat([tokens for _, tokens in part])


def frames_of(pair: tuple[Clip, Tensor]) -> int:
    """T of tokens [1, K, T]."""
    return pair[1].shape[-1]


@torch.inference_mode()
def read_tokens(codec: Codec, recordings: Manifest, clip: Clip) -> Tensor:
    """Tokens [1, K, T] of the first seconds of a recording."""
    rate = codec.sample_rate
    sound = read_clip(recordings, clip, duration=SECONDS, sample_rate=rate, channels=codec.channels)
    return codec.encode(sound.samples[None, :, : SECONDS * rate])


def caption_of(clip: Clip) -> str:
    """What the clip's data set says of it."""
    return clip.captions[0].text if clip.captions else clip.tags[0]


def predict_all(
    engine: CpuEngine, sequence: Tensor, told: TextStates, guidance: float
) -> dict[str, Tensor]:
    """Logits [B, K, T, codebook_size] of every step of a sequence [B, K, T + 1] after the first."""
    untold = TextStates(told.states * 0, torch.zeros_like(told.mask), told.sentence * 0)
    logits = {}
    for name, text in zip(BARRED, (told, untold), strict=True):
        session = engine.begin(text, None, UNGUIDED, sequence.shape[-1])
        steps = range(sequence.shape[-1] - 1)
        predicted = [session.predict(sequence[..., step : step + 1]) for step in steps]
        logits[name] = torch.stack(predicted, dim=2)
    return {**logits, "guided": guide(*(logits[name] for name in BARRED), guidance)}


class Tally:
    """Counts over predictions, for each codebook.

    Args:
        codebooks: K.
    """

    def __init__(self, codebooks: int) -> None:
        self._count, self._same, self._kl = torch.zeros(3, codebooks, dtype=torch.float64)

    def add(self, plain: Tensor, narrow: Tensor, held: Tensor) -> None:
        """Count predictions [B, K, T, codebook_size] where `held` [K, T] has a frame."""
        same = plain.argmax(-1) == narrow.argmax(-1)
        plain, narrow = plain.log_softmax(-1), narrow.log_softmax(-1)
        kl = F.kl_div(narrow, plain, reduction="none", log_target=True).sum(-1)
        self._count += held.sum(1) * len(same)
        self._same += (same & held).sum(dim=(0, 2))
        self._kl += (kl * held).sum(dim=(0, 2)).double()

    def describe(self) -> dict[str, Any]:
        """Shares and means, over all and for each codebook."""
        return {
            "predictions": int(self._count.sum()),
            "agreement": float(self._same.sum() / self._count.sum()),
            "kl": float(self._kl.sum() / self._count.sum()),
            "agreement_by_codebook": (self._same / self._count).tolist(),
            "kl_by_codebook": (self._kl / self._count).tolist(),
        }


if __name__ == "__main__":
    main()
