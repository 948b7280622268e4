"""Tiny captioners with random weights, and what towers have heard of sounds that are none."""

import torch

from soundwright.captioner.heard import Impression
from soundwright.captioner.language import BartShape
from soundwright.captioner.model import AutoCap, AutoCapConfig
from soundwright.captioner.words import Words, train_words
from soundwright.core.records import Clip, Location, Source
from soundwright.core.seeding import torch_stream

CAPTIONS = (
    "a dog barks twice",
    "rain falls on a roof",
    "a dog is barking in the rain",
    "three bells ring, then a dog barks",
)
KNOWN = ({"title": "rose bark"}, {}, {"visual": "a street", "tags": "dog, rain"})
"""What is known of the sounds of `make_impressions`."""
STATES, VECTOR = 24, 8


def make_words() -> Words:
    return train_words(CAPTIONS, 320)


def make_config(words: Words, **changes) -> AutoCapConfig:
    values = {
        "state_width": STATES,
        "frames": 40,
        "vector_width": VECTOR,
        "queries": 4,
        "width": 16,
        "heads": 2,
        "hidden": 32,
        "field_words": 6,
        "fields": ("title", "tags", "visual"),
        "bart": BartShape(
            words=len(words), width=32, layers=2, heads=4, hidden=64, positions=64
        ).plain(),
    }
    return AutoCapConfig.read({**values, **changes})


def make_model(config: AutoCapConfig) -> AutoCap:
    """In evaluation mode, with biases and norms that are not what they begin as."""
    model = AutoCap(config, seed=3)
    stream = torch_stream(0, "weights")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=stream)
    return model.eval()


def make_impressions() -> list[Impression]:
    stream = torch_stream(0, "impressions")
    return [
        Impression(
            torch.randn(frames, STATES, generator=stream), torch.randn(VECTOR, generator=stream)
        )
        for frames in (5, 9, 7)
    ]


def make_clip(**changes):
    values = {
        "id": "c",
        "source": Source(dataset="d", item="i"),
        "location": Location(path="c.wav"),
        "pcm_hash": "0",
        "duration": 1.0,
        "sample_rate": 8000,
    }
    return Clip(**{**values, **changes})
