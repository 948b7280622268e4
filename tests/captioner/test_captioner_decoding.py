"""Captions written: the likeliest words, draws of a sound's own, and how sure they are."""

import math

import pytest
import torch
from captioner_models import KNOWN

from soundwright.captioner.decoding import CaptioningConfig, write_captions
from soundwright.captioner.heard import join_sounds
from soundwright.captioner.model import number_captions
from soundwright.captioner.task import number_metadata
from soundwright.core.errors import ConfigError

SAMPLED = CaptioningConfig(method="sample", words=8)


@pytest.fixture
def model(model, words):
    """One that says only words that can be read: all but those and the end are next to unlikely."""
    with torch.no_grad():
        for number in range(len(words)):
            if number != words.end and not words.decode([number]).isalpha():
                model.bart.final_logits_bias[0, number] = -100.0
    return model


def say(model, words, impressions, numbers, known):
    """Log-probabilities of the word behind each of `numbers`, by the whole model."""
    captions = torch.tensor([[*numbers, words.end]])
    logits = model(join_sounds(impressions), number_metadata([known], words), captions)
    return logits[0].log_softmax(-1)


@torch.no_grad()
def test_one_beam_takes_the_likeliest_word_each_time(model, words, impressions):
    config = CaptioningConfig(beams=1, words=5, least=0)
    found = write_captions(model, words, join_sounds(impressions), KNOWN, config)
    for impression, known, one in zip(impressions, KNOWN, found, strict=True):
        numbers, logs = [words.begin], []
        while len(numbers) <= 5 and (len(numbers) == 1 or numbers[-1] != words.end):
            scores = say(model, words, [impression], numbers, known)[len(numbers)]
            numbers.append(int(scores.argmax()))
            logs.append(float(scores.max()))
        if numbers[-1] != words.end:
            logs.append(float(say(model, words, [impression], numbers, known)[-1][words.end]))
        assert one.text == words.decode(numbers)
        assert one.confidence == pytest.approx(math.exp(sum(logs) / len(logs)), rel=1e-3)


@pytest.mark.parametrize("config", [CaptioningConfig(words=6), SAMPLED])
def test_batch_mates_change_nothing(model, words, impressions, config):
    seeds = [3, 1, 4]
    together = write_captions(model, words, join_sounds(impressions), KNOWN, config, seeds)
    for place in range(3):
        alone = write_captions(
            model,
            words,
            join_sounds(impressions[place : place + 1]),
            KNOWN[place : place + 1],
            config,
            seeds[place : place + 1],
        )
        assert alone[0].text == together[place].text
        assert alone[0].confidence == pytest.approx(together[place].confidence, rel=1e-3)


def test_the_seed_decides_what_is_drawn(model, words, impressions):
    heard = join_sounds(impressions[:1])

    def draw(seed):
        return write_captions(model, words, heard, KNOWN[:1], SAMPLED, [seed])[0].text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(8)}) > 1


def test_little_of_the_probability_leaves_the_likeliest_word(model, words, impressions):
    heard = join_sounds(impressions)
    drawn = CaptioningConfig(method="sample", top_p=1e-6, words=5, least=2)
    greedy = CaptioningConfig(beams=1, words=5, least=2)
    sampled = write_captions(model, words, heard, KNOWN, drawn, [0, 1, 2])
    likeliest = write_captions(model, words, heard, KNOWN, greedy)
    assert [one.text for one in sampled] == [one.text for one in likeliest]


@pytest.mark.parametrize("method", ["beam", "sample"])
def test_captions_are_as_long_as_asked(model, words, impressions, method):
    config = CaptioningConfig(method=method, words=3, least=3)
    with torch.no_grad():
        # The end is by far the likeliest.
        model.bart.final_logits_bias[0, words.end] = 50.0
    found = write_captions(model, words, join_sounds(impressions), KNOWN, config, [0, 1, 2])
    assert all(one.text for one in found)
    free = CaptioningConfig(method=method, words=3, least=0)
    found = write_captions(model, words, join_sounds(impressions), KNOWN, free, [0, 1, 2])
    assert [one.text for one in found] == [""] * 3


def test_more_beams_find_nothing_less_likely(model, words, impressions):
    def total(one):
        numbers = number_captions([one.text], words, 30)
        return one.confidence, numbers.shape[1]

    heard = join_sounds(impressions)
    fixed = {"words": 4, "least": 4}
    one = write_captions(model, words, heard, KNOWN, CaptioningConfig(beams=1, **fixed))
    many = write_captions(model, words, heard, KNOWN, CaptioningConfig(beams=6, **fixed))
    assert all(b.confidence >= a.confidence * 0.999 for a, b in zip(one, many, strict=True))


@pytest.mark.parametrize(
    "values", [{"beams": 0}, {"temperature": 0}, {"words": 2, "least": 3}, {"method": "search"}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises((ConfigError, Exception), match=r"beams|temperature|words|method"):
        CaptioningConfig.read(values)
