"""Words of speech and music: whole words, phrases, exceptions, the shipped lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwright.core.errors import UserError
from soundwright.core.files import hash_file
from soundwright.corpus.keywords import (
    find_keywords,
    load_word_list,
    parse_word_list,
    word_list_folder,
)
from soundwright.text.preparation import mentions

SMALL = parse_word_list(
    "small-1",
    b"""# what tells
sing
drum roll   # of two words
song
!bird sing
!song bird
singing = sing
softly =
robin = bird
""",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A choir sings a song", ("sing", "song")),
        ("SONGS, songs; a song", ("song",)),
        ("Drum rolls", ("drum roll",)),
        ("a drum that rolls", ()),
        ("songless", ()),
        ("people singing", ("sing",)),
        ("a robin softly sings", ()),
        ("the robin's singing", ()),
        ("a bird sings while people sing", ("sing",)),
        ("a song bird", ()),
        ("", ()),
    ],
)
def test_terms_phrases_exceptions_and_meanings(text, found):
    assert find_keywords(text, SMALL) == found


@pytest.mark.parametrize("line", ["a b = c", "= sing", "sing = a b", "!", "12", "!softly"])
def test_lines_that_cannot_be_read_are_named(line):
    with pytest.raises(UserError, match="Line 2 of the word list own-1"):
        parse_word_list("own-1", f"softly =\n{line}\n".encode())


def test_own_lists_are_loaded_by_path(tmp_path):
    path = tmp_path / "own-2.txt"
    path.write_text("bell\n")
    words = load_word_list(str(path))
    assert (words.name, words.hash) == ("own-2", hash_file(path))
    assert find_keywords("two bells", words) == ("bell",)
    path.with_name("latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match="not UTF-8"):
        load_word_list(str(path.with_name("latin.txt")))
    with pytest.raises(UserError, match="did you mean 'speech-1'"):
        load_word_list("speach-1")


def test_shipped_lists_stay_as_they_are():
    assert {path.stem: hash_file(path)[:12] for path in word_list_folder().glob("*.txt")} == {
        "music-1": "08e7774bfce5",
        "speech-1": "4fa725de2a6e",
    }, "a changed list is a new version, under a new name"


@pytest.mark.parametrize(
    "text",
    [
        "A man speaks as rain falls",
        "She spoke",
        "People talking in the distance",
        "Children's voices",
        "Male speaker on a microphone",
        "A crowd chants",
        "An announcement over an intercom",
        "Birds chirp and someone whispers",
        "Someone calls out",
        "birds talk",
    ],
)
def test_captions_of_speech(text):
    assert find_keywords(text, load_word_list("speech-1"))


@pytest.mark.parametrize(
    "text",
    [
        "The speaker crackles",
        "A car with loud speakers",
        "A woman laughs and a baby babbles",
        "Someone sneezes and a crowd cheers",
        "Squirrels chatter in a tree",
        "Birds chirping and chattering",
        "Teeth chatter",
        "Leaves whisper in the wind",
        "A brook murmurs",
        "A clock telling the time",
        "A duck calls",
        "A radio plays",
        "An engine hums",
    ],
)
def test_captions_without_speech(text):
    assert find_keywords(text, load_word_list("speech-1")) == ()


@pytest.mark.parametrize(
    "text",
    [
        "Soft music plays",
        "A woman is singing",
        "A bird sings while a man sings",
        "Guitars being strummed",
        "Someone whistles a tune",
        "Drums are played",
        "A man raps",
        "Ominous musical notes",
    ],
)
def test_captions_of_music(text):
    assert find_keywords(text, load_word_list("music-1"))


@pytest.mark.parametrize(
    "text",
    [
        "A bird sings",
        "Robins are loudly singing",
        "Birds chirping and singing",
        "Bird song at dawn",
        "Crickets sing",
        "A whale's song",
        "A singing bowl rings",
        "A whistle blows",
        "The drum of rain on a tin roof",
        "Raindrops drumming on a window",
        "Helicopter blades beat the air",
        "A heart beats",
        "Metal musical chimes ring",
        "Rapping on a door",
        "A rubber band snaps",
        "An elephant trumpets",
        "Bells jingle",
    ],
)
def test_captions_without_music(text):
    assert find_keywords(text, load_word_list("music-1")) == ()


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "dog",
                "dogs",
                "speaks",
                "talking",
                "loudly",
                "rain",
                "says",
                "bells",
                "whisper",
                "and",
            ]
        ),
        max_size=8,
    ).map(" ".join)
)
def test_agrees_with_mentions_where_nothing_is_excepted(text):
    terms = ("speak", "talk", "say", "dog bell")
    words = parse_word_list("t", "\n".join(terms).encode())
    assert set(find_keywords(text, words)) == {term for term in terms if mentions(text, term)}
