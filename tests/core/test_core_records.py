"""Records: identity, validation, JSON."""

import pytest
from pydantic import ValidationError

from soundwright.core.records import Caption, Clip, Event, Location, Scene, SceneEvent, Source


def test_clip_id_depends_on_source_and_span_only():
    whole = Source(dataset="esc10", item="1-2-A")
    assert whole.clip_id == Source(dataset="esc10", item="1-2-A", url="x").clip_id
    others = [
        Source(dataset="esc50", item="1-2-A"),
        Source(dataset="esc10", item="1-2-B"),
        Source(dataset="esc10", item="1-2-A", start=1.0),
        Source(dataset="esc10", item="1-2-A", end=1.0),
    ]
    assert len({whole.clip_id, *(other.clip_id for other in others)}) == 5


def test_records_round_trip_through_json():
    source = Source(dataset="d", item="i", start=1.5, end=2.5)
    clip = Clip(
        id=source.clip_id,
        source=source,
        location=Location(path="a.wav"),
        pcm_hash="0" * 64,
        duration=1.0,
        sample_rate=16_000,
        captions=(Caption(text="a dog barks"),),
        events=(Event(label="dog bark", onset=0.1, offset=0.4),),
        scores={"x": 0.1},
    )
    assert Clip.model_validate_json(clip.model_dump_json()) == clip
    scene = Scene(
        duration=5.0,
        seed=1,
        events=(SceneEvent(label="bell", onset=0, offset=1, source="synthesis:bell", group=0),),
    )
    assert Scene.model_validate_json(scene.model_dump_json()) == scene


def test_an_event_cannot_end_before_it_begins():
    with pytest.raises(ValidationError, match="before onset"):
        Event(label="x", onset=2.0, offset=1.0)
