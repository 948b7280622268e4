"""Tiny models, codecs and pairs of sounds for the tests of preference optimisation."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from soundwright.audio.files import read, write
from soundwright.audio.sound import Sound
from soundwright.codecs.compact import CompactCodecConfig
from soundwright.core.protocols import Posterior, TextStates
from soundwright.core.seeding import torch_stream
from soundwright.data.clips import hash_samples
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.scoring import ScoringConfig
from soundwright.diffusion.unet import LatentUnet, UnetConfig
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.pipelines.models import write_model
from soundwright.pipelines.parts import CodecChoice, build_codec
from soundwright.pipelines.settings import GenerationConfig, TextConfig
from soundwright.preference.policies import DenoisingPolicy, TokenPolicy, TokenScoring
from soundwright.preference.record_files import write_records
from soundwright.preference.records import Pair, Scores, Side, caption_id

RATE, HOP, CODES, BOOKS = 1600, 100, 11, 3
TEXT_WIDTH = 12
PROMPTS = ("a dog barks", "rain", "a bell rings twice", "wind then a car")


class WordEncoder:
    """One fixed random vector a word; a caption's states are those of its words."""

    width = TEXT_WIDTH
    identity = "words"

    def encode(self, texts) -> TextStates:
        words = [text.split() for text in texts]
        length = max(map(len, words))
        states = torch.zeros(len(texts), length, TEXT_WIDTH)
        mask = torch.zeros(len(texts), length, dtype=torch.bool)
        for row, sentence in enumerate(words):
            for column, word in enumerate(sentence):
                states[row, column] = torch.randn(TEXT_WIDTH, generator=torch_stream(0, word))
                mask[row, column] = True
        return TextStates(states, mask, states.sum(1))


class LevelCodec(nn.Module):
    """A `TokenCodec`: how loud a frame is, in steps that grow finer from book to book."""

    sample_rate, channels, hop_length, codebooks, codebook_size = RATE, 1, HOP, BOOKS, CODES

    def encode(self, waveform: Tensor) -> Tensor:
        levels = _frames(waveform).square().mean(-1).sqrt()[:, 0]
        scales = torch.tensor([10.0, 100.0, 1000.0])[None, :, None]
        return (levels[:, None] * scales).long() % CODES

    def decode(self, tokens: Tensor) -> Tensor:
        raise NotImplementedError


class BandCodec(nn.Module):
    """A `LatentCodec`: eight sums over the samples of a frame, as two channels of four bands."""

    sample_rate, channels, hop_length, latent_shape = RATE, 1, HOP, (2, 4)

    @property
    def autoencoder(self) -> nn.Module:
        return self

    def encode(self, waveform: Tensor) -> Posterior:
        weights = torch.randn(HOP, 8, generator=torch_stream(0, "bands"))
        latents = (_frames(waveform)[:, 0] @ weights).unflatten(-1, (2, 4)).transpose(1, 2)
        return Posterior(latents, 0.1 + 0.01 * latents.abs())

    def decode(self, latents: Tensor) -> Tensor:
        raise NotImplementedError


def make_lm(seed: int = 1, **options) -> AudioLm:
    shape = {"dim": 16, "layers": 2, "heads": 2, "codebooks": BOOKS, "codebook_size": CODES}
    lm = AudioLm(LmConfig.read({**shape, "text_width": TEXT_WIDTH, **options}), seed=seed)
    for weight in lm.parameters():
        weight.data.mul_(3.0 if weight.dim() == 2 else 1.0)
    return lm


def make_unet(seed: int = 1, **options) -> LatentUnet:
    shape = {
        "channels": 2, "widths": (8, 16), "attention": (False, True), "heads": (1, 2),
        "layers": 1, "groups": 4, "text_width": TEXT_WIDTH, "cross_width": 8,
    }  # fmt: skip
    return LatentUnet(UnetConfig.read({**shape, **options}), seed=seed)


def token_policy(lm: AudioLm | None = None, **scoring) -> TokenPolicy:
    return TokenPolicy(lm or make_lm(), WordEncoder(), TokenScoring(**scoring))


def denoising_policy(unet: LatentUnet | None = None, seed: int = 0, **scoring) -> DenoisingPolicy:
    conditioner = Conditioner(WordEncoder())
    return DenoisingPolicy(unet or make_unet(), conditioner, ScoringConfig(**scoring), seed)


def make_pairs(
    folder: Path, count: int = 6, *, seconds: float = 1.0, prompts=PROMPTS
) -> list[Pair]:
    """Pairs of noises; the winner is the louder one. Writes sounds and pairs.jsonl."""
    pairs = []
    for number in range(count):
        prompt = prompts[number % len(prompts)]
        sides = [_make_side(folder, f"{number}-{name}", seconds, gain) for name, gain in _SIDES]
        pairs.append(
            Pair(
                id=f"pair{number}",
                caption=caption_id(prompt),
                prompt=prompt,
                strategy="S1.2" if number % 2 else "S2",
                duration=seconds,
                sample_rate=RATE,
                winner=sides[0],
                loser=sides[1],
                scores={"clap": Scores(winner=0.5, loser=0.25)},
            )
        )
    write_records(folder / "pairs.jsonl", "pairs", "f", {}, pairs)
    return pairs


_SIDES = (("w", 0.5), ("l", 0.1))


def _make_side(folder: Path, name: str, seconds: float, gain: float) -> Side:
    path = folder / "sounds" / f"{name}.wav"
    noise = torch.randn(1, round(seconds * RATE), generator=torch_stream(0, "sound", name))
    write(path, Sound((gain * noise / noise.abs().max()), RATE))
    return Side(
        rollout=name,
        path=f"sounds/{name}.wav",
        pcm_hash=hash_samples(read(path)),
        seed=0,
        asked="noise",
    )


def _frames(waveform: Tensor) -> Tensor:
    """[B, C, N] to [B, C, T, hop]."""
    missing = -waveform.shape[-1] % HOP
    padded = nn.functional.pad(waveform, (0, missing))
    return padded.unflatten(-1, (math.ceil(waveform.shape[-1] / HOP), HOP))


def write_token_model(folder: Path, name: str = "random-lm", **shape) -> Path:
    """A language model with its codec, of random weights, as training would leave it."""
    config = CompactCodecConfig.read(
        {
            "fine_width": 16, "wide_width": 32, "encoder_blocks": (1, 1), "decoder_blocks": (1, 1),
            "latent_width": 16, "quantizer": {"codebooks": 2, "codebook_size": 32},
        }
    )  # fmt: skip
    lm = LmConfig.read(
        {
            "dim": 16,
            "layers": 1,
            "heads": 2,
            "codebooks": 2,
            "codebook_size": 32,
            "text_width": 384,
            **shape,
        }
    )
    choice = CodecChoice(compact=config)
    codec = build_codec(choice, 1)
    stream = torch_stream(0, "codes")
    for key, value in codec.state_dict().items():
        if "codebook" in key and value.is_floating_point():
            value.copy_(0.1 * torch.randn(value.shape, generator=stream))
    write_model(
        folder,
        kind="lm",
        name=name,
        parts={
            "codec": (choice.plain(), codec.state_dict()),
            "lm": (lm.plain(), AudioLm(lm, seed=2).state_dict()),
        },
        settings={
            "text": TextConfig().plain(),
            "generation": GenerationConfig(duration=1.0, window=2.0).plain(),
        },
        recipe={},
        licence="Apache-2.0",
        card="Random weights.",
    )
    return folder
