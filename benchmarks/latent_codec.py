"""Measure latent codecs: what the judge still hears after autoencoder and vocoder.

    python benchmarks/latent_codec.py [MODEL ...] --recordings FOLDER [--judge DIR] [--out FILE]

The judge (trained on folds 1-3 of ESC-10) names fold 4, which no model that ships has heard: as it
is, after the codec (posterior means, and samples of the posterior), and after the vocoder alone on
true spectrograms, which tells whose fault a loss is. Beside it: the mean distance of log-mels, in
nats, and how far latents are from variance 1. A codec of tokens, such as that of the bundled model,
may stand among the models; an autoencoder without a vocoder too, of which only log-mels are
measured.

All log-mel distances are one measure, whatever the codec: the mean of |ln a - ln b| over frames and
over 64 Slaney bands of 0 to 8 kHz at 16 kHz, magnitudes of windows of 1024 samples, floored at
1e-5. For sounds the windows are those of `LogMelError`; for an autoencoder alone they are its own,
which must be such (Tango's and GenAU's are): only where windows lie differs, of which a mean over
frames does not depend.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundled_model import RATE, interval, read_waveform, report, share
from soundwright.audio.mel import PRESETS, MelConfig
from soundwright.codecs.frames import pad_to_frames
from soundwright.codecs.losses import LogMelError
from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.codecs.mel_codec import MelCodec
from soundwright.core.seeding import torch_stream
from soundwright.data.importers.esc import import_esc
from soundwright.pipelines.models import ModelRecord, find_model, read_record
from soundwright.pipelines.parts import Codec, load_codec, load_latent_codec, load_vae
from soundwright.scorers.tagger import Tagger, judge_folder

Rebuild = Callable[[Tensor], Tensor]


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    judge = Tagger.load(options.judge)
    recordings = import_esc(options.recordings, subset="esc10").manifest
    clips = [clip for clip in recordings.clips if clip.split == "fold4"]
    waveforms = [read_waveform(recordings, clip) for clip in clips]
    truth = [clip.tags[0] for clip in clips]
    results: dict[str, Any] = {
        "judge": judge.name,
        "clips": len(clips),
        "recordings": measure(judge, waveforms, truth, lambda waveform: waveform),
        "models": [measure_model(name, judge, waveforms, truth) for name in options.models],
    }
    report(results["recordings"])
    for found in results["models"]:
        report(found)
    print_errors(results["models"])
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).parents[2] / "shared" / "data" / "esc10"
    parser.add_argument(
        "models",
        nargs="*",
        default=["bundled-diffusion"],
        metavar="MODEL",
        help="a codec of latents or tokens, a model with one, or an autoencoder",
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


def measure_model(
    name: str, judge: Tagger, waveforms: Sequence[Tensor], truth: Sequence[str]
) -> dict[str, Any]:
    """All that can be measured of one model."""
    record = read_record(find_model(name))
    found: dict[str, Any] = {"model": record.name, "model_hash": record.hash}
    ways: Mapping[str, Rebuild] = {}
    if "codec" in record.parts:
        ways = {"after_codec": rebuild_tokens(load_codec(name)[0])}
    else:
        vae, _, _ = load_vae(name)
        found["latents"] = measure_latents(vae, waveforms)
        found["autoencoder_log_mel_distance"] = measure_autoencoder(vae, record, waveforms)
    if "vocoder" in record.parts:
        ways = rebuilders(load_latent_codec(name)[0])
    return found | {way: measure(judge, waveforms, truth, ways[way]) for way in ways}


def rebuild_tokens(codec: Codec) -> Rebuild:
    """The way through a codec of tokens, from [1, N] to [1, N]."""
    return lambda waveform: codec.decode(codec.encode(waveform[None]))[0]


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
def measure_autoencoder(
    vae: MelAutoencoder[Any], record: ModelRecord, waveforms: Sequence[Tensor]
) -> float | None:
    """How far log-mels are after the autoencoder alone; None where they are others."""
    mel: MelConfig = vae.config.mel
    if mel.placed_as(PRESETS["tango"]) != PRESETS["tango"]:
        print(f"{record.name} has other log-mels, which cannot be compared.")
        return None
    apart = []
    for waveform in waveforms:
        frames = mel.frames(waveform.shape[1])
        real = vae.mels(pad_to_frames(waveform, vae.config.hop_length))
        made = vae.decode(vae.encode(real).mean)
        apart.append((real - made)[..., :frames].abs().mean().item())
    return round(sum(apart) / len(apart), 3)


@torch.inference_mode()
def measure_latents(vae: MelAutoencoder[Any], waveforms: Sequence[Tensor]) -> dict[str, float]:
    """Spread of the means over all elements, and the posterior's own."""
    hop = vae.config.hop_length
    found = [vae.encode(vae.mels(pad_to_frames(waveform, hop))) for waveform in waveforms]
    means = torch.cat([part.mean.flatten() for part in found])
    deviations = torch.cat([part.deviation.flatten() for part in found])
    return {
        "mean": round(means.mean().item(), 3),
        "deviation_of_means": round(means.std().item(), 3),
        "posterior_deviation": round(deviations.square().mean().sqrt().item(), 3),
    }


def print_errors(models: Sequence[Mapping[str, Any]]) -> None:
    """One row a model: log-mel distances after its autoencoder, its vocoder and both."""
    width = max(22, *(len(found["model"]) for found in models))
    print(f"{'log-mel distance, nats':{width}}  autoencoder  vocoder    codec")
    for found in models:
        parts = (
            found.get("autoencoder_log_mel_distance"),
            *(
                found.get(way, {}).get("log_mel_distance")
                for way in ("after_vocoder", "after_codec")
            ),
        )
        row = ["-" if part is None else f"{part:.3f}" for part in parts]
        print(f"{found['model']:{width}}  {row[0]:>11}  {row[1]:>7}  {row[2]:>7}")


if __name__ == "__main__":
    main()
