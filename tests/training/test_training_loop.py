import copy
import logging
import signal
from pathlib import Path

import pytest
import torch
from torch import nn
from training_tasks import DuelTask, LineBatches, LineTask, duel_config

from soundwright.core.errors import CheckpointError, ConfigError, UserError
from soundwright.core.protocols import Turn
from soundwright.training.checkpoints import newest_checkpoint, read_checkpoint, read_weights
from soundwright.training.interrupts import TrainingInterrupted
from soundwright.training.loop import train
from soundwright.training.metrics import read_records
from soundwright.training.settings import TrainingConfig

BASE = {
    "steps": 20,
    "device": "cpu",
    "precision": "fp32",
    "optimizer": {"lr": 0.05, "schedule": {"warmup": 2}},
    "log_every": 5,
    "validate_every": None,
    "checkpoint_every": None,
    "tensorboard": False,
}


def settings(**changes):
    return TrainingConfig.read({**BASE, **changes})


def weights_of(module: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def records(folder: Path, kind: str) -> list[dict]:
    return [record for record in read_records(folder / "metrics.jsonl") if record["kind"] == kind]


def test_learns_the_line(tmp_path):
    task = LineTask()
    optimizer = {"lr": 0.05, "weight_decay": 0.0, "schedule": {"warmup": 10}}
    config = settings(steps=300, optimizer=optimizer, validate_every=300, average=None)
    result = train(task, LineBatches(), config, tmp_path / "run", validation=LineBatches())
    assert result.step == 300
    assert result.validation["error"] < 1e-3
    torch.testing.assert_close(
        task.line.weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=0.01, rtol=0
    )


def test_matches_a_hand_written_loop(tmp_path):
    task, reference = LineTask(), LineTask()
    train(task, LineBatches(), settings(), tmp_path / "run")
    optimizer = torch.optim.AdamW(
        reference.line.parameters(), lr=0.05, betas=(0.9, 0.95), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 2),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18),
        ],
        milestones=[2],
    )
    for step in range(20):
        x, y = LineBatches()[step]
        optimizer.zero_grad()
        (reference.line(x) - y).square().mean().backward()
        nn.utils.clip_grad_norm_(reference.line.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(task.line.weight, reference.line.weight, atol=1e-6, rtol=0)


def test_accumulation_equals_a_larger_batch(tmp_path):
    class Doubled(LineBatches):
        def __getitem__(self, index):
            pairs = [LineBatches()[2 * index + half] for half in (0, 1)]
            return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))

    single, double = LineTask(), LineTask()
    batches = LineBatches()
    train(single, batches, settings(accumulate=2), tmp_path / "accumulated")
    train(double, Doubled(), settings(), tmp_path / "double")
    assert batches.asked == list(range(40))
    assert [context.micro for context in single.contexts[:4]] == [0, 1, 0, 1]
    assert [context.step for context in single.contexts[:4]] == [0, 0, 1, 1]
    for ours, theirs in zip(single.line.parameters(), double.line.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_turns_of_micro_batches_run_side_by_side(tmp_path):
    task = DuelTask()
    train(task, LineBatches(), duel_config(1), tmp_path / "run")
    assert task.seen == [
        ("discriminator", 0),
        ("discriminator", 1),
        ("generator", 0),
        ("generator", 1),
    ]


def test_a_player_moves_before_the_next_turn_and_leaves_the_others_alone(tmp_path):
    class Watching(DuelTask):
        def turns(self, batch, context):
            before = [weights_of(player) for player in self.players.values()]
            inner = super().turns(batch, context)
            yield next(inner)
            assert same(weights_of(self.generator), before[0])
            assert not same(weights_of(self.discriminator), before[1])
            before[1] = weights_of(self.discriminator)
            yield next(inner)
            assert not same(weights_of(self.generator), before[0])
            parameters = list(self.discriminator.parameters())
            assert all(value.grad is None for value in parameters)

    config = duel_config(3).model_copy(update={"accumulate": 1})
    config = TrainingConfig.read(
        {**config.plain(), "optimizer": {"schedule": {"kind": "constant", "warmup": 0}}}
    )
    assert train(Watching(), LineBatches(), config, tmp_path / "run").step == 3


def test_a_loss_outside_the_players_turn_gives_no_gradient_to_others(tmp_path):
    """A discriminator without loss of its own must not drift through the generator's loss."""

    class Still(DuelTask):
        def turns(self, batch, context):
            x, _ = batch
            yield Turn("generator", -self.discriminator(self.generator(x)).mean())
            yield Turn("discriminator", 0.0 * self.discriminator[0].weight.sum())

    task = Still()
    config = settings(optimizer={"weight_decay": 0.0, "schedule": {"warmup": 0}})
    before = [value.clone() for value in task.discriminator.parameters()]
    train(task, LineBatches(), config, tmp_path / "run")
    assert same(before, list(task.discriminator.parameters()))


def test_micro_batches_that_disagree_are_an_error(tmp_path):
    class Fickle(LineTask):
        def turns(self, batch, context):
            if context.micro == 0:
                yield from super().turns(batch, context)

    with pytest.raises(RuntimeError, match="Micro-batch 1"):
        train(Fickle(), LineBatches(), settings(accumulate=2), tmp_path / "run")


def test_a_bad_batch_is_skipped_and_counted(tmp_path):
    task = LineTask()
    result = train(task, LineBatches(spoilt=(3, 4)), settings(log_every=1), tmp_path / "run")
    assert result.skipped == {"line": 2}
    assert bool(task.line.weight.isfinite().all())
    logged = records(tmp_path / "run", "train")
    assert [record["step"] for record in logged if record["loss"] is None] == [4, 5]
    alarms = records(tmp_path / "run", "alarm")
    assert {alarm["metric"] for alarm in alarms} == {"loss", "gradient_norm"}
    assert {alarm["step"] for alarm in alarms} == {4}


def test_too_many_bad_batches_stop_the_run_with_advice(tmp_path):
    spoilt = LineBatches(spoilt=tuple(range(8, 100)))
    config = settings(bad_steps=3, checkpoint_every=5)
    with pytest.raises(UserError, match="skip 4 steps in a row") as caught:
        train(LineTask(), spoilt, config, tmp_path / "run")
    assert "learning rate" in caught.value.change
    checkpoint = newest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    assert read_checkpoint(checkpoint).step == 10
    weights, _ = read_weights(checkpoint, "line")
    assert all(bool(value.isfinite().all()) for value in weights.values())


def test_a_spoilt_buffer_never_reaches_a_checkpoint(tmp_path):
    class Leaky(LineTask):
        def __init__(self):
            super().__init__()
            self.line.register_buffer("mean", torch.zeros(3))

        def turns(self, batch, context):
            self.line.mean.copy_(batch[0].mean(0))
            yield from super().turns(batch, context)

    config = settings(checkpoint_every=5, average=None)
    with pytest.raises(UserError, match=r"line\.mean holds NaN"):
        train(Leaky(), LineBatches(spoilt=(9,)), config, tmp_path / "run")
    checkpoint = newest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    assert read_checkpoint(checkpoint).step == 5


def test_a_run_ends_before_its_time_where_that_is_said_and_stays_ended(tmp_path):
    asked: list[int] = []

    def ends(done):
        asked.append(done)
        return done >= 8

    def hook(step, task, folder):
        return {"step": float(step)}

    for resume in (False, True):
        result = train(
            LineTask(),
            LineBatches(),
            settings(sample_every=4),
            tmp_path / "run",
            hooks=[hook],
            ends=ends,
            resume=resume,
        )
        assert result.step == 8
        assert result.checkpoint.name == "step-00000008"
    assert asked == [0, 4, 8, 8]


def test_hooks_see_averaged_weights_and_disturb_nothing(tmp_path):
    seen: list[torch.Tensor] = []

    def hook(step, task, folder):
        assert not task.generator.training
        assert not torch.is_grad_enabled()
        torch.rand(5)
        folder.mkdir(parents=True)
        (folder / "note.txt").write_text(str(step))
        seen.append(task.generator[0].weight.clone())
        return {"silent_fraction": 1.0}

    plain, hooked = DuelTask(), DuelTask()
    config = duel_config(12)
    train(plain, LineBatches(), config, tmp_path / "plain")
    train(
        hooked,
        LineBatches(),
        config.model_copy(update={"sample_every": 4}),
        tmp_path / "hooked",
        hooks=[hook],
    )
    assert hooked.generator.training
    for name, player in plain.players.items():
        assert same(weights_of(player), weights_of(hooked.players[name]))
    checkpoint = newest_checkpoint(tmp_path / "hooked" / "checkpoints")
    assert checkpoint is not None
    averaged, _ = read_weights(checkpoint, "generator")
    assert torch.equal(seen[-1], averaged["0.weight"])
    assert not torch.equal(seen[-1], hooked.generator[0].weight)
    assert (tmp_path / "hooked/samples/step-00000008/note.txt").read_text() == "8"
    sampled = records(tmp_path / "hooked", "samples")
    assert [(record["step"], record["silent_fraction"]) for record in sampled] == [
        (4, 1.0),
        (8, 1.0),
        (12, 1.0),
    ]
    assert "silence" in records(tmp_path / "hooked", "alarm")[0]["message"]


def test_the_global_generator_is_left_as_it_was(tmp_path):
    before = torch.get_rng_state()
    train(DuelTask(), LineBatches(), duel_config(2), tmp_path / "run")
    assert torch.equal(before, torch.get_rng_state())


def test_metrics_are_asked_for_only_when_logged(tmp_path):
    task = LineTask()
    train(task, LineBatches(), settings(steps=12), tmp_path / "run")
    wanted = [context.step for context in task.contexts if context.wants_metrics]
    assert wanted == [4, 9, 11]
    logged = records(tmp_path / "run", "train")
    assert [record["step"] for record in logged] == [5, 10, 12]
    names = {"loss", "gradient_norm", "lr", "skipped", "bias", "step_s", "data_s", "items_per_s"}
    assert names <= set(logged[0])


def test_the_stream_gets_the_numbers_that_are_left(tmp_path):
    given: list[range] = []
    closed: list[bool] = []

    def stream(batches, numbers):
        given.append(numbers)
        try:
            yield from (batches[number] for number in numbers)
        finally:
            closed.append(True)

    config = settings(accumulate=2)
    train(LineTask(), LineBatches(), config, tmp_path / "run", stream=stream)
    longer = config.model_copy(update={"steps": 30})
    train(LineTask(), LineBatches(), longer, tmp_path / "run", stream=stream, resume=True)
    assert given == [range(40), range(40, 60)]
    assert closed == [True, True]


def test_a_stream_that_ends_early_is_an_error(tmp_path):
    def stream(batches, numbers):
        return (batches[number] for number in numbers[:7])

    with pytest.raises(RuntimeError, match="ended at step 7"):
        train(LineTask(), LineBatches(), settings(), tmp_path / "run", stream=stream)


def test_checkpoints_are_kept_by_number_and_by_minutes(tmp_path):
    train(
        LineTask(),
        LineBatches(),
        settings(checkpoint_minutes=0.0, keep=3),
        tmp_path / "run",
    )
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["step-00000018", "step-00000019", "step-00000020"]


def test_resume_needs_a_run(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        train(LineTask(), LineBatches(), settings(), tmp_path / "none", resume=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="is no run"):
        train(LineTask(), LineBatches(), settings(), tmp_path / "other", resume=True)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    train(LineTask(), LineBatches(), settings(), tmp_path / "run")
    with pytest.raises(UserError, match="holds a run already"):
        train(LineTask(), LineBatches(), settings(), tmp_path / "run")


def test_a_started_run_without_checkpoint_starts_again(tmp_path):
    spoilt = LineBatches(spoilt=tuple(range(100)))
    with pytest.raises(UserError):
        train(LineTask(), spoilt, settings(log_every=1), tmp_path / "run")
    task, reference = LineTask(), LineTask()
    train(task, LineBatches(), settings(log_every=1), tmp_path / "run", resume=True)
    train(reference, LineBatches(), settings(log_every=1), tmp_path / "reference")
    assert same(weights_of(task.line), weights_of(reference.line))
    steps = [record["step"] for record in records(tmp_path / "run", "train")]
    assert steps == list(range(1, 21))


def test_changed_settings_are_named(tmp_path):
    train(LineTask(), LineBatches(), settings(), tmp_path / "run", metadata={"width": 3})
    changed = settings(steps=30, keep=5, optimizer={"lr": 0.1, "schedule": {"warmup": 2}})
    arguments = (LineBatches(), changed, tmp_path / "run")
    with pytest.raises(ConfigError) as caught:
        train(LineTask(), *arguments, resume=True, metadata={"width": 4})
    text = str(caught.value)
    assert "training.optimizer.lr: 0.05 in the run, 0.1 now" in text
    assert "metadata.width: 3 in the run, 4 now" in text
    assert "training.keep" not in text
    assert "training.steps" not in text
    result = train(LineTask(), *arguments, resume=True, accept_changes=True, metadata={"width": 4})
    assert result.step == 30
    assert read_checkpoint(result.checkpoint).metadata["metadata"] == {"width": 4}


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    class Wider(LineTask):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)

    train(LineTask(), LineBatches(), settings(), tmp_path / "run")
    with pytest.raises(CheckpointError, match="another model"):
        train(Wider(), LineBatches(), settings(), tmp_path / "run", resume=True)


def test_unknown_players_and_keys_are_named(tmp_path):
    config = settings(players={"lin": {"lr": 0.1}})
    with pytest.raises(ConfigError, match="did you mean 'line'"):
        train(LineTask(), LineBatches(), config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"players\.line: unknown key 'lrr'"):
        settings(players={"line": {"lrr": 0.1}})


def test_settings_survive_their_own_file():
    config = duel_config(5)
    assert TrainingConfig.read(config.plain()) == config
    assert config.optimizer_of("discriminator").betas == (0.5, 0.9)
    assert config.optimizer_of("discriminator").clip is None
    assert config.optimizer_of("generator").clip == 1.0


def test_an_alarm_may_stop_the_run(tmp_path, caplog):
    config = settings(
        health={"alarms": [{"name": "bias", "metric": "bi*", "below": 10, "stop": True}]}
    )
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match="An alarm stopped"):
        train(LineTask(), LineBatches(), config, tmp_path / "run")
    assert "bias: bias is" in caplog.text
    assert records(tmp_path / "run", "alarm")[0]["step"] == 15


def test_bf16_autocast_reaches_the_task(tmp_path):
    kinds: set[torch.dtype] = set()

    class Looking(LineTask):
        def turns(self, batch, context):
            kinds.add(self.line(batch[0]).dtype)
            yield from super().turns(batch, context)

    task = Looking()
    before = copy.deepcopy(task.line)
    train(task, LineBatches(), settings(precision="bf16"), tmp_path / "run")
    assert kinds == {torch.bfloat16}
    assert task.line.weight.dtype == torch.float32
    assert not torch.equal(before.weight, task.line.weight)


class Interrupting(LineBatches):
    """Sends signals to its own process when certain batches are asked for."""

    def __init__(self, *numbers):
        super().__init__()
        self.numbers = numbers

    def __getitem__(self, index):
        for _ in range(self.numbers.count(index)):
            signal.raise_signal(signal.SIGINT)
        return super().__getitem__(index)


def test_sigint_finishes_the_step_and_saves(tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingInterrupted, match="Stopped after step 8") as caught:
        train(LineTask(), Interrupting(7), settings(), tmp_path / "run")
    assert caught.value.signal == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) == handler
    resumed, whole = LineTask(), LineTask()
    train(resumed, LineBatches(), settings(), tmp_path / "run", resume=True)
    train(whole, LineBatches(), settings(), tmp_path / "whole")
    assert same(weights_of(resumed.line), weights_of(whole.line))


def test_a_second_sigint_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("soundwright.training.interrupts.IMPATIENT_S", 0.0)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(LineTask(), Interrupting(7, 7), settings(), tmp_path / "run")
    assert not isinstance(caught.value, TrainingInterrupted)
    assert newest_checkpoint(tmp_path / "run" / "checkpoints") is None


def take_all_memory():
    return torch.empty(1 << 60)


def give_up():
    raise MemoryError


@pytest.mark.parametrize("fail", [take_all_memory, give_up])
def test_memory_that_runs_out_is_explained(tmp_path, fail):
    class Greedy(LineTask):
        def turns(self, batch, context):
            fail()
            yield from super().turns(batch, context)

    with pytest.raises(UserError, match=r"no memory left(.|\n)*Lower segments\.batch"):
        train(Greedy(), LineBatches(), settings(), tmp_path / "run")
