import pytest
import torch

from soundwright.codecs.balancer import Balancer
from soundwright.core.seeding import torch_stream


def draw(seed):
    stream = torch_stream(seed, "test")
    made = torch.randn(3, 1, 20, generator=stream, dtype=torch.float64).requires_grad_()
    return made, torch.randn(3, 1, 20, generator=stream, dtype=torch.float64)


def losses_of(made, target):
    return {"near": (made - target).abs().mean(), "square": 1000 * (made - target).square().mean()}


def test_the_gradient_is_the_balanced_sum_by_definition():
    weights = {"near": 1.0, "square": 3.0, "absent": 5.0}
    balancer = Balancer(weights, decay=0.9, total_norm=2.0)
    sums, fill = dict.fromkeys(("near", "square"), 0.0), 0.0
    for seed in range(4):
        made, target = draw(seed)
        losses = losses_of(made, target)
        fill = 0.9 * fill + 0.1
        wanted, value = torch.zeros_like(made), 0.0
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, made, retain_graph=True)
            norm = gradient.flatten(1).norm(dim=1).mean().item()
            sums[name] = 0.9 * sums[name] + 0.1 * norm
            scale = 2.0 * weights[name] / 4.0 / (sums[name] / fill)
            wanted += scale * gradient
            value += weights[name] / 4.0 * loss.item()
        balanced = balancer.balance(losses, made)
        (gradient,) = torch.autograd.grad(balanced.loss, made)
        torch.testing.assert_close(gradient, wanted)
        assert balanced.loss.item() == pytest.approx(value)


def test_natural_scales_do_not_matter():
    gradients = []
    for scale in (1.0, 1e-4):
        made, target = draw(0)
        losses = losses_of(made, target)
        losses["square"] = losses["square"] * scale
        balanced = Balancer({"near": 1.0, "square": 1.0}).balance(losses, made)
        gradients.append(torch.autograd.grad(balanced.loss, made)[0])
    torch.testing.assert_close(*gradients)


def test_the_gradient_reaches_what_made_the_reconstruction():
    _, target = draw(0)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    made = weight * target * 2
    balanced = Balancer({"near": 1.0}).balance({"near": (made - target).abs().mean()}, made)
    balanced.loss.backward()
    # One loss: its gradient has the total norm 1 in every item, on average.
    gradient = torch.sign(target) / target[0].numel() ** 0.5
    torch.testing.assert_close(weight.grad, (gradient * target * 2).sum())


def test_the_running_means_resume_and_bear_one_bad_batch():
    whole, resumed = Balancer({"near": 1.0, "square": 1.0}), Balancer({"near": 1.0, "square": 1.0})
    for seed in range(3):
        made, target = draw(seed)
        whole.balance(losses_of(made, target), made)
    resumed.load_state_dict(whole.state_dict())
    assert resumed.mean_norm("near") == whole.mean_norm("near") > 0
    made, target = draw(9)
    before = whole.mean_norm("near")
    balanced = whole.balance({"near": losses_of(made, target)["near"] * float("nan")}, made)
    assert not balanced.loss.isfinite()
    assert whole.mean_norm("near") == before
