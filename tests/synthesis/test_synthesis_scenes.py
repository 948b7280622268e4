from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from soundwright.audio.sound import Sound
from soundwright.core.errors import ConfigError, UserError
from soundwright.core.records import Scene, SceneEvent
from soundwright.core.seeding import numpy_stream
from soundwright.synthesis.generators.table import GENERATORS
from soundwright.synthesis.lexicon import LEXICON
from soundwright.synthesis.recordings import RecordedClip, RecordingBank
from soundwright.synthesis.scenes import (
    ComposerConfig,
    FormWeights,
    compose_scene,
    render_scene,
)

RATE = 16000
IMPULSIVE = [label for label in GENERATORS if not GENERATORS[label].is_texture]
FORMS = tuple(FormWeights.model_fields)


def only(form: str, **others: object) -> ComposerConfig:
    weights = dict.fromkeys(FORMS, 0.0) | {form: 1.0}
    return ComposerConfig.read({"forms": weights, **others})


def event(label: str, onset: float, seed: int = 0, **others: object) -> SceneEvent:
    values = GENERATORS[label].draw(numpy_stream(seed, label))
    return SceneEvent.model_validate(
        {
            "label": label,
            "onset": onset,
            "offset": onset + values.get("duration", 4.0),
            "source": f"synthesis:{label}",
            "group": 0,
            "seed": seed,
            "parameters": values,
            **others,
        }
    )


def scene_of(*events: SceneEvent, duration: float = 5.0) -> Scene:
    return Scene(duration=duration, seed=1, events=events)


@pytest.fixture(scope="module")
def bank() -> RecordingBank:
    """Two clips of recorded-like sound under labels that need recordings or have generators."""
    rng = numpy_stream(0, "bank")
    bark = torch.zeros(1, 5 * RATE)
    for number in range(3):
        values = GENERATORS["dog bark"].draw(rng)
        samples = GENERATORS["dog bark"].render(values, rng, RATE)
        start = round((0.5 + 1.4 * number) * RATE)
        bark[0, start : start + len(samples)] = torch.from_numpy(samples)
    hum = torch.from_numpy(0.1 * rng.standard_normal(5 * RATE)).float()[None]
    return RecordingBank(
        [
            RecordedClip("bark-1", "dog bark", Sound(bark, RATE)),
            RecordedClip("hum-1", "kettle", Sound(hum, RATE)),
        ]
    )


@pytest.mark.parametrize("label", IMPULSIVE)
@pytest.mark.parametrize("distance", [None, "far"])
def test_energy_begins_at_the_stated_onset(label, distance):
    onset = 0.737
    samples = render_scene(scene_of(event(label, onset, distance=distance))).samples[0].numpy()
    first = round(onset * RATE)
    assert np.abs(samples[:first]).max() == 0
    loud = np.abs(samples) > 10 ** (-30 / 20) * np.abs(samples).max()
    assert 0 <= np.argmax(loud) / RATE - onset < 0.012


@pytest.mark.parametrize("form", FORMS)
def test_events_are_sorted_inside_and_grouped_by_label(form):
    for seed in range(12):
        scene = compose_scene(only(form), seed)
        assert scene.form == form
        onsets = [one.onset for one in scene.events]
        assert onsets == sorted(onsets)
        assert all(0 <= one.onset < one.offset <= scene.duration + 1e-6 for one in scene.events)
        labels = {one.group: one.label for one in scene.events}
        assert all(one.label == labels[one.group] for one in scene.events)
        assert sorted(labels) == list(range(len(labels)))
        assert len(set(labels.values())) == len(labels)


def test_count_scenes_have_one_group_and_all_counts_come():
    scenes = [compose_scene(only("count"), seed) for seed in range(70)]
    counts = Counter(len(scene.events) for scene in scenes)
    assert set(counts) == set(range(1, 9))
    assert all({one.group for one in scene.events} == {0} for scene in scenes)
    assert all(LEXICON[scene.events[0].label].countable for scene in scenes)


@pytest.mark.parametrize("label", ["clock tick", "hand clap", "door knock", "dog bark"])
def test_wanted_count_is_heard(label):
    """As many bursts of energy as events, in the rendered sound itself."""
    for seed in range(4):
        config = only("count", labels=[label], counts=[0, 0, 0, 1, 1], near=0, far=0)
        scene = compose_scene(config, seed)
        assert len(scene.events) in (4, 5)
        sound = render_scene(scene)
        level = np.abs(sound.samples[0].numpy())
        starts = [round(one.onset * RATE) for one in scene.events]
        for start in starts:
            assert level[start : start + 640].max() > 4 * level[max(0, start - 480) : start].max()


def test_bounces_come_faster_and_softer():
    scene = compose_scene(only("count", labels=["ball bounce"], counts=[0, 0, 0, 0, 1]), 3)
    gaps = np.diff([one.onset for one in scene.events])
    gains = [one.gain_db for one in scene.events]
    assert len(scene.events) == 5
    assert (np.diff(gaps) < 0).all()
    assert gains[-1] < gains[0] - 1


def test_sequence_keeps_its_order():
    for seed in range(20):
        scene = compose_scene(only("sequence"), seed)
        groups = [one.group for one in scene.events]
        assert groups == sorted(groups)
        assert 2 <= len(set(groups)) <= 4


def test_overlap_overlaps():
    for seed in range(20):
        scene = compose_scene(only("overlap"), seed)
        spans = [
            (min(e.onset for e in g), max(e.offset for e in g))
            for g in ([e for e in scene.events if e.group == n] for n in (0, 1))
        ]
        assert max(start for start, _ in spans) < min(end for _, end in spans)


def test_background_is_a_quieter_texture():
    for seed in range(12):
        scene = compose_scene(only("background"), seed)
        behind, *front = scene.events
        assert not LEXICON[behind.label].countable
        assert behind.offset == pytest.approx(scene.duration)
        assert all(behind.gain_db <= -9 for _ in front)


def test_absent_labels_are_not_there():
    for seed in range(20):
        scene = compose_scene(only("absence"), seed)
        assert scene.absent
        assert not set(scene.absent) & {one.label for one in scene.events}


def test_near_and_far_differ_as_in_the_world():
    def spectrum(distance: str | None) -> tuple[float, float]:
        samples = render_scene(scene_of(event("hand clap", 0.5, distance=distance))).samples[0]
        power = np.abs(np.fft.rfft(samples.numpy())) ** 2
        bright = power[len(power) // 2 :].sum() / power.sum()
        tail = float(samples[round(0.8 * RATE) : round(1.2 * RATE)].abs().max())
        return bright, tail

    near, plain, far = (spectrum(distance) for distance in ("near", None, "far"))
    assert near[0] > plain[0] > 5 * far[0]
    assert far[1] > 10 * plain[1]


def test_same_seed_same_scene_and_samples():
    for seed in range(6):
        first, again = (compose_scene(ComposerConfig(), seed) for _ in range(2))
        assert first == again
        assert torch.equal(render_scene(first).samples, render_scene(again).samples)
    assert compose_scene(ComposerConfig(), 1) != compose_scene(ComposerConfig(), 2)


def test_record_that_went_through_json_renders_to_the_same_samples(bank):
    for seed in range(8):
        scene = compose_scene(ComposerConfig(), seed, bank)
        copy = Scene.model_validate_json(scene.model_dump_json())
        assert copy == scene
        assert torch.equal(render_scene(copy, bank).samples, render_scene(scene, bank).samples)


def test_scenes_are_safe_to_play():
    for seed in range(30):
        sound = render_scene(compose_scene(ComposerConfig(loud=0.5, near=0.3), seed))
        samples = sound.samples
        assert samples.shape == (1, 5 * RATE)
        assert torch.isfinite(samples).all()
        assert samples.abs().max() <= 0.971
        assert samples.abs().max() > 0.01
        assert samples.mean().abs() < 0.003


def test_rendering_is_addition():
    one, two = event("dog bark", 0.5), event("bird chirp", 1.5, group=1)
    both = render_scene(scene_of(one, two)).samples
    alone = render_scene(scene_of(one)).samples + render_scene(scene_of(two)).samples
    assert torch.allclose(both, alone, atol=1e-6)


def test_gain_is_in_decibels():
    loud = render_scene(scene_of(event("dog bark", 0.5))).samples.abs().max()
    soft = render_scene(scene_of(event("dog bark", 0.5, gain_db=-20.0))).samples.abs().max()
    assert float(loud / soft) == pytest.approx(10.0, rel=1e-3)


def test_other_durations_and_rates():
    config = ComposerConfig(duration=2.0)
    for seed in range(10):
        assert render_scene(compose_scene(config, seed), sample_rate=32000).frames == 64000


def test_recordings_are_used_and_named(bank):
    config = only("count", labels=["dog bark"])
    scene = compose_scene(config, 0, bank)
    assert {one.source for one in scene.events} == {"clip:bark-1"}
    assert render_scene(scene, bank).samples.abs().max() > 0.05
    generated = compose_scene(only("count", labels=["dog bark"], prefer_recordings=0.0), 0, bank)
    assert generated.events[0].source == "synthesis:dog bark"


def test_label_that_only_the_bank_has_is_a_texture(bank):
    scene = compose_scene(only("single", labels=["kettle"]), 0, bank)
    assert scene.events[0].source == "clip:hum-1"
    assert scene.events[0].offset > 4


def test_scene_without_its_recordings_says_which(bank):
    scene = compose_scene(only("single", labels=["kettle"]), 0, bank)
    with pytest.raises(UserError, match="hum-1"):
        render_scene(scene)
    with pytest.raises(UserError, match="hum-1"):
        render_scene(scene, RecordingBank([]))


def test_unknown_generator_is_named():
    strange = event("dog bark", 0.0).model_copy(update={"source": "synthesis:dog barc"})
    with pytest.raises(UserError, match="did you mean 'dog bark'"):
        render_scene(scene_of(strange))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"labels": ["dog barc"]}, "did you mean 'dog bark'"),
        ({"labels": ["rain"], "forms": dict.fromkeys(FORMS, 0) | {"count": 1}}, "count"),
        ({"labels": ["rain"], "forms": dict.fromkeys(FORMS, 0) | {"sequence": 1}}, "sequence"),
    ],
)
def test_labels_that_cannot_make_a_scene(values, words):
    config = ComposerConfig.read(values)
    with pytest.raises(ConfigError, match=words):
        compose_scene(config, 0)


def test_forms_that_the_labels_cannot_make_are_left_out():
    config = ComposerConfig(labels=("dog bark",))
    forms = {compose_scene(config, seed).form for seed in range(40)}
    assert forms == {"single", "several", "count", "absence"}


@pytest.mark.parametrize(
    "values",
    [
        {"forms": dict.fromkeys(FORMS, 0)},
        {"counts": [1] * 9},
        {"gap": [1.0, 0.5]},
        {"near": 0.6, "far": 0.6},
        {"duration": 0},
    ],
)
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ConfigError):
        ComposerConfig.read(values)
