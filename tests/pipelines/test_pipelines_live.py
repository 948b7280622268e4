"""Sounds that are streamed, looped, filled in, steered away, or the best of several."""

import json
from itertools import islice

import pytest
import torch
from foreign_models import write_musicgen

import soundwright
from soundwright.audio.files import read
from soundwright.audio.joining import close_loop, needed_for_loop
from soundwright.audio.loudness import rms_db
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.core.seeding import torch_stream
from soundwright.pipelines.importing import import_model
from soundwright.pipelines.loops import FADE_S
from soundwright.scorers.tagger import Tagger, judge_folder

ROUNDING = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def model(tiny_model):
    return soundwright.load(tiny_model)


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    """Two channels at 400 Hz, read half a second at a time."""
    folder = tmp_path_factory.mktemp("stereo")
    write_musicgen(folder / "theirs", stereo=True)
    import_model(folder / "theirs", folder / "ours")
    model = soundwright.load(folder / "ours")
    model.defaults = model.defaults.model_copy(update={"window": 0.5, "duration": 1.0})
    return model


def noise(samples, rate, gain=0.1, seed=0):
    return Sound(gain * torch.randn(1, samples, generator=torch_stream(seed, "test")), rate)


@pytest.mark.parametrize("duration", [0.03, 1.0, 3.3])
def test_a_stream_is_what_generate_gives(model, duration):
    whole = model.generate("rain", seed=3, duration=duration)[0]
    stream = model.stream("rain", seed=3, duration=duration)
    assert stream.frames == whole.samples.shape[1]
    pieces = list(stream)
    assert torch.equal(torch.cat(pieces, dim=1), whole.samples)
    assert stream.done == stream.frames
    assert len(pieces) > 1 or duration < 1.5
    assert stream.origin.describe(stream.duration) == whole.describe()


def test_so_it_is_with_a_beginning_in_stereo_and_where_it_is_too_loud(model, stereo):
    for source, rate in ((model, 16_000), (stereo, 400)):
        settings = {
            "duration": 3.0,
            "seed": 2,
            "negative": "wind",
            "continue_from": noise(round(1.3 * rate), rate, gain=0.8),
            "temperature": 0.9,
        }
        whole = source.generate("rain", **settings)[0].samples
        pieces = list(source.stream("rain", **settings))
        assert len(pieces) > 2
        assert torch.equal(torch.cat(pieces, dim=1), whole)
        assert whole.abs().max() == pytest.approx(0.99)
    assert whole.shape[0] == 2


def test_memory_does_not_grow_with_a_streams_length(model, count_live_bytes):
    pieces, seen = model.stream("rain", duration=3600.0), []
    for _ in range(3):
        for _ in islice(pieces, 5):
            pass
        seen.append(count_live_bytes())
    # Less than a piece of 0.64 s.
    assert max(seen) - min(seen) < 0.6 * 16_000 * 4


def test_a_stream_is_saved_as_a_whole_sound_is(model, tmp_path):
    settings = {"duration": 2.0, "seed": 1}
    model.generate("rain", **settings)[0].save(tmp_path / "once" / "rain.wav")
    heard = []
    model.stream("rain", **settings, progress=heard.append).save(tmp_path / "live" / "rain.wav")
    for file in ("rain.wav", "rain.json"):
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "live" / file).read_bytes()
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_an_interrupted_stream_keeps_what_there_is_and_says_how_much(model, tmp_path):
    def stop(done):
        if done > 0.5:
            raise KeyboardInterrupt

    stream = model.stream("rain", duration=4.0, progress=stop)
    with pytest.raises(KeyboardInterrupt, match=r"rain.wav holds the first [12]\.\d\d s of 4 s"):
        stream.save(tmp_path / "rain.wav")
    there = read(tmp_path / "rain.wav")
    assert 1.0 < there.duration < 3.0
    whole = model.generate("rain", duration=4.0)[0].samples
    length = there.samples.shape[1]
    torch.testing.assert_close(there.samples, whole[:, :length], rtol=0, atol=1 / 32768)
    described = json.loads((tmp_path / "rain.json").read_text())
    assert described["complete"] is False
    assert described["duration"] == pytest.approx(there.duration)


def test_before_the_first_sound_there_is_no_file(model, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    stream = model.stream("rain", duration=4.0, progress=stop)
    with pytest.raises(KeyboardInterrupt, match="before the first sound"):
        stream.save(tmp_path / "rain.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration": 90_000.0}, "at most 86400 s"),
        ({"duration": 0.0}, "duration is 0 s"),
        ({"negative": " "}, "The negative prompt is empty"),
        ({"negative": "wind", "cfg_scale": 1.0}, "no effect without guidance"),
        ({"continue_from": Sound(torch.zeros(1, 40_000), 16_000)}, "longer duration"),
    ],
)
def test_a_stream_that_cannot_be_is_refused_at_once(model, settings, message):
    with pytest.raises(UserError, match=message):
        model.stream("rain", **settings)


def test_a_stream_goes_into_a_wav_only(model, tmp_path):
    with pytest.raises(UserError, match=r"written as .flac"):
        model.stream("rain").save(tmp_path / "rain.flac")
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_long_may_be_streamed(model):
    with pytest.raises(UserError, match=r"at most 600 s(.|\n)*Model.stream"):
        model.generate("rain", duration=601.0)
    assert model.stream("rain", duration=601.0).duration == 601.0


def test_a_negative_prompt_changes_the_sound_and_is_noted(model):
    plain = model.generate("rain", duration=0.4)[0]
    away = model.generate("rain", duration=0.4, negative="wind")[0]
    assert not torch.equal(plain.samples, away.samples)
    assert away.settings["negative"] == "wind"
    assert "negative" not in plain.settings
    unguided = model.generate("rain", duration=0.4, cfg_scale=1.0)[0]
    itself = model.generate("rain", duration=0.4, negative="rain")[0]
    torch.testing.assert_close(itself.samples, unguided.samples, **ROUNDING)


@pytest.mark.parametrize("source", ["model", "stereo"])
def test_the_end_of_a_loop_flows_into_its_beginning(source, request):
    model = request.getfixturevalue(source)
    rate = model.sample_rate
    looped = model.generate("rain", duration=2.5, seed=4, loop=True)[0]
    assert looped.duration == 2.5
    assert looped.settings["loop"] is True
    length, fade = round(2.5 * rate), round(FADE_S * rate)
    longer = model.generate("rain", duration=needed_for_loop(length, fade, rate) / rate, seed=4)[0]
    closed = close_loop(longer.samples, length, fade, rate)
    expected = closed * min(1.0, 0.99 / float(closed.abs().max()))
    torch.testing.assert_close(looped.samples, expected, **ROUNDING)
    # From the last sample to the first it goes as it went there before, apart from the stretch.
    gain = float(looped.samples.abs().max() / closed.abs().max())
    step = looped.samples[:, 0] - looped.samples[:, -1]
    before = gain * (longer.samples[:, fade] - longer.samples[:, fade - 1])
    usual = looped.samples.diff(dim=1).abs().max()
    assert (step - before).abs().max() < 0.25 * usual


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration": 0.9}, "A loop of 0.9 s is shorter"),
        ({"continue_from": Sound(torch.zeros(1, 16_000), 16_000)}, "cannot begin with a given"),
    ],
)
def test_a_loop_that_cannot_be_is_refused(model, settings, message):
    with pytest.raises(UserError, match=message):
        model.generate("rain", **{"duration": 2.0, "loop": True, **settings})


@pytest.mark.parametrize("span", [(0.7, 1.23), (0.0, 0.5), (1.9, 2.35)])
@pytest.mark.parametrize("source", ["model", "stereo"])
def test_outside_of_the_span_a_sound_stays_sample_by_sample(source, request, span):
    model = request.getfixturevalue(source)
    rate = model.sample_rate
    given = noise(round(2.35 * rate), rate)
    filled = model.infill("rain", given, span, candidates=3, seed=5)[0]
    start, stop = (round(place * rate) for place in span)
    old = given.samples.expand(*filled.samples.shape)
    assert torch.equal(filled.samples[:, :start], old[:, :start])
    assert torch.equal(filled.samples[:, stop:], old[:, stop:])
    assert not torch.equal(filled.samples[:, start:stop], old[:, start:stop])
    # Cross-fades inside of the span.
    if start:
        edge = filled.samples[:, start] - old[:, start]
        assert edge.abs().max() < 0.01
    if stop < old.shape[1]:
        edge = filled.samples[:, stop - 1] - old[:, stop - 1]
        assert edge.abs().max() < 0.01
    scores = [candidate["likelihood"] for candidate in filled.ranking["candidates"]]
    assert filled.ranking["kept"] == scores.index(max(scores))
    assert len(scores) == 3
    again = model.infill("rain", given, span, candidates=3, seed=5)[0]
    assert torch.equal(again.samples, filled.samples)
    assert filled.settings["infilled"]["span"] == list(span)


def test_more_candidates_lead_at_least_as_well_to_what_follows(model):
    given = noise(32_000, 16_000)
    best = []
    for candidates in (1, 4):
        filled = model.infill("rain", given, (0.5, 1.0), candidates=candidates)[0]
        best.append(max(one["likelihood"] for one in filled.ranking["candidates"]))
    assert best[1] >= best[0] - 1e-5


def test_spans_are_filled_once_for_each_sound(model):
    sounds = model.infill(
        ["rain", "wind"], noise(32_000, 16_000), (0.5, 1.0), num_samples=2, candidates=2, seed=3
    )
    assert [(sound.prompt, sound.seed) for sound in sounds] == [
        ("rain", 3),
        ("rain", 4),
        ("wind", 5),
        ("wind", 6),
    ]
    alone = model.infill("wind", noise(32_000, 16_000), (0.5, 1.0), candidates=2, seed=6)[0]
    torch.testing.assert_close(alone.samples, sounds[3].samples, **ROUNDING)
    assert not torch.equal(sounds[0].samples, sounds[1].samples)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((1.0, 3.0), "does not lie in a sound of 2 s"),
        ((-0.1, 1.0), "does not lie"),
        ((1.0, 0.5), "does not lie"),
        ((float("nan"), 1.0), "does not lie"),
        ((1.0, 1.05), "too short"),
        ((0.0, 2.0), "the whole sound"),
    ],
)
def test_a_span_that_cannot_be_filled_is_refused(model, span, message):
    with pytest.raises(UserError, match=message):
        model.infill("rain", noise(32_000, 16_000), span)


def test_counts_below_one_are_refused(model):
    with pytest.raises(UserError, match="candidates is 0"):
        model.infill("rain", noise(32_000, 16_000), (0.5, 1.0), candidates=0)
    with pytest.raises(UserError, match="best_of is 0"):
        model.generate("rain", best_of=0)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_the_best_of_several_is_the_one_with_the_most_evidence(model, batch_size):
    settings = {"duration": 1.5, "negative": "wind", "continue_from": noise(8_000, 16_000)}
    best = model.generate(["rain", "a bell"], seed=10, best_of=3, batch_size=batch_size, **settings)
    for number, sound in enumerate(best):
        candidates = sound.ranking["candidates"]
        first = 10 + 3 * number
        assert [one["seed"] for one in candidates] == [first, first + 1, first + 2]
        values = [one["evidence"] for one in candidates]
        assert sound.seed == sound.ranking["kept"] == first + values.index(max(values))
        again = model.generate(sound.prompt, seed=sound.seed, **settings)[0]
        torch.testing.assert_close(again.samples, sound.samples, **ROUNDING)
        assert again.ranking is None


def test_evidence_is_what_the_text_explains_beyond_none(model):
    renderer, settings = model._renderer, model.defaults
    (tokens,) = renderer.draw_tokens([("rain", 1)], settings)
    sound = model.generate("rain", seed=1, best_of=1)[0]
    again = renderer.finish(tokens, settings)
    assert torch.equal(again, sound.samples)
    assert renderer.weigh("rain", tokens, settings, negative="rain") == pytest.approx(0, abs=1e-6)
    candidates = model.generate("rain", seed=1, best_of=2)[0].ranking["candidates"]
    expected = renderer.weigh("rain", tokens, settings)
    assert candidates[0]["evidence"] == pytest.approx(expected, abs=1e-5)


class Level:
    """Prefers the loudest."""

    name = "level"

    def score(self, waveforms, sample_rate, prompts):
        assert len(waveforms) == len(prompts)
        assert sample_rate == 16_000
        levels = [rms_db(waveform) for waveform in waveforms]
        return [{"loud": level, "soft": -level} for level in levels]


@pytest.mark.parametrize("rank_by", ["loud", "soft"])
def test_a_scorer_may_choose(model, rank_by):
    best = model.generate("rain", seed=2, duration=0.5, best_of=4, scorer=Level(), rank_by=rank_by)[
        0
    ]
    alone = [model.generate("rain", seed=seed, duration=0.5)[0].samples for seed in range(2, 6)]
    levels = [float(rms_db(samples)) for samples in alone]
    wanted = max(levels) if rank_by == "loud" else min(levels)
    assert best.seed == 2 + levels.index(wanted)
    assert best.ranking["scorer"] == "level"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"best_of": 2, "rank_by": "loud"}, "needs a scorer"),
        ({"scorer": Level()}, "nothing to choose from"),
        ({"best_of": 2, "scorer": Level()}, "gives 2 numbers"),
        ({"best_of": 2, "scorer": Level(), "rank_by": "lod"}, "did you mean 'loud'"),
    ],
)
def test_a_ranking_that_cannot_be_is_refused(model, settings, message):
    with pytest.raises(UserError, match=message):
        model.generate("rain", duration=0.2, **settings)


def test_the_judge_never_chooses(model):
    with pytest.raises(UserError, match="never chooses"):
        model.generate("rain", best_of=2, scorer=Tagger.load(judge_folder()))
