"""Measure a latent codec: what the judge still hears after autoencoder and vocoder.

    python benchmarks/latent_codec.py [MODEL] --recordings FOLDER [--judge DIR] [--out FILE]

The judge (trained on folds 1-3 of ESC-10) names fold 4, which no model that ships has heard: as it
is, after the codec (posterior means, and samples of the posterior), and after the vocoder alone on
true spectrograms, which tells whose fault a loss is. Beside it: the mean distance of log-mels, in
nats, and how far latents are from variance 1.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundled_model import RATE, interval, read_waveform, report, share
from soundwright.codecs.frames import pad_to_frames
from soundwright.codecs.losses import LogMelError
from soundwright.codecs.mel_codec import MelCodec
from soundwright.core.seeding import torch_stream
from soundwright.data.importers.esc import import_esc
from soundwright.pipelines.parts import load_latent_codec
from soundwright.scorers.tagger import Tagger, judge_folder

Rebuild = Callable[[Tensor], Tensor]


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    codec, record, _ = load_latent_codec(options.model)
    judge = Tagger.load(options.judge)
    recordings = import_esc(options.recordings, subset="esc10").manifest
    clips = [clip for clip in recordings.clips if clip.split == "fold4"]
    waveforms = [read_waveform(recordings, clip) for clip in clips]
    truth = [clip.tags[0] for clip in clips]
    results: dict[str, Any] = {
        "model": record.name,
        "model_hash": record.hash,
        "judge": judge.name,
        "clips": len(clips),
        "latents": measure_latents(codec, waveforms),
        **{
            name: measure(judge, waveforms, truth, rebuild)
            for name, rebuild in rebuilders(codec).items()
        },
    }
    report(results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).parents[2] / "shared" / "data" / "esc10"
    parser.add_argument(
        "model",
        nargs="?",
        default="bundled-diffusion",
        help="a latent codec, or a diffusion model with one",
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(os.environ.get("SOUNDWRIGHT_ESC10", beside)),
        help="ESC-10 or ESC-50, in its published layout or with a table metadata.csv",
    )
    parser.add_argument("--judge", type=Path, default=judge_folder())
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def rebuilders(codec: MelCodec) -> dict[str, Rebuild]:
    """The ways through the codec, each from [1, N] to [1, N]."""
    generator = torch_stream(0, "posterior")

    def means(waveform: Tensor) -> Tensor:
        return codec.decode(codec.encode(waveform[None]).mean)[0]

    def samples(waveform: Tensor) -> Tensor:
        posterior = codec.encode(waveform[None])
        noise = torch.randn(posterior.mean.shape, generator=generator)
        return codec.decode(posterior.sample(noise))[0]

    def vocoder(waveform: Tensor) -> Tensor:
        return codec.vocoder(codec.vae.mels(pad_to_frames(waveform, codec.hop_length)))

    return {
        "recordings": lambda waveform: waveform,
        "after_codec": means,
        "after_codec_sampled": samples,
        "after_vocoder": vocoder,
    }


@torch.inference_mode()
def measure(
    judge: Tagger, waveforms: Sequence[Tensor], truth: Sequence[str], rebuild: Rebuild
) -> dict[str, Any]:
    """How often the judge names the class, by class too, and how far log-mels are."""
    distance = LogMelError(RATE)
    known: dict[str, list[bool]] = {}
    apart = []
    for waveform, label in zip(waveforms, truth, strict=True):
        made = rebuild(waveform)[:, : waveform.shape[1]]
        known.setdefault(label, []).append(judge.recognise([made], RATE)[0] == label)
        apart.append(distance(waveform[None], made[None]).item())
    every = [flag for flags in known.values() for flag in flags]
    return {
        "recognised": share(every),
        "interval": interval(every),
        "by_class": {label: share(flags) for label, flags in known.items()},
        "log_mel_distance": round(sum(apart) / len(apart), 3),
    }


@torch.inference_mode()
def measure_latents(codec: MelCodec, waveforms: Sequence[Tensor]) -> dict[str, float]:
    """Spread of the means over all elements, and the posterior's own."""
    found = [codec.encode(waveform[None]) for waveform in waveforms]
    means = torch.cat([part.mean.flatten() for part in found])
    deviations = torch.cat([part.deviation.flatten() for part in found])
    return {
        "mean": round(means.mean().item(), 3),
        "deviation_of_means": round(means.std().item(), 3),
        "posterior_deviation": round(deviations.square().mean().sqrt().item(), 3),
    }


if __name__ == "__main__":
    main()
