"""Words, metadata and spoilt texts: what a captioner reads and writes."""

import pytest
from captioner_models import CAPTIONS, make_clip

from soundwright.captioner.denoising import DenoisingConfig, Texts, infill
from soundwright.captioner.metadata import clean_title, read_metadata
from soundwright.captioner.words import Words, train_words
from soundwright.core.errors import CheckpointError, UserError
from soundwright.core.records import Licence
from soundwright.core.seeding import numpy_stream


def test_the_same_texts_make_the_same_words(words):
    assert train_words(reversed(CAPTIONS), 320).text == words.text
    assert len(words) <= 320


@pytest.mark.parametrize("text", ["a dog barks twice", "Ünïcode, 犬 & <s> marks!", "x"])
def test_every_text_can_be_written(words, text):
    numbers = words.encode(text)
    assert not {words.begin, words.pad, words.end} & set(numbers) or "<s>" in text
    if "<s>" not in text:
        assert words.decode([words.begin, *numbers, words.end]) == text


def test_words_survive_their_file(words):
    again = Words(words.text)
    assert again.encode("a dog barks") == words.encode("a dog barks")
    assert (again.begin, again.pad, again.end) == (0, 1, 2)


@pytest.mark.parametrize("text", ["", "{}", '{"model": 1}'])
def test_what_is_no_tokenizer_is_refused(text):
    with pytest.raises(CheckpointError, match="tokenizer"):
        Words(text)


def test_too_few_words_are_refused():
    with pytest.raises(UserError, match="too few"):
        train_words(CAPTIONS, 100)


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("animals_dog-bark_001.wav", "animals dog bark"),
        ("My Dog George.WAV", "my dog george"),
        ("dogs.aiff", "dogs"),
        ("rain.in.paris", "rain in paris"),
        ("folder/rain 2.ogg", "rain"),
        ("007.wav", ""),
    ],
)
def test_titles_become_words(title, clean):
    assert clean_title(title) == clean


def test_metadata_are_read_off_a_clip():
    clip = make_clip(
        licence=Licence(name="CC0", title="rose_bark.wav"),
        tags=("dog bark", "rain"),
        metadata={"visual_caption": "a dog  in a yard"},
    )
    assert read_metadata(clip) == {
        "title": "rose bark",
        "tags": "dog bark, rain",
        "visual": "a dog in a yard",
    }
    assert read_metadata(make_clip()) == {}
    named = make_clip(licence=Licence(name="CC0", title="a.wav"), metadata={"title": "b"})
    assert read_metadata(named)["title"] == "b"


def test_infilling_hides_spans_and_keeps_the_rest_in_order():
    config = DenoisingConfig(masked=0.4, span=2.0)
    numbers = list(range(10, 30))
    kept_words = 0
    for draw in range(200):
        spoilt = infill(numbers, 4, config, numpy_stream(0, draw))
        kept = [number for number in spoilt if number != 4]
        assert kept == sorted(kept)
        assert set(kept) <= set(numbers)
        assert 4 in spoilt
        kept_words += len(kept)
    # Spans may overlap, and some are empty: no more than asked is hidden.
    assert 0.6 <= kept_words / (200 * 20) < 0.85
    assert infill(numbers, 4, DenoisingConfig(masked=0.0), numpy_stream(0)) == numbers
    assert infill([], 4, config, numpy_stream(0)) == []


def test_texts_are_drawn_each_once_an_epoch():
    texts = Texts(CAPTIONS, 2, seed=1)
    drawn = [*texts[0].texts, *texts[1].texts]
    assert sorted(drawn) == sorted(CAPTIONS)
    assert texts[3].draws == (6, 7)
