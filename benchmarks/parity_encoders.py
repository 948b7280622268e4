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
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ClapFeatureExtractor, RobertaConfig, RobertaModel

from soundwright.audio.mel import LogMel
from soundwright.scorers.clap import front_end
from soundwright.scorers.clap_weights import FRONT_END, model_of
from soundwright.scorers.cnn14 import VARIANTS, load_cnn14
from soundwright.scorers.openl3 import OpenL3Network, load_openl3
from soundwright.scorers.openl3_weights import (
    LAYERS,
    WIDTH,
    Bands,
    convolution_name,
    norm_name,
)
from soundwright.scorers.passt import MEL as PASST_MEL
from soundwright.scorers.passt import load_passt
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


def compare_passt() -> Pairs:
    """Front end, embedding and logits of a sound of three seconds."""
    from hear21passt.models.passt import PaSST
    from hear21passt.models.preprocess import AugmentMelSTFT

    sound = waveform("passt", 96000)
    with stft_of_old(), redirect_stdout(StringIO()):
        mel = AugmentMelSTFT(fmax_aug_range=2000).eval()(sound[None])
    yield "front end", mel[0], LogMel(PASST_MEL)(sound)
    original: Any = PaSST(stride=10, distilled=True).eval()
    original.load_state_dict(fill(original.state_dict()))
    (ours,) = load_as_published(
        original.state_dict(), lambda weights: load_passt(weights=weights)
    ).encode([sound])
    with redirect_stdout(StringIO()):
        logits, embeddings = original(mel[:, None])
    yield "embeddings", embeddings, ours.embeddings
    yield "logits", logits, ours.logits


def compare_torchopenl3(bands: Bands) -> Pairs:
    """Front end and embeddings of a sound of one second, with the mel bands of its librosa."""
    from torchopenl3.core import get_audio_embedding
    from torchopenl3.models import PytorchOpenl3
    from torchopenl3.utils import preprocess_audio_batch

    sound = waveform("openl3", 48000)
    original: Any = PytorchOpenl3("env", f"mel{bands}", WIDTH).eval()
    fill_openl3(original)
    windows = preprocess_audio_batch(sound[None], 48000, hop_size=0.5)
    encoder = load_as_published(
        original.state_dict(),
        lambda weights: load_openl3("torchopenl3", "env", bands, weights=weights),
    )
    network = OpenL3Network("torchopenl3", bands)
    network.bands.copy_(original.speclayer.mel_basis)
    yield "front end", original.speclayer(windows)[..., 0], network.decibels(windows[:, 0])
    theirs, _ = get_audio_embedding([sound], 48000, model=original, hop_size=0.5)
    yield "embeddings", theirs[0], encoder.encode([sound])[0].embeddings


def compare_openl3(bands: Bands) -> Pairs:
    """Front end and embeddings of openl3 itself, from a file of weights as Keras writes it."""
    # The version of Keras that openl3 was written for; needs the package tf_keras.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import openl3.core
    from openl3.models import AUDIO_MODELS, load_audio_embedding_model_from_path

    sound = waveform("openl3", 48000)
    network = OpenL3Network("openl3", bands)
    fill_openl3(network)
    original: Any = AUDIO_MODELS[f"mel{bands}"]()
    learnt = [layer for layer in original.layers if layer.weights]
    names = [
        name
        for number in range(1, LAYERS + 1)
        for name in (norm_name(number), convolution_name(number))
    ]
    for layer, name in zip(learnt, names, strict=True):
        tensors = [
            *network.get_submodule(name).parameters(),
            *network.get_submodule(name).buffers(),
        ]
        arrays = [tensor.numpy() for tensor in tensors if tensor.ndim]
        layer.set_weights([a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for a in arrays])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"openl3_audio_mel{bands}_env.h5")
        original.save_weights(path)
        encoder = load_openl3("openl3", "env", bands, weights=path)
        model = load_audio_embedding_model_from_path(path, f"mel{bands}", WIDTH)
    windows = openl3.core.preprocess_audio(sound.numpy(), 48000, hop_size=0.5)
    front = torch.tensor(original.layers[1](windows).numpy())[..., 0]
    yield "front end", front, network.decibels(torch.tensor(windows[:, 0]))
    theirs, _ = openl3.core.get_audio_embedding(
        sound.numpy(), 48000, model=model, hop_size=0.5, verbose=False
    )
    yield "embeddings", torch.tensor(theirs), encoder.encode([sound])[0].embeddings


def fill_openl3(network: Any) -> None:
    """Fill what a network of OpenL3 has learnt; its front end stays."""
    front = ("speclayer.", "bands")
    learnt = {
        name: tensor for name, tensor in network.state_dict().items() if not name.startswith(front)
    }
    network.load_state_dict(fill(learnt, DEEP_GAIN), strict=False)


def compare_clap(*, fusion: bool) -> Pairs:
    """Front end, audio and text embeddings of CLAP with HTSAT-tiny, for ten seconds."""
    from clap_module import model as module

    module.RobertaModel = OfflineRoberta
    audio = {"model_type": "HTSAT", "model_name": "tiny", "hop_size": 480}
    # Sizes of a text encoder that is not built here.
    unused = dict.fromkeys(("vocab_size", "width", "heads", "layers"), 1)
    text = {"model_type": "roberta", "context_length": 77, **unused}
    kind = {"enable_fusion": True, "fusion_type": "aff_2d"} if fusion else {}
    original: Any = module.CLAP(768, audio, text, **kind).eval()
    state = original.state_dict()
    constants = {
        name: tensor
        for name, tensor in state.items()
        if "_extractor." in name or name.endswith("attn_mask")
    }
    original.load_state_dict(fill(state) | constants)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clap.pt"
        torch.save({"epoch": 1, "state_dict": original.state_dict()}, path)
        model: Any = model_of(path).eval()
    front = LogMel(front_end(ClapFeatureExtractor(**FRONT_END), fused=fusion))
    sound = waveform("clap", 480000)
    mel = front(sound).T
    heard = {"waveform": sound, "longer": torch.tensor([fusion])}
    if fusion:
        heard["mel_fusion"] = torch.stack([mel, mel + 1, mel - 1, mel.flip(0)])
        inputs = heard["mel_fusion"][None]
    else:
        inputs = mel[None, None]
        branch = original.audio_branch
        theirs = branch.logmel_extractor(branch.spectrogram_extractor(sound[None]))[0, 0]
        yield "front end", theirs, mel
    ours = model.get_audio_features(inputs, is_longer=torch.tensor([[fusion]])).pooler_output
    yield "sound", original.get_audio_embedding([heard]), ours
    ids = torch.full((1, 77), 1)
    ids[0, :20] = torch.arange(1000, 1020)
    text = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    ours = model.get_text_features(ids[:, :20]).pooler_output
    yield "text", original.get_text_embedding(text), ours


class OfflineRoberta:
    """RoBERTa as CLAP asks for it, with the sizes of roberta-base and without its weights."""

    @staticmethod
    def from_pretrained(_: str) -> RobertaModel:
        """Sizes of the published configuration."""
        return RobertaModel(
            RobertaConfig(
                vocab_size=50265,
                max_position_embeddings=514,
                type_vocab_size=1,
                layer_norm_eps=1e-5,
            )
        )


@contextmanager
def stft_of_old() -> Iterator[None]:
    """A block in which `torch.stft` gives pairs of numbers, as PaSST's front end expects."""
    stft = torch.stft

    def give_pairs(*arguments: Any, **options: Any) -> Tensor:
        return torch.view_as_real(stft(*arguments, **{**options, "return_complex": True}))

    torch.stft = give_pairs
    try:
        yield
    finally:
        torch.stft = stft


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
    "passt": Original("passt_hear21", (".",), compare_passt),
    "openl3-mel128": Original("openl3", (".",), lambda: compare_openl3(128)),
    "openl3-mel256": Original("openl3", (".",), lambda: compare_openl3(256)),
    "torchopenl3-mel128": Original("torchopenl3", (".",), lambda: compare_torchopenl3(128)),
    "torchopenl3-mel256": Original("torchopenl3", (".",), lambda: compare_torchopenl3(256)),
    "clap": Original("CLAP", ("src/laion_clap",), lambda: compare_clap(fusion=False)),
    "clap-fusion": Original("CLAP", ("src/laion_clap",), lambda: compare_clap(fusion=True)),
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
        except (ImportError, OSError) as error:
            print(f"{name}: not compared, {error} ({checkout})")


if __name__ == "__main__":
    main()
