from __future__ import annotations

import pytest

from soundwright.core.errors import ConfigError
from soundwright.core.files import hash_bytes
from soundwright.core.records import Caption, Clip, Location, Source
from soundwright.core.seeding import numpy_stream
from soundwright.text.metadata import MetadataConfig, merge_metadata
from soundwright.text.numbers import cardinal, drop_numbers, ordinal, spell_numerals
from soundwright.text.preparation import (
    PRESETS,
    PreparationConfig,
    clip_texts,
    draw_text,
    excluded_term,
    mentions,
    prepare,
    pseudo_sentence,
)
from soundwright.text.stop_words import STOP_WORDS

NONE, RR_SOUND, RR_MUSIC = PRESETS["none"], PRESETS["rr-sound"], PRESETS["rr-music"]
SCENE_CAPTIONS = [
    "A dog barks three times, then a bell rings; no thunder is heard.",
    "First two knocks, afterwards a rooster crows once.",
    "Rain falls while a cat meows 4 times, without any wind",
]


def make_clip(*captions: Caption | str, tags: tuple[str, ...] = (), **metadata: object) -> Clip:
    source = Source(dataset="test", item="1")
    given = (one if isinstance(one, Caption) else Caption(text=one) for one in captions)
    return Clip(
        id=source.clip_id, source=source, location=Location(path="a.wav"), pcm_hash="",
        duration=1.0, sample_rate=16000, captions=tuple(given), tags=tags,
        metadata=metadata,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


@pytest.mark.parametrize("caption", SCENE_CAPTIONS)
def test_bundled_preparation_keeps_counts_order_and_negation(caption: str) -> None:
    assert prepare(caption, NONE) == caption
    assert prepare(f"  {caption}\n\t", NONE) == caption


def test_preparation_of_the_paper_deletes_counts_order_and_negation() -> None:
    prepared = [prepare(caption, RR_SOUND) for caption in SCENE_CAPTIONS]
    assert prepared == [
        "dog bark time bell ring thunder hear",
        "knock afterwards rooster crow",
        "rain fall cat meow time wind",
    ]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog barks at the park", "dog bark park"),
        ("Geese honking; it's raining.", "goose honk rain"),
        ("Two men's dogs aren’t barking at 3:30", "man dog bark"),
        ("A high-pitched two-stroke engine, 1,500 rpm!", "high-pitch stroke engine rpm"),
        ("Wolves howl - twenty-one times", "wolf howl time"),
    ],
)
def test_natural_captions_lose_stop_words_and_numbers(caption: str, expected: str) -> None:
    assert prepare(caption, RR_SOUND) == expected


def test_a_text_of_stop_words_is_not_emptied() -> None:
    assert prepare("And then, three?", RR_SOUND) == "and then three"
    assert prepare("", RR_SOUND) == prepare("  ", RR_SOUND) == ""


def test_preparation_is_idempotent_on_its_kind_of_text() -> None:
    for caption in SCENE_CAPTIONS:
        once = prepare(caption, RR_SOUND)
        assert prepare(once, RR_SOUND) == once


def test_audiogen_option_writes_digits_as_words() -> None:
    config = PreparationConfig(numbers="words", drop_punctuation=True, lower_case=True)
    assert prepare("3 dogs; 2.5 s at 10:30!", config) == "three dogs two point five s at ten thirty"
    assert prepare("The 21st of 1,234 bells", config) == (
        "the twenty-first of one thousand two hundred and thirty-four bells"
    )
    assert prepare("4x4", config) == "four x four"


def test_punctuation_inside_numbers_stays() -> None:
    config = PreparationConfig(drop_punctuation=True)
    assert prepare("at 2.5 kHz, 10:30. End", config) == "at 2.5 kHz 10:30 End"


def test_long_texts_are_prepared() -> None:
    text = "two dogs bark, " * 400
    assert prepare(text, RR_SOUND) == " ".join(["dog bark"] * 400)


def test_pseudo_sentences_are_tags_one_after_another() -> None:
    tags = ["Dog", "Dog", "Bow-wow", " water_drops ", "", "Three bells"]
    assert pseudo_sentence(tags, RR_SOUND) == "dog bow-wow water drops three bells"
    assert pseudo_sentence(tags, NONE) == "Dog, Bow-wow, water drops, Three bells"
    assert pseudo_sentence([], RR_SOUND) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Speech", True),
        ("Male speech, man speaking", True),
        ("Child giving speeches and crowd clapping", True),
        ("a SPEECH's end", True),
        ("speechless", False),
        ("people speaking", False),
        ("", False),
    ],
)
def test_mentions_whole_words_in_any_form(text: str, found: bool) -> None:
    assert mentions(text, "speech") is found
    assert mentions(["bell", text], "speech") is found


def test_mentions_terms_of_several_words() -> None:
    assert mentions("Water drops on a roof", "water drop")
    assert not mentions("A drop of water", "water drop")
    assert not mentions("anything", "")


def test_clips_with_speech_are_left_out_by_the_papers_preset_only() -> None:
    for clip in (make_clip("a bell", tags=("Speech",)), make_clip("a bell", "Speech, a bell")):
        assert excluded_term(clip, RR_SOUND) == "speech"
        assert excluded_term(clip, NONE) is None
    assert excluded_term(make_clip("a man talks", tags=("Dog",)), RR_SOUND) is None


def test_texts_of_a_clip() -> None:
    clip = make_clip("Two dogs bark.", "Dogs", tags=("Dog", "Bark"))
    assert clip_texts(clip, NONE) == ("Two dogs bark.", "Dogs")
    assert clip_texts(clip, RR_SOUND) == ("dog bark", "dog")
    never = PreparationConfig(pseudo_sentences="never")
    assert clip_texts(make_clip(tags=("Dog", "Bark")), NONE) == ("Dog, Bark",)
    assert clip_texts(make_clip(tags=("Dog", "Bark")), never) == ()
    made = Caption(text="Three Bells, ringing", kind="tags")
    assert clip_texts(make_clip(made), RR_SOUND) == ("three bells ringing",)


def test_drawn_text_depends_on_the_generator_only() -> None:
    clip = make_clip("one", "two", "three")
    draws = [draw_text(clip, NONE, numpy_stream(0, "text", step)) for step in range(60)]
    assert set(draws) == {"one", "two", "three"}
    assert draws == [draw_text(clip, NONE, numpy_stream(0, "text", step)) for step in range(60)]
    assert draw_text(make_clip(), NONE, numpy_stream(0)) == ""


def merged(description: str, seed: int = 0, **options: object) -> str:
    metadata = {"genre": "folk", "bpm": 120.0, "tags": ["guitar", "calm"], "unknown": "x"}
    config = MetadataConfig.read(options)
    return merge_metadata(description, metadata, config, numpy_stream(seed))


def test_metadata_joins_a_description() -> None:
    everything = {"merge_probability": 1, "drop_field": 0, "shuffle": False}
    assert merged("A song.", drop_description=0, **everything) == (
        "A song. genre: folk. bpm: 120. tags: guitar, calm"
    )
    assert merged("A song.", drop_description=1, **everything) == (
        "genre: folk. bpm: 120. tags: guitar, calm"
    )
    assert merged("A song.", merge_probability=0) == "A song."
    assert merged("A song.", merge_probability=1, drop_field=1) == "A song."


def test_metadata_is_shuffled_and_dropped_from_its_own_stream() -> None:
    texts = [merged("", seed, merge_probability=0, drop_field=0.5) for seed in range(80)]
    assert texts == [merged("", seed, merge_probability=0, drop_field=0.5) for seed in range(80)]
    assert all(texts)
    parts = [tuple(text.split(". ")) for text in texts]
    assert {len(part) for part in parts} == {1, 2, 3}
    assert len({part for part in parts if len(part) == 3}) > 3
    assert all("unknown" not in text for text in texts)


def test_number_of_draws_does_not_depend_on_the_input() -> None:
    states = []
    for description, metadata in [("", {}), ("a", {"genre": "x"}), ("b", {"bpm": 3, "key": "C"})]:
        generator = numpy_stream(5)
        merge_metadata(description, metadata, MetadataConfig(), generator)
        states.append(generator.random())
    assert len(set(states)) == 1


def test_music_metadata_of_a_clip() -> None:
    clip = make_clip("A calm song", tags=("guitar",), genre="folk", bpm=90)
    texts = {draw_text(clip, RR_MUSIC, numpy_stream(0, step)) for step in range(300)}
    assert "A calm song" in texts
    assert any("genre: folk" in text and "A calm song" in text for text in texts)
    assert any(text.startswith(("genre", "bpm", "tags")) for text in texts)
    assert draw_text(make_clip(genre="folk"), RR_MUSIC, numpy_stream(0)) == "genre: folk"


@pytest.mark.parametrize(
    ("number", "words", "place"),
    [
        (0, "zero", "zeroth"),
        (12, "twelve", "twelfth"),
        (20, "twenty", "twentieth"),
        (21, "twenty-one", "twenty-first"),
        (123, "one hundred and twenty-three", "one hundred and twenty-third"),
        (1001, "one thousand and one", "one thousand and first"),
        (1234, "one thousand, two hundred and thirty-four",
         "one thousand, two hundred and thirty-fourth"),
        (2_000_345, "two million, three hundred and forty-five",
         "two million, three hundred and forty-fifth"),
        (10**9, "one billion", "one billionth"),
    ],
)  # fmt: skip
def test_numbers_in_words(number: int, words: str, place: str) -> None:
    assert cardinal(number) == words
    assert ordinal(number) == place


def test_huge_numerals_are_read_digit_by_digit() -> None:
    assert cardinal(10**15 + 7) == "one" + " zero" * 14 + " seven"
    assert spell_numerals("007 and 2.05") == "seven and two point zero five"


def test_numbers_are_dropped_whole() -> None:
    assert drop_numbers("two 2 2nd second 1990s bone someone thousands").split() == [
        "bone",
        "someone",
    ]


def test_presets_survive_a_checkpoint() -> None:
    for config in PRESETS.values():
        assert PreparationConfig.read(config.plain()) == config
    with pytest.raises(ConfigError, match="stop_words"):
        PreparationConfig.read({"stop_words": "en-99"})


def test_stop_word_list_of_a_version_never_changes() -> None:
    # A change belongs in a new version: checkpoints name the one that they were trained with.
    words = sorted(STOP_WORDS["en-1"])
    assert {"then", "no", "the", "and"} <= set(words)
    assert not {"dog", "loud", "water", "ring", "distant", "speech"} & set(words)
    assert hash_bytes(" ".join(words).encode())[:16] == "676a56bb466eb5f1"
