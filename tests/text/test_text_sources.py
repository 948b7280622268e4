"""Captions by where they come from: shares, confidence, and what a clip lacks."""

from collections import Counter

import pytest

from soundwright.core.errors import ConfigError
from soundwright.core.records import Caption, Clip, Location, Source
from soundwright.core.seeding import numpy_stream
from soundwright.text.preparation import PreparationConfig, clip_texts, draw_text

HUMAN = (Caption(text="a dog"), Caption(text="a hound"))
MODEL = Caption(text="an animal", kind="model", model="captioner-1", confidence=0.4)
OTHER = Caption(text="a beast", kind="model", model="captioner-2", confidence=0.8)
TAGS = Caption(text="Dog", kind="tags")


def clip_of(*captions, tags=()):
    source = Source(dataset="test", item="1")
    return Clip(
        id=source.clip_id, source=source, location=Location(path="a.wav"), pcm_hash="",
        duration=1.0, sample_rate=16000, captions=captions, tags=tags,
    )  # fmt: skip


def shares(clip, draws=4000, **config):
    read = PreparationConfig.read(config)
    texts = Counter(draw_text(clip, read, numpy_stream(0, "text", n)) for n in range(draws))
    return {text: count / draws for text, count in texts.items()}


def test_shares_are_of_sources_however_many_captions_each_has():
    found = shares(clip_of(*HUMAN, MODEL), sources={"human": 0.25, "model": 0.75})
    assert found["an animal"] == pytest.approx(0.75, abs=0.03)
    assert found["a dog"] == pytest.approx(0.125, abs=0.03)
    assert found["a hound"] == pytest.approx(0.125, abs=0.03)


def test_a_captioner_may_have_a_share_of_its_own():
    found = shares(clip_of(MODEL, OTHER, *HUMAN), sources={"captioner-2": 3, "model": 1})
    assert found.keys() == {"an animal", "a beast"}
    assert found["a beast"] == pytest.approx(0.75, abs=0.03)


def test_what_a_clip_lacks_falls_to_what_it_has():
    assert shares(clip_of(MODEL), 10, sources={"human": 0.9, "model": 0.1}) == {"an animal": 1}
    lacking = clip_of(MODEL, tags=("Dog", "Bark"))
    assert shares(lacking, 10, sources={"human": 1}) == {"Dog, Bark": 1}
    assert shares(clip_of(MODEL), 10, sources={"human": 1}) == {"": 1}
    assert shares(clip_of(MODEL, *HUMAN), 50, sources={"human": 1, "model": 0}).keys() == {
        "a dog",
        "a hound",
    }


def test_captions_of_which_too_little_is_known_to_hold_are_left_out():
    clip = clip_of(HUMAN[0], MODEL, OTHER)
    assert clip_texts(clip, PreparationConfig(min_confidence=0.5)) == ("a dog", "a beast")
    assert clip_texts(clip, PreparationConfig(min_confidence=0.9)) == ("a dog",)
    assert clip_texts(clip_of(MODEL), PreparationConfig(min_confidence=0.9)) == ()


def test_without_shares_everything_is_drawn_as_ever():
    clip = clip_of(*HUMAN, MODEL, TAGS)
    found = [draw_text(clip, PreparationConfig(), numpy_stream(0, "x", n)) for n in range(30)]
    texts = ("a dog", "a hound", "an animal", "Dog")
    assert found == [texts[int(numpy_stream(0, "x", n).integers(4))] for n in range(30)]


def test_a_tags_own_sentence_has_the_share_of_tags():
    clip = clip_of(HUMAN[0], tags=("Bark",))
    config = {"sources": {"human": 0.5, "tags": 0.5}, "pseudo_sentences": "always"}
    assert shares(clip, **config)["Bark"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("sources", [{}, {"human": -1}])
def test_shares_that_cannot_be_are_refused(sources):
    with pytest.raises(ConfigError, match="sources"):
        PreparationConfig.read({"sources": sources})
