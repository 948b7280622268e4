import itertools

import pytest
import torch
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.protocols import Batches, StepContext, TrainingTask
from soundwright.core.seeding import initialising, torch_stream
from soundwright.scorers.augmentation import AugmentationConfig, augment, relative_to_peak
from soundwright.scorers.clips import LabelledBatch, LabelledClips
from soundwright.scorers.tagger import Tagger, TaggerConfig
from soundwright.scorers.task import TaggerTask, TaggerTaskConfig

RATE = 16000
NAMES = ("tone", "hiss")
CPU = torch.device("cpu")
STILL = AugmentationConfig(
    crop_frames=40,
    stretch=0,
    transpose=0,
    equaliser_db=0,
    mixture=0,
    noise=0,
    band_limit=0,
    bars=0,
)


def sound(label: str, seed: int, seconds: float = 0.8) -> Tensor:
    generator = torch_stream(seed, label)
    samples = int(seconds * RATE)
    if label == "hiss":
        return 0.1 * torch.randn(1, samples, generator=generator)
    pitch = 300 + 2000 * torch.rand(1, generator=generator)
    return 0.3 * torch.sin(2 * torch.pi * pitch * torch.arange(samples) / RATE)[None]


def new_tagger() -> Tagger:
    with initialising(0, "tagger"):
        return Tagger(TaggerConfig(labels=NAMES, widths=(8, 12)))


def clips(tagger: Tagger, count: int = 5, batch_size: int = 4) -> LabelledClips:
    labels = [NAMES[number % 2] for number in range(count)]
    return LabelledClips(
        [sound(label, number, 0.4 + 0.1 * number) for number, label in enumerate(labels)],
        labels,
        names=NAMES,
        levels=tagger.levels,
        sample_rate=RATE,
        batch_size=batch_size,
        seed=3,
    )


def spectrogram(frames: int = 60, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch_stream(0, "levels")
    levels = relative_to_peak(-40 * torch.rand(batch, 64, frames, generator=generator))
    return levels, torch.ones(batch, frames, dtype=torch.bool), torch.eye(batch)


def test_every_pass_deals_every_clip_once() -> None:
    data = clips(new_tagger(), count=5, batch_size=4)
    lengths = [
        int(length) for index in range(5) for length in data[index].mask.sum(1)
    ]  # 20 clips: four passes
    passes = [sorted(lengths[first : first + 5]) for first in range(0, 20, 5)]
    assert all(one == passes[0] for one in passes)
    assert len(set(passes[0])) == 5
    assert len({tuple(lengths[first : first + 5]) for first in range(0, 20, 5)}) > 1


def test_a_batch_is_a_function_of_its_number() -> None:
    tagger = new_tagger()
    data: Batches[LabelledBatch] = clips(tagger)
    later = data[7]
    for index in range(7):
        data[index]
    assert torch.equal(data[7].levels, later.levels)
    assert torch.equal(clips(tagger)[7].labels, later.labels)


def test_clips_are_padded_behind_their_mask_and_keep_their_labels() -> None:
    tagger = new_tagger()
    data = clips(tagger, count=5, batch_size=4)
    first, second = data.everything()
    assert first.labels.tolist() == [0, 1, 0, 1]
    assert second.labels.tolist() == [0]
    for number, (levels, mask) in enumerate(zip(first.levels, first.mask, strict=True)):
        own = tagger.levels.read(sound(NAMES[number % 2], number, 0.4 + 0.1 * number), RATE)
        assert own is not None
        assert torch.equal(levels[:, mask], own)
        assert not mask[own.shape[1] :].any()


@pytest.mark.parametrize(
    ("waveforms", "labels", "message"),
    [
        ([], [], "0 waveforms"),
        ([sound("hiss", 0)], ["hiss", "tone"], "1 waveforms came with 2 labels"),
        ([sound("hiss", 0)], ["hisss"], "did you mean 'hiss'"),
        ([torch.zeros(1, RATE)], ["hiss"], "silent"),
    ],
)
def test_unusable_clips_are_refused(waveforms, labels, message) -> None:
    with pytest.raises(UserError, match=message):
        LabelledClips(
            waveforms,
            labels,
            names=NAMES,
            levels=new_tagger().levels,
            sample_rate=RATE,
            batch_size=2,
            seed=0,
        )


def test_without_variation_only_a_window_is_taken() -> None:
    levels, mask, targets = spectrogram()
    varied, inside, same = augment(levels, mask, targets, STILL, torch_stream(1, "draws"))
    assert varied.shape == (3, 64, 40)
    assert inside.all()
    assert torch.equal(same, targets)
    # Windows begin between frames, so that neighbours are interpolated: the range stays.
    assert varied.amax() == 0
    assert varied.amin() >= levels.amin() - 1e-3


def test_a_short_clip_is_placed_whole_within_the_window() -> None:
    levels, mask, targets = spectrogram(frames=12)
    varied, inside, _ = augment(levels, mask, targets, STILL, torch_stream(1, "draws"))
    assert ((inside.sum(1) >= 11) & (inside.sum(1) <= 12)).all()
    assert (varied.masked_fill(inside[:, None], -200) < -150).all()
    assert len({row.nonzero()[0].item() for row in inside}) > 1


def test_mixtures_share_the_label_and_keep_the_louder_part_on_top() -> None:
    levels, mask, targets = spectrogram(batch=6)
    config = STILL.model_copy(update={"mixture": 1.0})
    _, _, mixed = augment(levels, mask, targets, config, torch_stream(2, "draws"))
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))
    assert (mixed.diagonal() >= 0.5).all()
    assert (mixed.diagonal() < 1).any()


@pytest.mark.parametrize(
    "change",
    [
        {"stretch": 0.5},
        {"transpose": 0.3},
        {"equaliser_db": 6.0},
        {"mixture": 1.0},
        {"noise": 1.0, "noise_db": (-20.0, -10.0)},
        {"band_limit": 1.0},
        {"bars": 2},
    ],
)
def test_every_variation_changes_the_levels_and_keeps_the_peak(change) -> None:
    levels, mask, targets = spectrogram()
    draw = lambda config: augment(levels, mask, targets, config, torch_stream(4, "draws"))[0]  # noqa: E731
    still, varied = draw(STILL), draw(STILL.model_copy(update=change))
    assert (still - varied).abs().amax() > 1
    assert varied.isfinite().all()
    assert varied.amax() <= 0


def test_draws_follow_the_generator() -> None:
    levels, mask, targets = spectrogram()
    config = AugmentationConfig()
    first, again, other = (
        augment(levels, mask, targets, config, torch_stream(seed, "draws"))[0] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def losses(tagger: Tagger, steps: range, data: Batches[LabelledBatch]) -> list[float]:
    """Train as the loop does; the optimizer is plain descent and so has no state."""
    task: TrainingTask[LabelledBatch] = TaggerTask(tagger, TaggerTaskConfig(seed=1))
    optimizer = torch.optim.SGD(tagger.parameters(), lr=0.05)
    seen = []
    tagger.train()
    for step in steps:
        for turn in task.turns(data[step], StepContext(step, 0, CPU)):
            assert turn.player in task.players
            turn.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(turn.loss.item())
    return seen


def test_learns_to_tell_a_tone_from_hiss() -> None:
    tagger = new_tagger()
    data = clips(tagger, count=8, batch_size=8)
    losses(tagger, range(40), data)
    result = TaggerTask(tagger, TaggerTaskConfig()).validate(data.everything()[0], CPU)
    assert result["accuracy"] == 1
    assert tagger.recognise([sound("tone", 90), sound("hiss", 90)], RATE) == ["tone", "hiss"]


def test_a_resumed_run_draws_what_an_undisturbed_one_draws() -> None:
    whole, halved = new_tagger(), new_tagger()
    data = clips(whole)
    expected = losses(whole, range(4), data)
    first = losses(halved, range(2), data)
    resumed = new_tagger()
    resumed.load_state_dict(halved.state_dict())
    assert first + losses(resumed, range(2, 4), data) == expected
    assert len(set(expected)) == 4


def test_micro_batches_of_a_step_are_varied_differently() -> None:
    tagger = new_tagger()
    task = TaggerTask(tagger, TaggerTaskConfig())
    batch = clips(tagger)[0]
    contexts = [StepContext(step, micro, CPU) for step, micro in itertools.product((0, 1), (0, 1))]
    seen = {next(task.turns(batch, context)).loss.item() for context in contexts}
    assert len(seen) == 4


def test_validation_draws_nothing_and_leaves_the_mode() -> None:
    tagger = new_tagger().train()
    task = TaggerTask(tagger, TaggerTaskConfig())
    batch = clips(tagger)[0]
    assert task.validate(batch, CPU) == task.validate(batch, CPU)
    assert tagger.training
