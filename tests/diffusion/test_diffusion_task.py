import pytest
import torch

from soundwright.core.errors import ConfigError
from soundwright.core.protocols import LatentBatch, StepContext, TrainingTask
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.noise import NoiseConfig, NoiseProcess
from soundwright.diffusion.task import DiffusionTask, DiffusionTaskConfig

CPU = torch.device("cpu")
TEXTS = ("a dog barks", "rain", "", "a cat", "thunder", "rain on a roof")
LENGTHS = (6, 4, 6, 3, 6, 5)


@pytest.fixture
def batch(make_batch):
    return make_batch(TEXTS, LENGTHS, draws=range(12, 18))


@pytest.fixture
def make_task(make_unet, conditioner):
    def make(network=None, seed=3, process=None, **config) -> DiffusionTask:
        process = process or {}
        if process.get("kind") == "flow":
            config.setdefault("min_snr", None)
        network = network or make_unet(process=process)
        return DiffusionTask(network, conditioner, DiffusionTaskConfig.read(config), seed)

    return make


def turn(task, batch, step=0, micro=0, wants_metrics=True):
    (one,) = task.turns(batch, StepContext(step, micro, CPU, wants_metrics))
    return one


def part(batch, rows):
    return LatentBatch(
        batch.mean[rows],
        batch.deviation[rows],
        batch.mask[rows],
        tuple(batch.texts[row] for row in rows),
        draws=tuple(batch.draws[row] for row in rows),
    )


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@pytest.mark.parametrize("padding", [True, False])
def test_the_loss_is_equation_4_item_by_item(make_task, batch, prediction, padding):
    task = make_task(process={"prediction": prediction}, padding=padding, text_dropping=0.5)
    tables = NoiseProcess(NoiseConfig())
    losses, dropped = [], []
    for row, draw in enumerate(batch.draws):
        stream = torch_stream(3, "diffusion", draw)
        share, chance = torch.rand(2, generator=stream, dtype=torch.float64).tolist()
        posterior, noise = torch.randn(2, 2, 6, 4, generator=stream)
        n = int(share * 1000)
        bar = float(tables.alphas_bar[n])
        latents = batch.mean[row] + batch.deviation[row] * posterior
        noisy = bar**0.5 * latents + (1 - bar) ** 0.5 * noise
        target = bar**0.5 * noise - (1 - bar) ** 0.5 * latents if prediction == "v" else noise
        dropped.append(chance < 0.5)
        alone = Conditions(task.conditioner.text_encoder.encode([batch.texts[row]]))
        alone = alone.nulls() if dropped[-1] else alone
        predicted = task.network(noisy[None], torch.tensor([n]), alone)[0]
        frames = 6 if padding else LENGTHS[row]
        error = (predicted - target)[:, :frames].square().mean()
        snr = bar / (1 - bar)
        losses.append(min(snr, 5) / (snr + (prediction == "v")) * error)
    assert len(set(dropped)) == 2
    torch.testing.assert_close(turn(task, batch).loss, torch.stack(losses).mean())


def test_flow_learns_the_velocity(make_task, batch):
    task = make_task(process={"kind": "flow"}, text_dropping=0)
    text = Conditions(task.conditioner.text_encoder.encode(batch.texts))
    draws = task._draw(batch)
    times = task.network.process.times_at(draws.shares)
    t = times.float().view(-1, 1, 1, 1)
    latents = batch.mean + batch.deviation * draws.posterior
    noisy = (1 - t) * latents + t * draws.noise
    predicted = task.network(noisy, times, text)
    expected = (predicted - (draws.noise - latents)).square().mean()
    torch.testing.assert_close(turn(task, batch).loss, expected)


def test_a_step_is_the_same_on_one_rank_and_on_many(make_task, batch):
    task = make_task(text_dropping=0.5)
    whole = turn(task, batch)
    whole.loss.backward()
    gradients = {name: weight.grad for name, weight in task.network.named_parameters()}
    task = make_task(text_dropping=0.5)
    for rows in ([0, 2, 4], [1, 3, 5]):
        (turn(task, part(batch, rows)).loss / 2).backward()
    for name, weight in task.network.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def test_a_step_is_named_by_its_draws_and_needs_no_state(make_task, batch, make_batch):
    task = make_task()
    first = turn(task, batch, step=5).loss
    torch.rand(1)
    turn(task, make_batch(("x",), (6,), draws=[99]))
    assert torch.equal(turn(task, batch, step=9, micro=1).loss, first)
    resumed = make_task()
    resumed.load_state_dict(task.state_dict())
    assert torch.equal(turn(resumed, batch).loss, first)
    later = make_batch(TEXTS, LENGTHS, draws=range(18, 24))
    assert not torch.equal(turn(task, later).loss, first)
    assert not torch.equal(turn(make_task(seed=4), batch).loss, first)
    with pytest.raises(ValueError, match="numbers of its items' draws"):
        turn(task, LatentBatch(batch.mean, batch.deviation, batch.mask, batch.texts))


def test_a_tenth_of_the_items_is_without_text(make_task, make_batch):
    batch = make_batch(("rain",) * 2000, (1,) * 2000)
    assert 0.08 < float(make_task()._draw(batch).dropped.float().mean()) < 0.12
    assert not make_task(text_dropping=0)._draw(batch).dropped.any()
    assert make_task(text_dropping=1)._draw(batch).dropped.all()


def test_dropping_hides_the_text(make_task, make_batch):
    hidden, shown = make_task(text_dropping=1), make_task(text_dropping=0)
    batches = [make_batch(texts, (5, 5)) for texts in (("rain", "a cat"), ("wind", "a dog"))]
    with torch.no_grad():
        torch.testing.assert_close(*(turn(hidden, one).loss for one in batches))
        assert not torch.allclose(*(turn(shown, one).loss for one in batches))


def test_metrics_tell_errors_by_thirds_of_the_way(make_task, batch):
    task = make_task(min_snr=None)
    metrics = turn(task, batch).metrics
    torch.testing.assert_close(metrics["mse"], metrics["loss"])
    times = task.network.process.times_at(task._draw(batch).shares).tolist()
    parts = {("low", "middle", "high")[time * 3 // 1000] for time in times}
    assert {name for name in metrics if "/" in name} == {f"mse/{name}" for name in parts}
    assert set(turn(task, batch, wants_metrics=False).metrics) == {"loss", "mse"}


@pytest.mark.parametrize("process", [{}, {"kind": "flow"}])
def test_validation_is_repeatable_and_looks_at_fixed_times(make_task, make_unet, batch, process):
    network = make_unet(process=process, dropout=0.3).train()
    task = make_task(network, min_snr=None)
    first = task.validate(batch, CPU)
    turn(task, batch)
    assert task.validate(batch, CPU) == first
    assert network.training
    assert {"loss", "mse", "mse/no_text"} <= set(first)
    assert first["mse"] != first["mse/no_text"]
    assert not any(weight.grad is not None for weight in network.parameters())


def test_dropout_repeats_with_the_draw(make_task, make_unet, batch):
    task = make_task(make_unet(dropout=0.3).train())
    first = turn(task, batch).loss
    torch.rand(1)
    assert torch.equal(turn(task, batch).loss, first)


def test_training_teaches_the_text(make_task, make_unet, make_batch):
    # Two sounds that only their texts tell apart at the end of the way.
    latents = torch.ones(8, 2, 4, 4) * torch.tensor([1.0, -1.0] * 4).view(8, 1, 1, 1)
    mask = torch.ones(8, 4, dtype=torch.bool)
    texts = ("rain", "a dog") * 4
    task = make_task(make_unet().train(), text_dropping=0.1)
    optimizer = torch.optim.AdamW(task.network.parameters(), 3e-3)
    for step in range(40):
        draws = tuple(range(8 * step, 8 * step + 8))
        batch = LatentBatch(latents, 0.05 * torch.ones_like(latents), mask, texts, draws=draws)
        optimizer.zero_grad()
        turn(task, batch, step).loss.backward()
        optimizer.step()
    found = task.validate(batch, CPU)
    assert found["mse"] < 0.7 * found["mse/no_text"]


def test_errors_stay_in_fp32_under_autocast(make_task, batch):
    task = make_task(text_dropping=0)
    exact = turn(task, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = turn(task, batch)
    assert rough.loss.dtype == torch.float32
    assert float(rough.loss) == pytest.approx(float(exact.loss), rel=0.03)
    rough.loss.backward()


def test_what_does_not_fit_together_is_refused(make_task, make_unet):
    with pytest.raises(ConfigError, match="width 12"):
        make_task(make_unet(text_width=13))
    with pytest.raises(ConfigError, match="a flow has no such weights"):
        make_task(process={"kind": "flow"}, min_snr=5.0)
    with pytest.raises(ConfigError, match="text_dropping"):
        make_task(text_dropping=1.5)


def test_the_task_is_one_for_the_loop(make_task):
    task: TrainingTask = make_task()
    assert list(task.players) == ["unet"]
