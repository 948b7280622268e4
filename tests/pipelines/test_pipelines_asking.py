"""What may be asked of a model, told by its record alone."""

import pytest

import soundwright
from soundwright.core.errors import CheckpointError, UserError
from soundwright.pipelines.asking import check_asked, read_defaults, samplers_of, settings_of
from soundwright.pipelines.models import BUNDLED, BUNDLED_DIFFUSION, find_model, read_record


@pytest.fixture(scope="module")
def speaking():
    return read_record(find_model(BUNDLED))


@pytest.fixture(scope="module")
def diffusing():
    return read_record(find_model(BUNDLED_DIFFUSION))


def ask(record, negative=None, loop=False, longest=60.0, **given):
    return check_asked(record, given, negative=negative, loop=loop, longest=longest)


def test_defaults_are_those_with_which_the_model_generates(speaking):
    assert read_defaults(speaking) == soundwright.load(BUNDLED).defaults
    assert ask(speaking) == read_defaults(speaking)


def test_each_kind_of_model_has_settings_of_its_own(speaking, diffusing):
    shared = {"duration", "cfg_scale"}
    assert set(settings_of(speaking)) & set(settings_of(diffusing)) == shared
    for record in (speaking, diffusing):
        assert set(settings_of(record)) <= set(read_defaults(record).plain())


def test_what_is_given_takes_the_place_of_defaults(speaking, diffusing):
    settled = ask(speaking, duration=2.0, top_k=None, temperature=0.5, steps=None)
    defaults = read_defaults(speaking)
    assert settled == defaults.model_copy(update={"duration": 2.0, "temperature": 0.5})
    assert ask(diffusing, steps=3, sampler="ddim").plain().items() >= {
        "steps": 3, "sampler": "ddim",
    }.items()  # fmt: skip


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 5}, "steps is not for bundled-lm, which is a language model"),
        ({"sampler": "ddim"}, "sampler is not for"),
        ({"beauty": 1}, "beauty is not for"),
        ({"duration": 61.0}, "duration is 61 s"),
        ({"duration": float("nan")}, "duration is nan s"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"negative": "wind", "cfg_scale": 1.0}, "no effect without guidance"),
        ({"negative": " "}, "negative prompt is empty"),
        ({"loop": True, "duration": 0.9}, "shorter than two cross-fades"),
    ],
)
def test_what_a_language_model_does_not_take_is_refused(speaking, given, says):
    with pytest.raises(UserError, match=says):
        ask(speaking, **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"top_k": 5}, "top_k is not for .* which is a diffusion model"),
        ({"steps": 0}, "steps is 0"),
        ({"sampler": "none such"}, "sampler is 'none such', which cannot run bundled-diffusion"),
        ({"sampler": "euler"}, "sampler is 'euler', which cannot run"),
        ({"cfg_rescale": -1.0}, "cfg_rescale is -1"),
        ({"loop": True, "duration": 0.9}, "shorter than two cross-fades"),
    ],
)
def test_what_a_diffusion_model_does_not_take_is_refused(diffusing, given, says):
    with pytest.raises(UserError, match=says):
        ask(diffusing, **given)


def test_samplers_are_those_that_run_the_process_of_the_model(diffusing):
    assert "dpm++" in samplers_of(diffusing)
    parts = {**diffusing.parts, "unet": {**diffusing.parts["unet"], "process": {"kind": "flow"}}}
    flowing = diffusing.model_copy(update={"parts": parts})
    assert not set(samplers_of(flowing)) & set(samplers_of(diffusing))
    assert ask(flowing, sampler="euler").sampler == "euler"
    with pytest.raises(UserError, match="which cannot run"):
        ask(flowing, sampler="ddim")


def test_what_is_let_through_is_what_generate_takes(speaking):
    model = soundwright.load(BUNDLED)
    given = {"duration": 0.3, "cfg_scale": 1.0, "top_k": 0, "top_p": 1.0, "temperature": 0.0}
    settled = ask(speaking, **given)
    [sound] = model.generate("rain", seed=1, **given)
    assert sound.settings.items() >= settled.plain().items()


def test_a_model_that_makes_no_sounds_is_told_so(speaking):
    captioner = speaking.model_copy(update={"kind": "captioner"})
    with pytest.raises(CheckpointError, match="captioner and generates no sounds"):
        read_defaults(captioner)
