"""Whether FIT reads silence less than sound.

    python benchmarks/genau_silence.py MODEL MANIFEST [--clips 64] [--out FOLDER]

The clips of a corpus, or sounds that a model has generated (a folder that `soundwright data import`
has read), go through the codec of a model with a FIT; noise is put on their latents at some times,
and its predictions are looked into: how much the latents of a group read of each token, beside an
even share. A token is silent whose frames are 60 dB below full scale. Only groups that have both
tell something. Writes read.json and read.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundwright.core.seeding import torch_stream
from soundwright.data.manifest import read_clip, read_manifest
from soundwright.diffusion.fit import Fit
from soundwright.diffusion.read_attention import compare_silence, measure_read
from soundwright.pipelines.conditioning import open_conditioner
from soundwright.pipelines.models import find_model, verify_model
from soundwright.pipelines.parts import load_latent_codec, load_network
from soundwright.pipelines.settings import TextConfig
from soundwright.text.encoders import load_text_encoder

SILENT_DB = -60.0
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the way to noise."""


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    rows = measure(options.model, options.manifest, options.clips)
    for row in rows:
        print(
            f"block {row['block']}  noise {row['share']:.1f}  silent {row['silent']:.3f}  "
            f"sounding {row['sounding']:.3f}  ({row['groups']} groups)"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "read.json").write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    draw(rows, options.out / "read.png")


@torch.no_grad()
def measure(model: str, manifest: Path, clips: int) -> list[dict[str, Any]]:
    """A row for each block and share of noise."""
    folder = find_model(model)
    record = verify_model(folder)
    network = load_network(record, folder)
    if not isinstance(network, Fit):
        raise SystemExit(f"{model} has a {network.player}, and not a fit")
    codec, _, _ = load_latent_codec(folder)
    text = TextConfig.read(record.settings["text"])
    encoder = load_text_encoder(text.encoder)
    conditioner = open_conditioner(record, encoder, torch.device("cpu"))
    corpus = read_manifest(manifest)
    shares: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    silences: list[Tensor] = []
    limit, group = network.frame_limit, network.config.group
    for clip in corpus.clips[:clips]:
        sound = read_clip(corpus, clip, sample_rate=codec.sample_rate, channels=1).samples
        most = sound.shape[1] if limit is None else limit * codec.hop_length
        sound = sound[:, :most]
        latents = codec.encode(sound[None]).mean
        silences.append(find_silence(sound[0], codec.hop_length * network.config.patch))
        caption = clip.captions[0].text if clip.captions else ""
        given = conditioner.read([caption])
        noise = torch.randn(latents.shape, generator=torch_stream(0, "read", clip.id))
        for share in SHARES:
            times = network.process.times_at(torch.tensor([share], dtype=torch.float64))
            noisy = network.process.corrupt(latents, noise, times)
            shares[share].append(measure_read(network, noisy, times, given)[:, 0])
    return [
        {
            "block": block,
            "share": share,
            **compare_silence([one[block] for one in found], silences, group)._asdict(),
        }
        for block in range(len(network.blocks))
        for share, found in shares.items()
    ]


def find_silence(samples: Tensor, size: int) -> Tensor:
    """[P] bool: pieces of `size` samples [N] that are all but silent."""
    missing = -len(samples) % size
    pieces = torch.nn.functional.pad(samples, (0, missing)).unflatten(0, (-1, size))
    return 20 * pieces.square().mean(1).sqrt().clamp_min(1e-8).log10() < SILENT_DB


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Silent tokens beside sounding ones, by block, one line a share of noise."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for share in SHARES:
        some = [row for row in rows if row["share"] == share]
        ratios = [row["silent"] / row["sounding"] for row in some]
        axes.plot([row["block"] for row in some], ratios, "o-", label=f"noise {share:.1f}")
    axes.axhline(1, color="grey", lw=0.8)
    axes.set_xlabel("block")
    axes.set_ylabel("read of silent / of sounding tokens")
    axes.set_xticks(sorted({row["block"] for row in rows}))
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
