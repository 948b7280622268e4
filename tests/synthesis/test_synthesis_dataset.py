from __future__ import annotations

import itertools

import pytest
import torch

from soundwright.audio.files import read
from soundwright.audio.sound import Sound
from soundwright.core.files import read_json
from soundwright.core.records import Scene
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.dataset import make_example, scenes, synthesise
from soundwright.synthesis.recordings import RecordedClip, RecordingBank
from soundwright.synthesis.scenes import ComposerConfig, render_scene

CONFIG = ComposerConfig(duration=2.0)


@pytest.fixture(scope="module")
def bank() -> RecordingBank:
    hum = torch.from_numpy(0.1 * numpy_stream(0).standard_normal(48000)).float()[None]
    return RecordingBank([RecordedClip("hum-1", "kettle", Sound(hum, 16000))])


def test_example_does_not_depend_on_how_many_are_made():
    few = list(scenes(2, 5, CONFIG))
    many = list(itertools.islice(scenes(1000, 5, CONFIG), 4))
    later = list(scenes(2, 5, CONFIG, first=2))
    for (scene, captions, sound), (other, texts, again) in zip(few + later, many, strict=True):
        assert scene == other
        assert captions == texts
        assert torch.equal(sound.samples, again.samples)


def test_seeds_name_other_data_sets():
    assert make_example(0, 1, CONFIG).scene != make_example(0, 2, CONFIG).scene


def test_files_have_the_same_bytes_twice(tmp_path):
    first = list(synthesise(3, 9, tmp_path / "a", CONFIG))
    again = list(synthesise(5, 9, tmp_path / "b", CONFIG))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [one.source.clip_id for one in first] == [one.source.clip_id for one in again[:3]]
    assert len({one.source.clip_id for one in again}) == 5


def test_scene_beside_the_sound_makes_it_again(tmp_path):
    for written in synthesise(3, 1, tmp_path, CONFIG):
        scene = Scene.model_validate(read_json(written.path.with_suffix(".json")))
        made, stored = render_scene(scene), read(written.path)
        assert stored.sample_rate == 16000
        assert torch.allclose(made.samples, stored.samples, atol=1e-4)


def test_what_is_written_is_described(tmp_path, bank):
    config = ComposerConfig(duration=2.0, labels=("kettle",))
    (real,) = synthesise(1, 1, tmp_path / "real", config, bank)
    assert real.parents == ("hum-1",)
    assert real.tags == ("kettle",)
    assert real.captions
    assert real.events
    assert "parents" in real.licence.evidence
    (made,) = synthesise(1, 1, tmp_path / "made", CONFIG)
    assert made.parents == ()
    assert made.licence.name == "generated"
    assert made.source.clip_id != real.source.clip_id


def test_writing_begins_with_the_first_example_asked_for(tmp_path):
    endless = synthesise(10**9, 0, tmp_path, CONFIG)
    assert next(endless).path.is_file()
    assert len(list(tmp_path.iterdir())) == 2
