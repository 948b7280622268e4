"""Train the language model: ours beside transformers', and what RR adds to a step.

    python benchmarks/training.py [--threads N] [--layers N] [--dim N] [--batch N] [--seconds S]
        [--rr-layers N] [--rounds N] [--device cpu|cuda] [--precision fp32|bf16] [--out FILE]

Everything takes turns in one run; figures are medians in seconds.

- `decoder`: tokens and text states at hand, the same weights, batch, cross-entropy, clipping and
  AdamW (`training.optimizers`) for `AudioLm` and transformers' MusicgenForConditionalGeneration.
- `files`: from files to weights, over all sounds of a folder once. Theirs reads WAV files, pads
  each batch to its longest, and encodes it with EnCodec and its texts with T5 in every step. Ours
  reads stored tokens and text states, deals them to batches by length, and trains with RR;
  `preparing` is what making them took, once for all steps. Nothing is read ahead on either side.
  The sounds are a quarter of S to S long, evenly; in `files, one length` all are of length S. Codec
  and text encoder are transformers' with random weights. By default all are smaller than
  MusicGen's, so that the codec keeps its share of the arithmetic, about 6 %.
- `floor`: the arithmetic of a step at the speed of large matrix products.
- `rr`: a step without text of MusicGen-small's width (1024), B = 12, T = 500, and RR alone, forward
  and backward, on the same shapes. With fewer than 24 layers its share is larger than it would be.

The defaults fit a CPU; `--layers 24 --dim 1024 --filters 64 --text-layers 12 --text-width 768
--batch 12 --seconds 10 --rr-layers 24` is MusicGen-small.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import soundfile
import torch
import transformers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import T5Config, T5EncoderModel
from transformers.modeling_outputs import BaseModelOutput

from decoding import build_peer
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.codecs.encodec import EncodecCodec, EncodecCodecConfig
from soundwright.core.devices import autocast, choose_device
from soundwright.core.files import hash_bytes
from soundwright.core.protocols import StepContext, TextStates, TokenBatch
from soundwright.core.seeding import torch_stream
from soundwright.data.frame_segments import FrameSegmentConfig, TokenSegments
from soundwright.data.importers.folder import import_folder
from soundwright.data.tokens import tokenize
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.objective import masked_cross_entropy
from soundwright.lm.patterns import TrainingSequence
from soundwright.lm.representations import caption_identities, represent
from soundwright.lm.similarity import RrConfig, regularize
from soundwright.lm.task import LmTask, LmTaskConfig
from soundwright.pipelines.benchmarking import StandInText, describe_machine, time_in_turns
from soundwright.text.cache import CachedTextEncoder
from soundwright.training.optimizers import OptimizerConfig, Player
from soundwright.training.turns import take_turns
from soundwright.training.workload import Workload, measure_peak

RATE = 16_000
FILES = 48
SHORTEST = 0.25
"""Of the longest sound."""
WORDS = ("a", "dog", "rain", "wind", "bell", "car", "far", "loud", "then", "and", "in", "the")
WORDS_A_TEXT = 12
VOCABULARY = 32_128
STEPS = 1000
SAME_LOSS = 1e-3
RR_SHAPE = (12, 4, 500)
"""B, K, T of the issue's bar, and MusicGen-small's codebooks."""


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        bench = TrainingBench(options, device, Path(folder))
        losses = bench.train_ours(), bench.train_theirs()
        assert abs(losses[0] - losses[1]) < SAME_LOSS, f"the losses differ: {losses}"
        taken = time_in_turns(bench.works(), options.rounds, device)
    seconds = {name: median(values) for name, values in taken.items() if name != "peak"}
    floor = bench.workload.flops / median(bench.peaks)
    rr = measure_rr(options, device)
    results = {
        "machine": {**describe_machine(device), "transformers": transformers.__version__},
        "shape": {key: getattr(options, key) for key in ("layers", "dim", "batch", "seconds")},
        "precision": options.precision,
        "parameters": sum(value.numel() for value in bench.lm.parameters()),
        "steps": {"decoder": 1, "files": bench.steps},
        "seconds": seconds,
        "preparing": {"sounds": FILES, "seconds": bench.preparing_s},
        "floor_s": floor,
        "rr": rr,
        "ratios": {
            "decoder: times as fast as transformers": seconds["theirs, decoder"]
            / seconds["ours, decoder"],
            "files: times as fast as transformers": seconds["theirs, files"]
            / seconds["ours, files"],
            "files, one length: times as fast as transformers": seconds["theirs, files, one length"]
            / seconds["ours, files, one length"],
            "decoder: ours, times the floor": seconds["ours, decoder"] / floor,
            "decoder: transformers, times the floor": seconds["theirs, decoder"] / floor,
            "rr: share of a step without text": rr["share"],
        },
        "first_losses": losses,
        "all_seconds": taken,
    }
    for key in (
        "machine",
        "shape",
        "precision",
        "steps",
        "seconds",
        "preparing",
        "floor_s",
        "rr",
        "ratios",
    ):
        print(key, json.dumps(results[key], indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0, help="of the longest sound")
    parser.add_argument("--filters", type=int, default=16, help="of EnCodec, which has 64")
    parser.add_argument("--text-layers", type=int, default=6, help="of T5, which has 12")
    parser.add_argument("--text-width", type=int, default=384, help="of T5, which has 768")
    parser.add_argument("--rr-layers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="after one to warm up")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


class HashedText:
    """T5 with random weights as a `TextEncoder`; a word's number is its hash."""

    identity = "hashed"

    def __init__(self, model: T5EncoderModel) -> None:
        self.model, self.width = model.eval().requires_grad_(False), model.config.d_model

    def number(self, texts: Sequence[str]) -> Tensor:
        """Texts of `WORDS_A_TEXT` words to [B, S]."""
        rows = [
            [int(hash_bytes(word.encode())[:8], 16) % VOCABULARY for word in text.split()]
            for text in texts
        ]
        return torch.tensor(rows, device=self.model.device)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> TextStates:
        """As `TextEncoder.encode`."""
        states = self.model(input_ids=self.number(texts)).last_hidden_state
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        return TextStates(states, mask, states.mean(dim=1))


@dataclass(frozen=True)
class Folder:
    """Sounds with texts as files, and the same as stored tokens."""

    files: list[Path]
    texts: list[str]
    batches: TokenSegments
    """Of the tokens; as many as there are batches of files."""


class TrainingBench:
    """Both models with the same weights, and the same sounds as files and as tokens.

    Args:
        options: The command line's.
        device: Where to train.
        folder: An empty one for files and tokens.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device, folder: Path) -> None:
        self._options, self._device = options, device
        width = options.text_width
        self.lm = AudioLm(
            LmConfig(
                dim=options.dim, layers=options.layers, heads=options.dim // 64, text_width=width
            )
        )
        reader = T5Config(
            d_ff=4 * width,
            num_layers=options.text_layers,
            num_heads=width // 64,
            vocab_size=VOCABULARY,
        )
        self._peer = build_peer(copy.deepcopy(self.lm), reader).to(device).train()
        for part in (self._peer.text_encoder, self._peer.audio_encoder):
            part.eval().requires_grad_(False)
        self._text = HashedText(self._peer.text_encoder)
        self._codec = EncodecCodec(EncodecCodecConfig(filters=options.filters)).to(device).eval()
        self._players = {
            name: Player(name, module, OptimizerConfig(), STEPS)
            for name, module in (("lm", self.lm.to(device)), ("peer", self._peer))
        }
        self.steps = FILES // options.batch
        began = time.perf_counter()
        text = CachedTextEncoder(self._text, folder / "text", device)
        self._varied = self._prepare(folder / "varied", SHORTEST, text)
        self.preparing_s = time.perf_counter() - began
        self._alike = self._prepare(folder / "alike", 1.0, text)
        self._task = LmTask(self.lm, text, LmTaskConfig(), 0)
        # What both decoders train on where tokens and text states are at hand.
        size, frames = options.batch, self._alike.batches[0].tokens.shape[-1]
        tokens = draw_tokens((size, self.lm.config.codebooks, frames)).to(device)
        mask = torch.ones(size, frames, dtype=torch.bool, device=device)
        self._sequence = self.lm.pattern.for_training(tokens, mask, self.lm.special)
        self._states = self._text.encode(self._alike.texts[:size])
        self.workload = Workload([self.lm], device, options.precision)
        self.peaks: list[float] = []

    def works(self) -> dict[str, Callable[[], object]]:
        """What is timed by name."""
        return {
            "ours, decoder": self.train_ours,
            "theirs, decoder": self.train_theirs,
            "ours, files": lambda: self._train_from_store(self._varied),
            "theirs, files": lambda: self._train_from_files(self._varied),
            "ours, files, one length": lambda: self._train_from_store(self._alike),
            "theirs, files, one length": lambda: self._train_from_files(self._alike),
            "peak": lambda: self.peaks.append(measure_peak(self._device, self._options.precision)),
        }

    def train_ours(self) -> float:
        """One step of `AudioLm`; its loss."""
        sequence = self._sequence
        with self.workload.counting(), autocast(self._device, self._options.precision):
            output = self.lm(sequence.inputs, self._states.states, self._states.mask)
            loss = masked_cross_entropy(output.logits, sequence.targets, sequence.mask).loss
        return self._move("lm", loss)

    def train_theirs(self) -> float:
        """The same step of transformers' model; its loss."""
        states = BaseModelOutput(last_hidden_state=self._states.states)
        return self._train_peer(self._sequence, encoder_outputs=states)

    def _train_from_store(self, folder: Folder) -> None:
        """All sounds once."""
        players = {"lm": self._players["lm"]}
        for number in range(self.steps):
            context = StepContext(number, 0, self._device, wants_metrics=False)
            batches = [folder.batches[number]]
            take_turns(self._task, batches, players, [context], self._options.precision)

    def _train_from_files(self, folder: Folder) -> None:
        """All sounds once."""
        size = self._options.batch
        for first in range(0, FILES, size):
            tokens, mask = self._encode_files(folder.files[first : first + size])
            sequence = self.lm.pattern.for_training(tokens, mask, self.lm.special)
            ids = self._text.number(folder.texts[first : first + size])
            self._train_peer(sequence, input_ids=ids)

    @torch.no_grad()
    def _encode_files(self, files: Sequence[Path]) -> tuple[Tensor, Tensor]:
        """Tokens [B, K, T] of files padded to the longest, and which frames [B, T] are not."""
        samples = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files]
        waveforms = pad_sequence(samples, batch_first=True)[:, None].to(self._device)
        codes = self._codec.model.encode(waveforms).audio_codes[0]
        frames = [-(-len(part) // self._codec.hop_length) for part in samples]
        numbers = torch.arange(codes.shape[-1], device=self._device)
        return codes, numbers < torch.tensor(frames, device=self._device)[:, None]

    def _train_peer(self, sequence: TrainingSequence, **text: Any) -> float:
        labels = sequence.targets.masked_fill(~sequence.mask, -100).transpose(1, 2)
        with autocast(self._device, self._options.precision):
            loss = self._peer(
                decoder_input_ids=sequence.inputs.flatten(0, 1), labels=labels, **text
            ).loss
        return self._move("peer", loss)

    def _move(self, name: str, loss: Tensor) -> float:
        self._players[name].take(loss, 1)
        return self._players[name].move(0).loss

    def _prepare(self, folder: Path, shortest: float, text: CachedTextEncoder) -> Folder:
        """Sounds, their tokens and their text states, on disk."""
        files, texts = write_sounds(folder / "sounds", self._options.seconds, shortest)
        rows = "".join(f"{file.name},{line}\n" for file, line in zip(files, texts, strict=True))
        (folder / "sounds" / "captions.csv").write_text("file,caption\n" + rows)
        manifest = import_folder(folder / "sounds").manifest
        store = tokenize(manifest, self._codec, folder / "tokens", device=self._device)
        text.encode(texts)
        segments = FrameSegmentConfig(
            batch=self._options.batch, duration=self._options.seconds, bucket=self.steps
        )
        return Folder(files, texts, TokenSegments(store, segments, seed=0))


def write_sounds(folder: Path, seconds: float, shortest: float) -> tuple[list[Path], list[str]]:
    """Files of noise, from `shortest * seconds` to `seconds` long, and a text for each."""
    folder.mkdir(parents=True)
    files, texts = [], []
    lengths = torch.linspace(shortest, 1, FILES)[
        torch.randperm(FILES, generator=torch_stream(0, "bench", "lengths"))
    ]
    for number, length in enumerate(lengths.tolist()):
        stream = torch_stream(0, "bench", "sound", number)
        files.append(folder / f"{number:02}.wav")
        samples = torch.rand(1, round(length * seconds * RATE), generator=stream) - 0.5
        write(files[-1], Sound(samples, RATE))
        chosen = torch.randint(len(WORDS), (WORDS_A_TEXT,), generator=stream)
        texts.append(" ".join(WORDS[index] for index in chosen.tolist()))
    return files, texts


def draw_tokens(shape: Sequence[int]) -> Tensor:
    """Random tokens of MusicGen's codec."""
    stream = torch_stream(0, "bench", "tokens")
    return torch.randint(LmConfig().codebook_size, tuple(shape), generator=stream)


def measure_rr(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """A step without text, the same without RR, and RR alone: medians in seconds."""
    B, K, T = RR_SHAPE
    config, rr = LmConfig(layers=options.rr_layers), RrConfig()
    lm, text = AudioLm(config).to(device), StandInText(LmConfig().text_width)
    player = {"lm": Player("lm", lm, OptimizerConfig(), STEPS)}
    captions = tuple(f"sound {number}" for number in range(B))
    frames = torch.ones(B, T, dtype=torch.bool)
    batch = TokenBatch(draw_tokens((B, K, T)), frames, captions)
    context = StepContext(0, 0, device, wants_metrics=False)
    states = text.encode(captions)
    states, mask = states.states.to(device), states.mask.to(device)
    identities, frames = caption_identities(captions, device), frames.to(device)
    hidden = torch.randn(B, T, config.dim, device=device, requires_grad=True)
    # A step's RR adds to the gradient that cross-entropy leaves.
    hidden.grad = torch.zeros_like(hidden)

    def step(where: Literal["cfg", "none"]) -> Callable[[], object]:
        task = LmTask(
            lm, text, LmTaskConfig(text_dropping=1.0, regularizer=RrConfig(where=where)), 0
        )
        return lambda: take_turns(task, [batch], player, [context], options.precision)

    def regularize_alone() -> None:
        represented = represent(states, mask, hidden, frames, identities, rr)
        (rr.weight * regularize(represented, rr).loss).backward()

    works = {"step": step("cfg"), "without_rr": step("none"), "rr_alone": regularize_alone}
    taken = time_in_turns(works, options.rounds, device)
    seconds = {f"{name}_s": median(values) for name, values in taken.items()}
    return {
        "layers": options.rr_layers,
        **seconds,
        "share": seconds["rr_alone_s"] / (seconds["step_s"] - seconds["rr_alone_s"]),
    }


if __name__ == "__main__":
    main()
