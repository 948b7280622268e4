import pytest

from soundwright.text.concepts import count_concepts, is_temporal, split_concepts


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        # The examples of the paper's Table 6, and of its text.
        (
            "An aircraft engine runs and vibrates, metal spinning and grinding occur, and the "
            "engine accelerates and fades into the distance",
            6,
        ),
        (
            "Bubbles gurgling and water spraying as a man speaks softly while crowd of people talk "
            "in the background",
            4,
        ),
        ("A man talking then meowing and hissing", 3),
        ("A woman speaks while cooking", 2),
        ("A dog barks", 1),
        ("Rain falls followed by thunder, and then wind.", 3),
        ("", 1),
    ],
)
def test_concepts_are_counted_as_in_the_examples_of_the_paper(caption, count):
    assert count_concepts(caption) == count


def test_words_of_time_are_whole_words():
    assert is_temporal("Rain, Then thunder")
    assert is_temporal("A bang followed by a shout")
    assert not is_temporal("An authentic engine in the aftermath, following a beforehand")


@pytest.mark.parametrize(
    ("caption", "concepts", "joints"),
    [
        ("A dog barks.", ["A dog barks"], []),
        (
            "A man speaks, and then a dog barks followed by rain",
            ["A man speaks", "a dog barks", "rain"],
            [", and then", "followed by"],
        ),
        ("Then, a bell rings while a cat meows!", ["a bell rings", "a cat meows!"], ["while"]),
        ("", [], []),
    ],
)
def test_a_caption_falls_into_concepts_and_joints(caption, concepts, joints):
    assert split_concepts(caption) == (concepts, joints)
    assert len(concepts) in (count_concepts(caption), 0)
