import pytest

from soundwright.core.errors import UserError
from soundwright.core.records import Clip, Location, Source
from soundwright.data.concepts import COUNT_KEY
from soundwright.evaluation.collection import Item
from soundwright.evaluation.pairing import Pairing
from soundwright.evaluation.sides import Sample, Sides
from soundwright.evaluation.subsets import (
    read_counts,
    take_subsets,
    warn_of_promptless,
)

CAPTIONS = {
    "a": "a dog barks",
    "b": "a dog barks and a cat meows",
    "c": "rain, then wind",
    "d": "",
}
SIDES = Sides.of(
    [
        Sample(name, name * 2, name, prompt=caption, partners=(f"{name}-real", "all"))
        for name, caption in CAPTIONS.items()
    ],
    ["a-real", "a-real", "b-real", "c-real", "d-real", "all", "nobody's"],
)


def names(parts):
    return {name: [sample.name for sample in part.generated] for name, part in parts.items()}


def test_every_sound_with_a_prompt_is_in_one_subset_of_each_split():
    assert names(take_subsets(SIDES, ("concepts", "temporal"), {})) == {
        "single concept": ["a"],
        "multiple concepts": ["b", "c"],
        "temporal": ["c"],
        "non-temporal": ["a", "b"],
    }
    assert names(take_subsets(SIDES, ("temporal",), {})).keys() == {"temporal", "non-temporal"}
    assert take_subsets(SIDES, (), {}) == {}
    assert warn_of_promptless(SIDES) == ["1 generated sounds have no prompt, and are in no subset."]


def test_a_subset_has_the_references_of_its_sounds_as_often_as_they_are_there():
    single = take_subsets(SIDES, ("concepts",), {})["single concept"]
    assert single.reference == ("a-real", "a-real", "all")


def test_a_count_of_a_person_or_a_language_model_wins():
    assert names(take_subsets(SIDES, ("concepts",), {"b": 1, "a": 2})) == {
        "single concept": ["b"],
        "multiple concepts": ["a", "c"],
    }


def item(name, tmp_path, **metadata):
    clip = Clip(
        id=name,
        source=Source(dataset="audiocaps", item=name),
        location=Location(path=f"{name}.wav"),
        pcm_hash=name,
        duration=1.0,
        sample_rate=16_000,
        metadata=metadata,
    )
    return Item(name, tmp_path / f"{name}.wav", name, clip=clip)


def test_counts_stand_in_the_manifest_of_either_side(tmp_path):
    generated = [item("a", tmp_path), item("b", tmp_path, **{COUNT_KEY: 3}), item("c", tmp_path)]
    reference = [item("x", tmp_path, **{COUNT_KEY: 2}), item("y", tmp_path, **{COUNT_KEY: 1})]
    pairing = Pairing("id", {}, {}, {"a": ("x",), "b": ("y",)})
    assert read_counts(generated, reference, pairing) == {"a": 2, "b": 3}


@pytest.mark.parametrize("count", [0, 2.5, "two"])
def test_what_is_no_count_is_refused(tmp_path, count):
    wrong = [item("a", tmp_path, **{COUNT_KEY: count})]
    with pytest.raises(UserError, match=f"The clip a has the {COUNT_KEY} {count!r}"):
        read_counts(wrong, [], Pairing("id", {}, {}, {}))
