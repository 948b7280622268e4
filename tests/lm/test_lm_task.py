import logging

import pytest
import torch

from soundwright.core.errors import ConfigError
from soundwright.core.protocols import StepContext, TrainingTask
from soundwright.lm.objective import masked_cross_entropy
from soundwright.lm.representations import caption_identities, represent
from soundwright.lm.similarity import RrConfig, regularize
from soundwright.lm.task import LmTask, LmTaskConfig

CPU = torch.device("cpu")
TEXTS = ("a dog barks", "rain", "a dog barks", "rain on a roof", "", "thunder")
LENGTHS = (7, 4, 7, 6, 7, 3)


@pytest.fixture
def batch(make_batch):
    return make_batch(TEXTS, LENGTHS)


@pytest.fixture
def make_task(make_lm, encoder):
    def make(always=None, lm=None, **config) -> LmTask:
        if always is not None:
            config["text_dropping"] = float(always == "cfg")
        return LmTask(lm or make_lm(), encoder, LmTaskConfig.read(config), seed=3)

    return make


def _turn(task, batch, step=0, micro=0, wants_metrics=True):
    (turn,) = task.turns(batch, StepContext(step, micro, CPU, wants_metrics))
    return turn


def _parts(task, batch, dropped):
    """Cross-entropy and L_rr by the parts that have tests of their own."""
    lm, text = task.lm, task.text_encoder.encode(batch.texts)
    laid_out = lm.pattern.for_training(batch.tokens, batch.mask, lm.special)
    output = lm(laid_out.inputs, text.states, text.mask, drop_text=dropped)
    entropy = masked_cross_entropy(output.logits, laid_out.targets, laid_out.mask)
    captions = caption_identities(batch.texts, CPU)
    config = RrConfig()
    pooled = represent(text.states, text.mask, output.hidden, batch.mask, captions, config)
    return entropy.loss, regularize(pooled, config).loss


def test_equation_6_with_text_is_cross_entropy_alone(make_task, batch):
    task = make_task(always="conditional")
    entropy, rr = _parts(task, batch, dropped=False)
    turn = _turn(task, batch)
    torch.testing.assert_close(turn.loss, entropy)
    torch.testing.assert_close(turn.metrics["rr/conditional/loss"], rr.detach())
    assert not turn.metrics["rr/conditional/loss"].requires_grad


def test_equation_6_without_text_adds_lambda_times_rr(make_task, batch):
    task = make_task(always="cfg")
    entropy, rr = _parts(task, batch, dropped=True)
    turn = _turn(task, batch)
    torch.testing.assert_close(turn.loss, entropy + 3.0 * rr)
    torch.testing.assert_close(turn.metrics["rr/cfg/loss"], rr)
    torch.testing.assert_close(turn.metrics["ce/cfg"], entropy)
    assert rr > 0


def test_rr_gives_cross_attention_no_gradient_and_the_rest_one(make_task, batch):
    task = make_task(always="cfg", regularizer={"kind": "rr", "weight": 1e3})
    _turn(task, batch).loss.backward()
    for name, weight in task.lm.named_parameters():
        hidden_from = any(part in name for part in ("cross_attention", "cross_norm", "text_proj"))
        assert bool(weight.grad.any()) != hidden_from, name


def test_rr_compares_with_the_texts_that_were_hidden(make_task, make_batch):
    task = make_task(always="cfg")
    first = _turn(task, make_batch(("a dog", "rain", "a cat"), (5, 5, 5))).metrics
    second = _turn(task, make_batch(("a dog", "a dog", "a cat"), (5, 5, 5))).metrics
    torch.testing.assert_close(first["ce"], second["ce"])
    assert not torch.allclose(first["rr/cfg/text_mean"], second["rr/cfg/text_mean"])
    assert not torch.allclose(first["rr/cfg/loss"], second["rr/cfg/loss"])


@pytest.mark.parametrize(
    ("where", "trained_in"), [("cfg", {"cfg"}), ("all", {"cfg", "conditional"}), ("none", set())]
)
def test_where_rr_is_trained(make_task, batch, where, trained_in):
    for kind in ("cfg", "conditional"):
        task = make_task(always=kind, regularizer={"kind": "rr", "where": where})
        turn = _turn(task, batch)
        assert bool(turn.loss > turn.metrics["ce"]) == (kind in trained_in)
        assert f"rr/{kind}/correlation" in turn.metrics


def test_what_is_neither_trained_nor_logged_is_not_computed(make_task, batch):
    task = make_task(always="conditional")
    quiet = _turn(task, batch, wants_metrics=False)
    assert not [name for name in quiet.metrics if name.startswith("rr")]
    torch.testing.assert_close(quiet.loss, _turn(task, batch).loss)


def test_padding_and_batch_mates_do_not_move_the_loss(make_task, batch, make_batch):
    task = make_task(always="conditional")
    padded = batch.tokens.masked_fill(~batch.mask[:, None], 777)
    changed = type(batch)(padded, batch.mask, batch.texts)
    torch.testing.assert_close(_turn(task, changed).loss, _turn(task, batch).loss)
    cfg = make_task(always="cfg")
    torch.testing.assert_close(_turn(cfg, changed).loss, _turn(cfg, batch).loss)


def test_micro_batches_share_the_decision_and_a_resumed_task_goes_on(make_task, batch):
    def kinds(task, steps):
        return ["ce/cfg" in _turn(task, batch, step).metrics for step in steps]

    undisturbed = kinds(make_task(text_dropping=0.5), range(12))
    first = make_task(text_dropping=0.5)
    before = kinds(first, range(5))
    assert ("ce/cfg" in _turn(first, batch, 4, micro=1).metrics) == before[-1]
    resumed = make_task(text_dropping=0.5)
    resumed.load_state_dict(first.state_dict())
    assert before + kinds(resumed, range(5, 12)) == undisturbed
    assert len(set(undisturbed)) == 2


def test_dropout_repeats_with_the_step_and_differs_between_micro_batches(make_task, make_lm, batch):
    task = make_task(always="conditional", lm=make_lm(dropout=0.3).train())
    first = _turn(task, batch, step=1).loss
    torch.rand(1)
    assert torch.equal(first, _turn(task, batch, step=1).loss)
    assert not torch.equal(first, _turn(task, batch, step=2).loss)
    assert not torch.equal(first, _turn(task, batch, step=1, micro=1).loss)


def test_validation_is_repeatable_and_reports_both_kinds(make_task, make_lm, batch):
    task = make_task(lm=make_lm(dropout=0.3).train())
    state = task.state_dict()["text_dropping"]["stream"]
    first, second = task.validate(batch, CPU), task.validate(batch, CPU)
    assert first == second
    assert first["ce"] == first["ce/conditional"] != first["ce/cfg"]
    assert {"rr/cfg/loss", "rr/conditional/loss", "ce/codebook_3"} <= set(first)
    assert torch.equal(state, task.state_dict()["text_dropping"]["stream"])
    assert task.lm.training


def test_codebook_weights(make_task, batch):
    task = make_task(always="conditional", codebook_weights=[1, 0, 0])
    metrics = _turn(task, batch).metrics
    torch.testing.assert_close(metrics["ce"], metrics["ce/codebook_1"])


def test_a_projected_text_can_lead_or_follow(make_task, batch):
    for detach in (True, False):
        rr = {"kind": "rr", "text": "projected", "detach_text": detach}
        task = make_task(always="cfg", regularizer=rr)
        _turn(task, batch).loss.backward()
        assert bool(task.lm.text_projection.weight.grad.any()) != detach


def test_the_contrastive_alternative_trains_in_its_place(make_task, batch):
    task = make_task(always="cfg", regularizer={"kind": "contrastive"})
    turn = _turn(task, batch)
    turn.loss.backward()
    assert task.lm.text_projection.weight.grad.any()
    expected = turn.metrics["ce"] + turn.metrics["contrastive/cfg/loss"]
    torch.testing.assert_close(turn.loss, expected)


def test_steps_of_training_lower_rr_and_raise_the_correlation(make_task, batch):
    task = make_task(always="cfg", regularizer={"kind": "rr", "weight": 30.0})
    optimizer = torch.optim.Adam(task.lm.parameters(), 3e-3)
    first = task.validate(batch, CPU)
    for step in range(40):
        optimizer.zero_grad()
        _turn(task, batch, step).loss.backward()
        optimizer.step()
    last = task.validate(batch, CPU)
    assert last["rr/cfg/loss"] < first["rr/cfg/loss"] / 4
    assert last["rr/cfg/correlation"] > first["rr/cfg/correlation"]
    assert last["ce/cfg"] < first["ce/cfg"]


def test_a_batch_without_any_caption_trains(make_task, make_batch):
    turn = _turn(make_task(always="cfg"), make_batch(("", "", ""), (5, 5, 4)))
    turn.loss.backward()
    torch.testing.assert_close(turn.loss, turn.metrics["ce"])
    assert turn.metrics["rr/cfg/valid"] == 0


def test_a_small_batch_is_warned_of_once(make_task, make_batch, caplog):
    task = make_task(always="cfg")
    with caplog.at_level(logging.WARNING):
        for step in range(2):
            _turn(task, make_batch(("rain", "wind"), (3, 3)), step)
    assert len(caplog.records) == 1


def test_what_does_not_fit_together_is_refused(make_task, make_lm):
    with pytest.raises(ConfigError, match="width 12"):
        make_task(lm=make_lm(text_width=13))
    with pytest.raises(ConfigError, match="2 codebook_weights"):
        make_task(codebook_weights=[1, 1])
    with pytest.raises(ConfigError, match="layer is 2"):
        make_task(regularizer={"kind": "rr", "layer": 2})
    with pytest.raises(ConfigError, match="not all 0"):
        make_task(codebook_weights=[0, 0, 0])


def test_the_task_is_one_for_the_loop(make_task):
    task: TrainingTask = make_task()
    assert list(task.players) == ["lm"]


def test_rr_is_switched_off_without_saying_its_name():
    config = LmTaskConfig.read({"regularizer": {"where": "none"}})
    assert config.regularizer == RrConfig(where="none")
