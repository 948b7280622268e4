import torch
from torch import nn

from soundwright.lm.dropout import TextDropping
from soundwright.nn.dropout import activation_dropout

CPU = torch.device("cpu")


def _decisions(dropping, steps):
    return [dropping.decide(step) for step in steps]


def test_a_tenth_of_the_steps_is_dropped():
    assert 0.08 < sum(_decisions(TextDropping(0.1, 3), range(5000))) / 5000 < 0.12
    assert not any(_decisions(TextDropping(0.0, 3), range(100)))
    assert all(_decisions(TextDropping(1.0, 3), range(100)))


def test_all_ranks_decide_alike_and_seeds_differ():
    decisions = _decisions(TextDropping(0.5, 3), range(64))
    assert decisions == _decisions(TextDropping(0.5, 3), range(64))
    assert decisions != _decisions(TextDropping(0.5, 4), range(64))


def test_micro_batches_share_their_steps_decision():
    once, thrice = TextDropping(0.5, 1), TextDropping(0.5, 1)
    for step in range(50):
        decision = once.decide(step)
        assert [thrice.decide(step) for _ in range(3)] == [decision] * 3


def test_a_resumed_stream_goes_on_where_it_stood():
    undisturbed = _decisions(TextDropping(0.3, 9), range(100))
    first = TextDropping(0.3, 9)
    before = _decisions(first, range(41))
    resumed = TextDropping(0.3, 9)
    resumed.load_state_dict(first.state_dict())
    assert resumed.decide(40) == before[40]
    assert before + _decisions(resumed, range(41, 100)) == undisturbed


def test_network_dropout_is_a_function_of_its_stream_alone():
    layer, ones = nn.Dropout(0.5), torch.ones(200)

    def draw(step):
        with activation_dropout(7, "dropout", step, device=CPU):
            return layer(ones)

    state = torch.get_rng_state()
    first = draw(0)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, draw(0))
    assert not torch.equal(first, draw(1))
