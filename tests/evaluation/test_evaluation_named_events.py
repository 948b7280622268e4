"""Which events a caption names, in whatever words."""

import pytest

from soundwright.evaluation.captioning.events import named_events
from soundwright.synthesis.captions import class_prompts
from soundwright.synthesis.lexicon import LEXICON


@pytest.mark.parametrize("label", LEXICON)
def test_every_wording_names_its_label_and_no_other(label):
    for prompt in class_prompts(label):
        assert named_events(prompt, LEXICON) == {label}, prompt


@pytest.mark.parametrize(
    ("caption", "labels"),
    [
        ("a distant dog barks three times, then rain falls", {"dog bark", "rain"}),
        ("two roosters crow while a fire is crackling", {"rooster", "fire crackling"}),
        ("a dog barks without any thunder", {"dog bark"}),
        ("rain, no birds", {"rain"}),
        ("no dogs barking", set()),
        ("a dog sleeps", set()),
        ("", set()),
    ],
)
def test_what_is_said_together_and_what_is_absent(caption, labels):
    assert named_events(caption, LEXICON) == labels
