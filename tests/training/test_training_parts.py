import json
import math
import resource

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from soundwright.core.errors import CheckpointError, UserError
from soundwright.training.averaging import AverageConfig, AveragedWeights
from soundwright.training.checkpoints import (
    Checkpoint,
    list_checkpoints,
    newest_checkpoint,
    read_checkpoint,
    read_weights,
    remove_leavings,
    write_checkpoint,
)
from soundwright.training.health import DEAD_CODEBOOK, AlarmConfig, HealthConfig, HealthMonitor
from soundwright.training.metrics import JsonLines, open_sinks, read_records
from soundwright.training.optimizers import OptimizerConfig, Player
from soundwright.training.schedules import ScheduleConfig, scale_at
from soundwright.training.states import flatten, restore


@pytest.mark.parametrize(
    ("kind", "step", "scale"),
    [
        ("cosine", 0, 0.0),
        ("cosine", 1, 0.25),
        ("cosine", 4, 1.0),
        ("cosine", 6, 0.8535533905932737),
        ("cosine", 8, 0.5),
        ("cosine", 12, 0.0),
        ("cosine", 20, 0.0),
        ("linear", 2, 0.5),
        ("linear", 4, 1.0),
        ("linear", 6, 0.75),
        ("linear", 12, 0.0),
        ("linear", 20, 0.0),
        ("inverse_sqrt", 2, 0.5),
        ("inverse_sqrt", 4, 1.0),
        ("inverse_sqrt", 16, 0.5),
        ("constant", 3, 0.75),
        ("constant", 9, 1.0),
    ],
)
def test_schedules_have_literal_values(kind, step, scale):
    config = ScheduleConfig(kind=kind, warmup=4)
    assert scale_at(config, step, 12) == pytest.approx(scale, abs=1e-12)


@pytest.mark.parametrize("kind", ["cosine", "linear", "inverse_sqrt", "constant"])
def test_schedules_without_warm_up_begin_at_the_full_rate(kind):
    config = ScheduleConfig(kind=kind, warmup=0)
    assert scale_at(config, 0, 10) == 1.0
    assert 0.0 <= scale_at(config, 9, 10) <= 1.0


def test_cosine_ends_at_its_minimum():
    config = ScheduleConfig(warmup=0, minimum=0.1)
    assert scale_at(config, 5, 10) == pytest.approx(0.55)
    assert scale_at(config, 10, 10) == pytest.approx(0.1)


def test_vectors_are_decayed_by_default_and_spared_on_request():
    def decayed(**changes):
        module = nn.Linear(2, 2)
        nn.init.ones_(module.weight)
        nn.init.ones_(module.bias)
        schedule = ScheduleConfig(kind="constant", warmup=0)
        player = Player("p", module, OptimizerConfig(lr=0.1, schedule=schedule, **changes), 10)
        player.take(0.0 * sum(value.sum() for value in module.parameters()), 1)
        player.move(0)
        return module.weight[0, 0].item(), module.bias[0].item()

    assert decayed() == pytest.approx((0.99, 0.99))
    assert decayed(decay_vectors=False) == pytest.approx((0.99, 1.0))


def test_clipping_bounds_the_gradient_and_reports_it_unclipped():
    module = nn.Linear(1, 1, bias=False)
    start = module.weight.detach().clone()
    config = OptimizerConfig(lr=1.0, eps=1.0, betas=(0.0, 0.0), weight_decay=0.0, clip=0.5)
    config = config.model_copy(update={"schedule": ScheduleConfig(kind="constant", warmup=0)})
    player = Player("p", module, config, 10)
    player.take(4.0 * module.weight.sum(), 1)
    move = player.move(0)
    assert move.gradient_norm == pytest.approx(4.0)
    # With both betas 0 and eps 1 the step is lr * g / (|g| + 1), g the clipped gradient.
    assert (start - module.weight).item() == pytest.approx(0.5 / 1.5, rel=1e-4)


def test_a_player_goes_on_exactly_where_weights_lie_with_channels_last():
    def make():
        torch.manual_seed(3)
        module = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
        schedule = ScheduleConfig(kind="constant", warmup=0)
        return Player("p", module, OptimizerConfig(lr=0.1, schedule=schedule), 10)

    def step(player, number):
        stream = torch.Generator().manual_seed(number)
        player.take(player.module(torch.randn(2, 3, 4, 4, generator=stream)).square().sum(), 1)
        player.move(number)

    whole, first, second = make(), make(), make()
    for number in range(4):
        step(whole, number)
    for number in range(2):
        step(first, number)
    # As a checkpoint keeps them.
    moments = {
        number: {name: value.clone().contiguous() for name, value in state.items()}
        for number, state in first.state_dict().items()
    }
    weights = {name: value.contiguous() for name, value in first.module.state_dict().items()}
    second.module.load_state_dict(weights)
    second.load_state_dict(moments)
    for number in range(2, 4):
        step(second, number)
    assert torch.equal(second.module.weight, whole.module.weight)


def test_frozen_parameters_stay_and_a_player_without_any_is_refused():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    schedule = ScheduleConfig(kind="constant", warmup=0)
    player = Player("p", module, OptimizerConfig(lr=0.1, schedule=schedule), 10)
    player.take(module(torch.ones(1, 2)).sum(), 1)
    player.move(0)
    assert torch.equal(before, module[0].weight)
    module.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        Player("p", module, OptimizerConfig(), 10)


class Value(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))

    def become(self, value):
        with torch.no_grad():
            self.weight.fill_(value)
            self.count.fill_(int(value))


def test_the_unbiased_average_follows_its_definition():
    module = Value()
    average = AveragedWeights(module, AverageConfig(decay=0.5, every=2))
    for step, value in enumerate((9, 1, 9, 2, 9, 3), start=1):
        module.become(value)
        average.update(step)
    expected = (1 * 0.25 + 2 * 0.5 + 3) / (0.25 + 0.5 + 1)
    assert average.weights()["weight"].item() == pytest.approx(expected)
    assert average.weights()["count"].item() == 3


def test_the_biased_average_follows_its_definition():
    module = Value()
    average = AveragedWeights(module, AverageConfig(decay=0.5, every=1, unbiased=False))
    for step, value in enumerate((1, 2), start=1):
        module.become(value)
        average.update(step)
    assert average.weights()["weight"].item() == pytest.approx(0.5 * (0.5 * 0 + 0.5 * 1) + 0.5 * 2)


def test_before_the_first_update_the_average_is_the_module():
    module = Value()
    average = AveragedWeights(module, AverageConfig())
    module.become(5)
    average.update(7)
    assert average.weights()["weight"].item() == 5.0
    with average.applied():
        assert module.weight.item() == 5.0


def test_applied_averages_give_the_own_weights_back_even_after_an_error():
    module = Value()
    average = AveragedWeights(module, AverageConfig(decay=0.5, every=1))
    for step, value in enumerate((1, 3), start=1):
        module.become(value)
        average.update(step)

    def fail():
        with average.applied():
            assert module.weight.item() == pytest.approx(7 / 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert module.weight.item() == 3.0


def test_an_average_in_bf16_is_kept_in_fp32():
    module = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    average = AveragedWeights(module, AverageConfig(every=1))
    average.update(1)
    assert average.weights()["weight"].dtype == torch.float32


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.just("$"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.just("$"), inner, max_size=3)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_states_round_trip_through_json(value):
    tree, tensors = flatten(value)
    back = restore(json.loads(json.dumps(tree)), tensors)
    assert repr(back) == repr(value)


def test_foreign_objects_in_a_state_are_refused():
    with pytest.raises(TypeError, match=r"state\.0:stream is a Generator"):
        flatten({"stream": torch.Generator()})


def example(step=7):
    shared = torch.randn(3, 2)
    state = {
        "task": {"a.b": torch.arange(3), "a": {"b": torch.tensor(1.5)}, "flag": True},
        "moments": {0: {"x": torch.randn(2).to(torch.bfloat16)}, 1: (1, math.inf, None)},
        "empty": torch.zeros(0, 4),
        "mask": torch.tensor([True, False]),
        "huge": 2**127,
        "part": torch.arange(6).reshape(2, 3).T,
    }
    weights = {"g": {"tied": shared, "tie": shared}, "d": {"w": torch.randn(2)}}
    return Checkpoint(step, weights, {"g": {"tied": shared * 2}}, state, {"recipe": [1, 2]})


def test_checkpoints_round_trip_exactly(tmp_path):
    given_ = example()
    path = write_checkpoint(tmp_path, given_)
    read = read_checkpoint(path)
    assert (read.step, read.metadata) == (7, {"recipe": [1, 2]})
    expected, found = flatten(given_.state), flatten(read.state)
    assert expected[0] == found[0]
    for name, value in expected[1].items():
        assert value.dtype == found[1][name].dtype
        assert torch.equal(value, found[1][name])
    for player, tensors in given_.weights.items():
        for name, value in tensors.items():
            assert torch.equal(value, read.weights[player][name])
    assert torch.equal(given_.averages["g"]["tied"], read.averages["g"]["tied"])


def test_weights_of_one_player_averaged_or_not(tmp_path):
    given_ = example()
    path = write_checkpoint(tmp_path, given_)
    averaged, metadata = read_weights(path, "g")
    assert metadata == {"recipe": [1, 2]}
    assert torch.equal(averaged["tied"], given_.averages["g"]["tied"])
    own, _ = read_weights(path, "g", averaged=False)
    assert torch.equal(own["tied"], given_.weights["g"]["tied"])
    other, _ = read_weights(path, "d")
    assert torch.equal(other["w"], given_.weights["d"]["w"])
    with pytest.raises(CheckpointError, match="no weights of 'gg'"):
        read_weights(path, "gg")


def test_a_flipped_byte_in_any_file_is_found_and_named(tmp_path):
    path = write_checkpoint(tmp_path, example())
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        for place in (len(content) // 2, len(content) - 3):
            spoilt = bytearray(content)
            spoilt[place] ^= 1
            file.write_bytes(bytes(spoilt))
            with pytest.raises(CheckpointError, match=f"{file.name} is damaged"):
                read_checkpoint(path)
        file.unlink()
        with pytest.raises(CheckpointError, match=f"{file.name} is missing"):
            read_checkpoint(path)
        file.write_bytes(content)
    assert read_checkpoint(path).step == 7


def test_the_newest_complete_checkpoint_is_found_and_old_ones_go(tmp_path):
    for step in (9, 10, 100_000_000):
        write_checkpoint(tmp_path, example(step), keep=2)
    (tmp_path / ".step-00000011.abc").mkdir()
    (tmp_path / "step-x").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-00000010",
        "step-100000000",
    ]
    remove_leavings(tmp_path)
    assert not (tmp_path / ".step-00000011.abc").exists()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert read_checkpoint(newest).step == 100_000_000
    assert newest_checkpoint(tmp_path / "none") is None


def test_a_full_disk_is_said_and_the_older_checkpoint_stays(tmp_path):
    write_checkpoint(tmp_path, example(1), keep=1)
    large = Checkpoint(2, {"g": {"w": torch.zeros(100_000)}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(CheckpointError, match="checkpoint of step 2 was not written"):
            write_checkpoint(tmp_path, large, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert read_checkpoint(tmp_path / "step-00000001").step == 1


def test_a_cut_log_is_mended_and_truncated(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = JsonLines(path, 0)
    for step in (1, 2, 3):
        log.write(step, "train", {"loss": math.nan if step == 2 else 0.5})
    with path.open("ab") as file:
        file.write(b'{"step": 4, "ki')
    JsonLines(path, 2).write(3, "train", {"loss": 0.25})
    assert read_records(path) == [
        {"step": 1, "kind": "train", "loss": 0.5},
        {"step": 2, "kind": "train", "loss": None},
        {"step": 3, "kind": "train", "loss": 0.25},
    ]


def test_a_log_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(UserError, match="not JSON"):
        JsonLines(path, 1)


def test_tensorboard_gets_the_numbers(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    sinks = open_sinks(tmp_path / "m.jsonl", tmp_path / "board", 0, tensorboard=True)
    for sink in sinks:
        sink.write(3, "train", {"loss": 0.5, "message": "text"})
        sink.close()
    events = accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(3, 0.5)]
    assert events.Tags()["scalars"] == ["train/loss"]


def test_tensorboard_is_left_out_only_where_nobody_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    assert len(open_sinks(tmp_path / "m", tmp_path / "b", 0, tensorboard="auto")) == 1
    with pytest.raises(UserError, match="not installed"):
        open_sinks(tmp_path / "m", tmp_path / "b", 0, tensorboard=True)


def test_an_alarm_waits_sounds_once_and_again_after_recovery():
    rule = AlarmConfig(name="low", metric="*usage*", below=0.1, patience=2, after=10)
    monitor = HealthMonitor(HealthConfig(alarms=(rule,)))
    heard = [
        bool(monitor.observe(step, {"generator/codebook_usage_0": value}))
        for step, value in [(5, 0), (10, 0), (11, 0), (12, 0), (13, 1), (14, 0), (15, 0)]
    ]
    assert heard == [False, False, True, False, False, False, True]


def test_alarms_watch_each_metric_apart_and_survive_a_resume():
    config = HealthConfig(alarms=(DEAD_CODEBOOK.model_copy(update={"after": 0}),))
    first = HealthMonitor(config)
    for _ in range(2):
        assert first.observe(1, {"codebook_usage_0": 0.01, "codebook_usage_1": 0.9}) == []
    second = HealthMonitor(config)
    second.load_state_dict(first.state_dict())
    alerts = second.observe(2, {"codebook_usage_0": 0.01, "codebook_usage_1": 0.01})
    assert [alert.metric for alert in alerts] == ["codebook_usage_0"]
    assert "Normalise the latents" in str(alerts[0])


def test_numbers_that_are_not_finite_raise_an_alarm_at_once():
    monitor = HealthMonitor(HealthConfig())
    assert [alert.alarm for alert in monitor.observe(1, {"x": math.inf})] == ["not finite"]
    assert monitor.observe(2, {"x": math.inf}) == []
    assert monitor.observe(3, {"x": 1.0}) == []
