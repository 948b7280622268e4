import torch

from soundwright.lm.objective import masked_cross_entropy


def _case():
    stream = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 2, 5, 7, generator=stream, requires_grad=True)
    targets = torch.randint(7, (3, 2, 5), generator=stream)
    mask = torch.rand(3, 2, 5, generator=stream) < 0.6
    return logits, targets, mask


def _literal(logits, targets, mask, weights):
    """Equation 1 in float64, each codebook's sum divided by its number of terms."""
    losses = []
    for k in range(targets.shape[1]):
        terms = [
            -torch.log(torch.softmax(logits[b, k, i].double(), 0)[targets[b, k, i]])
            for b in range(targets.shape[0])
            for i in range(targets.shape[2])
            if mask[b, k, i]
        ]
        losses.append(sum(terms) / len(terms))
    return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)


def test_value_and_gradient_equal_the_literal_equation():
    for weights in (None, torch.tensor([1.0, 0.25])):
        logits, targets, mask = _case()
        ours = masked_cross_entropy(logits, targets, mask, weights).loss
        theirs = _literal(logits, targets, mask, [1, 1] if weights is None else weights.tolist())
        torch.testing.assert_close(ours.double(), theirs, atol=1e-6, rtol=0)
        (gradient,) = torch.autograd.grad(ours, logits)
        (expected,) = torch.autograd.grad(theirs, logits)
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)


def test_masked_targets_may_be_anything():
    logits, targets, mask = _case()
    rubbish = torch.where(mask, targets, 7)
    torch.testing.assert_close(
        masked_cross_entropy(logits, rubbish, mask), masked_cross_entropy(logits, targets, mask)
    )


def test_a_codebook_without_targets_costs_nothing():
    logits, targets, mask = _case()
    mask[:, 1] = False
    losses = masked_cross_entropy(logits, targets, mask)
    assert losses.codebooks[1] == 0
    torch.testing.assert_close(losses.loss, losses.codebooks[0] / 2)


def test_the_loss_is_taken_in_full_precision_under_autocast():
    logits, targets, mask = _case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = masked_cross_entropy(logits, targets, mask).loss
    assert torch.equal(inside, masked_cross_entropy(logits, targets, mask).loss)
