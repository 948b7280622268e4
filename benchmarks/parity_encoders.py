"""Compare our audio encoders with the original modules, both with the same weights.

    python benchmarks/parity_encoders.py FOLDER [NAME ...]

FOLDER holds checkouts of the originals, under the names that `NETWORKS` gives; their own needs have
to be installed beside ours. Weights come from the formula of `tests/scorers/filling.py`, so that no
checkpoint is needed; the original's are saved as its authors saved theirs, and loaded by us. For
each piece of each network the largest difference is printed, relative to the largest value. What is
not in FOLDER, or cannot be imported, is said so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundwright.audio.mel import LogMel
from soundwright.scorers.cnn14 import VARIANTS, load_cnn14
from soundwright.scorers.vggish import MEL as VGGISH_MEL
from soundwright.scorers.vggish import load_vggish

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "scorers"))
from filling import fill, waveform

Pairs = Iterator[tuple[str, Tensor, Tensor]]
DEEP_GAIN = 2
"""For networks of ReLUs only; see `fill`."""


@dataclass(frozen=True)
class Original:
    """Where a module of another project lies and how it is compared."""

    folder: str
    """Checkout within FOLDER."""
    paths: tuple[str, ...]
    """Within the checkout, to import from."""
    compare: Callable[[], Pairs]
    """Yields a piece's name, what the original gives and what ours gives."""


def compare_vggish() -> Pairs:
    """The front end, and the embeddings of whole sounds without the last ReLU."""
    from torchvggish.vggish import VGG, make_layers
    from torchvggish.vggish_input import waveform_to_examples

    sound = waveform("vggish", 32000)
    patches = waveform_to_examples(sound.double().numpy(), 16000)
    mel = LogMel(VGGISH_MEL)(sound)[:, :192]
    yield "front end", patches[:, 0], mel.unflatten(1, (2, 96)).permute(1, 2, 0)
    original: Any = VGG(make_layers())
    original.load_state_dict(fill(original.state_dict(), DEEP_GAIN))
    original.embeddings = original.embeddings[:-1]
    (ours,) = load_as_published(original.state_dict(), load_vggish).encode([sound])
    yield "embeddings", original(patches), ours.embeddings


def compare_panns(variant: str, kind: str) -> Pairs:
    """Front end, vectors and logits of one of PANNs' networks, for two whole sounds."""
    import models

    mel = VARIANTS[variant][0].mel
    original: Any = getattr(models, kind)(
        mel.sample_rate, mel.win_length, mel.hop_length, mel.n_mels, mel.f_min, mel.top, 527
    )
    state = original.state_dict()
    constants = {name: tensor for name, tensor in state.items() if "_extractor." in name}
    original.load_state_dict(fill(state, DEEP_GAIN) | constants)
    original.eval()
    sounds = torch.stack([waveform(name, 64 * mel.hop_length) for name in ("one", "two")])
    theirs = original.logmel_extractor(original.spectrogram_extractor(sounds))[:, 0]
    yield "front end", theirs, LogMel(mel)(sounds).transpose(1, 2)
    encoder = load_as_published(
        {"model": original.state_dict()}, lambda weights: load_cnn14(variant, weights=weights)
    )
    vectors = original(sounds)["embedding"]
    ours = encoder.encode(list(sounds))
    yield "vectors", vectors, torch.stack([encoded.vector for encoded in ours])
    # The original gives probabilities only.
    logits = original.fc_audioset(vectors)
    yield "logits", logits, torch.cat([encoded.logits for encoded in ours])


def load_as_published(checkpoint: Any, load: Callable[..., Any]) -> Any:
    """What our loader makes of a checkpoint that is saved as its authors save theirs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        torch.save(checkpoint, path)
        return load(weights=str(path))


def _panns(variant: str, kind: str) -> Original:
    folders = ("pytorch", "utils")
    return Original("audioset_tagging_cnn", folders, lambda: compare_panns(variant, kind))


NETWORKS = {
    "vggish": Original("torchvggish", (".",), compare_vggish),
    "cnn14-16k": _panns("cnn14-16k", "Cnn14_16k"),
    "cnn14-32k": _panns("cnn14-32k", "Cnn14"),
    "wavegram-logmel-cnn14": _panns("wavegram-logmel-cnn14", "Wavegram_Logmel_Cnn14"),
}


def main() -> None:
    """Compare the networks that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with checkouts of the originals")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    for name in arguments.names or NETWORKS:
        original = NETWORKS[name]
        checkout = arguments.folder / original.folder
        sys.path[:0] = [str(checkout / path) for path in original.paths]
        try:
            for piece, theirs, ours in original.compare():
                assert theirs.shape == ours.shape
                largest = float((theirs - ours).abs().max() / theirs.abs().max())
                print(f"{name} {piece}: {largest:.2e} of {float(theirs.abs().max()):.4g}")
        except ImportError as error:
            print(f"{name}: not compared, {error} ({checkout})")


if __name__ == "__main__":
    main()
