import pytest
from preference_sounds import select

from soundwright.core.errors import UserError
from soundwright.preference.perturbation.instructions import write_request
from soundwright.preference.perturbation.outline import Outline
from soundwright.preference.perturbation.perturber import (
    PerturbationError,
    find_fault,
    read_lines,
    share_words,
)
from soundwright.preference.perturbation.relation import LEAST_COSINE, SentenceRelation
from soundwright.preference.perturbation.rules import RulePerturber
from soundwright.preference.perturbing import PerturbingChoice, plan_jobs
from soundwright.synthesis.captions import class_prompts
from soundwright.synthesis.lexicon import LEXICON

MAN = "A man is speaking then a sewing machine briefly turns on and off"
BELL = "After a bell rings, a dog barks"


@pytest.mark.parametrize(
    "caption",
    [
        MAN,
        BELL,
        "a dog barks",
        "Three dog barks, followed by rain falling.",
        "A strange hum",
        "People cheering and race cars racing by",
        *(class_prompts(label)[0] for label in LEXICON),
    ],
)
def test_rules_make_five_captions_that_are_wrong_but_related(caption):
    found = RulePerturber(3).perturb(caption, "S2", 5)
    assert find_fault(caption, found, 5, share_words) is None
    assert found == RulePerturber(3).perturb(caption, "S2", 5)
    assert all(text[0].isupper() == caption[0].isupper() for text in found)
    assert all(text.endswith(".") == caption.endswith(".") for text in found)


def test_another_seed_makes_others():
    assert RulePerturber(1).perturb(MAN, "S2", 5) != RulePerturber(2).perturb(MAN, "S2", 5)


def order_of(text):
    """Whether the humming is heard before the other event, after it, or with it."""
    outline = Outline.of(text)
    said = outline.order(0)
    if said == "together" or "hum" in outline.concepts[0]:
        return said
    return {"first": "second", "second": "first"}[said]


@pytest.mark.parametrize(
    ("caption", "order"),
    [
        ("a blender hums, then a dog barks", "first"),
        ("a blender hums before a dog barks", "first"),
        ("a blender hums followed by a dog barking", "first"),
        ("a blender hums after a dog barks", "second"),
        ("after a blender hums, a dog barks", "first"),
        ("a blender hums while a dog barks", "together"),
    ],
)
def test_temporal_perturbations_change_the_order_every_time(caption, order):
    assert order_of(caption) == order
    found = RulePerturber(5).perturb(caption, "S3", 5)
    assert find_fault(caption, found, 5, share_words) is None
    assert order not in map(order_of, found)


def test_events_that_belong_together_move_together():
    outline = Outline.of("Water drips and a man talks, then a bell rings, a dog barks.")
    said = outline.reorder(1, "second", 0).write()
    assert said == "A bell rings, a dog barks, then water drips and a man talks."
    assert Outline.of(MAN).concepts[-1] == "a sewing machine briefly turns on and off"
    assert Outline.of(BELL).reorder(0, "together", 0).write() == "A bell rings while a dog barks"


@pytest.mark.parametrize("caption", [MAN, BELL, "I hear rain. A dog barks, I think.", "", "!"])
def test_an_outline_writes_the_caption_that_it_was_made_of(caption):
    assert Outline.of(caption).write() == caption.replace("!", "")


def test_a_caption_without_known_words_has_no_perturbation_and_says_so():
    with pytest.raises(PerturbationError, match="no rule applies: 0 of 5"):
        RulePerturber().perturb("the of and", "S2", 5)


def test_answers_are_read_without_numbers_bullets_quotes_and_introduction():
    answer = (
        'Here are five captions:\n\n1. "A dog barks."\n2) A cat meows\n- *Rain*\n 2 dogs bark\n'
    )
    assert read_lines(answer) == ["A dog barks.", "A cat meows", "Rain", "2 dogs bark"]


GOOD = ["two dogs bark", "a dog growls", "a dog howls", "dogs barking", "a dog barks at a cat"]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (GOOD, None),
        (GOOD[:4], "4 captions instead of 5"),
        ([*GOOD[:4], GOOD[0].upper()], "same caption twice"),
        ([*GOOD[:4], "A dog barks twice, two times!"], "the original"),
        ([*GOOD[:4], "dog " * 30], "of 30 words"),
        ([*GOOD[:4], f"a dog ba{'r' * 1000}ks"], "characters"),
        ([*GOOD[:4], "12 34"], "without words"),
        ([*GOOD[:4], "I cannot help with that"], "nothing to do"),
        ([*GOOD[:4], "a cat meows two times"], "nothing to do"),
    ],
)
def test_nonsense_is_found(texts, says):
    fault = find_fault("a dog barks twice, two times", texts, 5, share_words)
    assert fault is None if says is None else says in fault


def test_related_captions_need_not_share_a_word():
    relation = SentenceRelation()
    caption = "People cheering and race cars racing by."
    # Of the paper's Table 1.
    assert not share_words(caption, "Crowd applauding and bicycles speeding past.")
    assert relation(caption, "Crowd applauding and bicycles speeding past.")
    assert relation(caption, "Fans shouting and airplanes flying by.")
    assert relation.cosine(caption, "I'm sorry, I can't help with that.") < LEAST_COSINE / 2
    assert not relation(caption, "As an AI model I have no audio")


def test_the_request_has_the_requirements_of_table_1():
    second, third = (write_request("rain, then wind", one, 5) for one in ("S2", "S3"))
    for request in (second, third):
        assert request.startswith("This is the caption of an audio clip: rain, then wind\n")
        for words in (
            "5 other captions",
            "closely related",
            "wrong",
            "unrelated",
            "as long",
            "line",
        ):
            assert words in request
    assert "iv)" in second
    assert "v)" not in second.replace("iv)", "")
    assert "ii) change the order" in third
    assert "v)" in third.replace("iv)", "")


def test_strategies_have_their_captions():
    captions = [*select("a dog barks"), *select("rain, then wind", cluster=None)]
    jobs = plan_jobs(captions, PerturbingChoice())
    assert [(job.caption.text, job.strategy) for job in jobs] == [
        ("a dog barks", "S2"),
        ("rain, then wind", "S3"),
    ]
    with pytest.raises(UserError, match="None of the 1 captions is one for S3"):
        plan_jobs(captions[:1], PerturbingChoice(strategies=("S3",)))
