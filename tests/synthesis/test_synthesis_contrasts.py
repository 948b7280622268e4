import pytest

from soundwright.core.records import Scene, SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.captions import caption_scene
from soundwright.synthesis.contrasts import content_of, contrast_scene
from soundwright.synthesis.lexicon import entry_of


def scene(*labels: str, form: str) -> Scene:
    """One event a label; equal neighbours form a group."""
    events, group = [], -1
    for number, label in enumerate(labels):
        group += not events or events[-1].label != label
        events.append(
            SceneEvent(
                label=label,
                onset=number,
                offset=number + 0.5,
                source=f"synthesis:{label}",
                group=group,
            )
        )
    return Scene(duration=8.0, seed=1, events=tuple(events), form=form)


BARKS = scene(*["dog bark"] * 3, form="count")
STORY = scene("dog bark", "dog bark", "rain", "church bell", form="sequence")


def labels_in_order(given: Scene) -> list[str]:
    return [event.label for event in sorted(given.events, key=lambda event: event.group)]


@pytest.mark.parametrize("seed", range(8))
def test_another_count_changes_the_number_alone(seed: int) -> None:
    other = contrast_scene(BARKS, "count", numpy_stream(seed, "test"))
    assert other is not None
    assert {event.label for event in other.events} == {"dog bark"}
    assert 1 <= len(other.events) <= 8
    assert len(other.events) != 3
    assert content_of(other) != content_of(BARKS)


@pytest.mark.parametrize("seed", range(8))
def test_another_order_keeps_labels_and_counts(seed: int) -> None:
    other = contrast_scene(STORY, "order", numpy_stream(seed, "test"))
    assert other is not None
    assert sorted(labels_in_order(other)) == sorted(labels_in_order(STORY))
    assert labels_in_order(other) != labels_in_order(STORY)
    assert content_of(other) != content_of(STORY)


@pytest.mark.parametrize("seed", range(8))
def test_another_label_is_of_the_same_kind_and_new(seed: int) -> None:
    other = contrast_scene(STORY, "label", numpy_stream(seed, "test"))
    assert other is not None
    new = {event.label for event in other.events} - {event.label for event in STORY.events}
    (gone,) = {event.label for event in STORY.events} - {event.label for event in other.events}
    (label,) = new
    assert entry_of(label).countable == entry_of(gone).countable


def test_captions_tell_the_contrast() -> None:
    other = contrast_scene(BARKS, "count", numpy_stream(0, "test"))
    assert other is not None
    told = {caption.text for caption in caption_scene(BARKS, 4, seed=0)}
    assert told.isdisjoint(caption.text for caption in caption_scene(other, 4, seed=0))


def test_what_is_not_told_has_no_contrast() -> None:
    rng = numpy_stream(0, "test")
    rain = scene("rain", form="single")
    assert contrast_scene(rain, "count", rng) is None
    assert contrast_scene(rain, "order", rng) is None
    assert contrast_scene(scene("dog bark", "dog bark", form="several"), "count", rng) is None


def test_scenes_that_tell_the_same_have_the_same_content() -> None:
    first, second = (
        scene("rain", "dog bark", form="overlap"),
        scene("dog bark", "rain", form="overlap"),
    )
    assert content_of(first) == content_of(second)
    reverse = scene("rain", "dog bark", form="sequence")
    assert content_of(reverse) != content_of(scene("dog bark", "rain", form="sequence"))
