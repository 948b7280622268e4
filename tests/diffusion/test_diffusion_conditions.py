"""Named conditions: what is absent, what is drawn, and what no batch mate may change."""

import pytest
import torch

from soundwright.core.errors import ConfigError
from soundwright.core.protocols import LatentBatch, StepContext
from soundwright.diffusion.conditioner import Conditioner, ConditionsConfig
from soundwright.diffusion.context import pool_states
from soundwright.diffusion.guidance import pair_conditions
from soundwright.diffusion.task import DiffusionTask, DiffusionTaskConfig

CPU = torch.device("cpu")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
TEXTS = ("a dog barks", "rain", "a cat")
KNOWS = {"vector_width": 6, "sources": 2}


class Clips:
    """A vector of its own for each clip; the one of silence is zeros, and "none" has none."""

    def read(self, clip_ids):
        rows = {"silence": torch.zeros(6), "none": torch.full((6,), torch.nan)}
        made = [
            rows.get(one, torch.full((6,), float(place) + 2)) for place, one in enumerate(clip_ids)
        ]
        return torch.stack(made)


@pytest.fixture
def make_conditioner(encoder, vectors):
    def make(clips=None, **config) -> Conditioner:
        values = {"vector": "words", "sources": ("AudioCaps", "Freesound"), **config}
        return Conditioner(encoder, ConditionsConfig.read(values), vectors, clips)

    return make


def batch_of(texts=TEXTS, sources=("Freesound", "elsewhere", "AudioCaps"), draws=(4, 5, 6)):
    latents = torch.randn(len(texts), 2, 6, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(len(texts), 6, dtype=torch.bool)
    ids = ("first", "silence", "none")[: len(texts)]
    return LatentBatch(latents, 0.1 + 0 * latents, mask, texts, ids, draws, sources)


def predict(network, conditions, rows=None):
    latents = torch.randn(len(conditions), 2, 6, 4, generator=torch.Generator().manual_seed(1))
    times = torch.full((len(conditions),), 400)
    return network(latents, times, conditions)


def test_prompts_become_text_vector_and_the_default_source(make_conditioner, vectors):
    found = make_conditioner(source="Freesound").read(["rain", " "])
    assert found.source.tolist() == [1, 1]
    assert found.vector_mask.tolist() == [True, False]
    torch.testing.assert_close(found.vector, vectors.embed_texts(["rain", " "]))
    assert make_conditioner().read(["rain"]).source.tolist() == [-1]
    assert make_conditioner(source="Freesound").read_negative(["rain"]).source.tolist() == [-1]


def test_data_sets_are_told_apart_by_name_and_unknown_ones_are_none(make_conditioner):
    assert make_conditioner().read_batch(batch_of()).source.tolist() == [1, -1, 0]


def test_an_item_hears_itself_or_reads_its_caption_by_its_own_draw(make_conditioner, vectors):
    conditioner = make_conditioner(Clips(), clap_text=0.5)
    texts = vectors.embed_texts(TEXTS)
    found = [conditioner.read_batch(batch_of(draws=(d, d, d)), seed=7) for d in range(200)]
    heard = torch.stack([one.vector[0, 0] == 2 for one in found]).float().mean()
    assert 0.4 < float(heard) < 0.6
    assert any(bool((one.vector[1] == 0).all()) for one in found)
    for one in found:
        # Of a clip without a vector the caption's stays, and nothing is NaN.
        torch.testing.assert_close(one.vector[2], texts[2])
        assert one.vector_mask.all()
    again = conditioner.read_batch(batch_of(draws=(9, 8, 7)), seed=7)
    assert torch.equal(again.vector[0], found[9].vector[0])
    for share, wanted in ((0.0, True), (1.0, False)):
        other = make_conditioner(Clips(), clap_text=share).read_batch(batch_of(), seed=7)
        assert bool((other.vector[0] == 2).all()) is wanted


def test_nothing_is_drawn_or_heard_when_prompts_or_validation_are_read(make_conditioner, vectors):
    conditioner = make_conditioner(Clips(), clap_text=0.0)
    texts = vectors.embed_texts(TEXTS)
    state = torch.get_rng_state()
    torch.testing.assert_close(conditioner.read_batch(batch_of()).vector, texts)
    torch.testing.assert_close(conditioner.read(TEXTS).vector, texts)
    assert torch.equal(torch.get_rng_state(), state)


def test_all_conditions_matter_to_a_network_that_knows_them(make_network, make_conditioner):
    network = make_network(**KNOWS)
    plain = make_conditioner().read(TEXTS)
    first = predict(network, plain)
    text = make_conditioner().read(["wind", *TEXTS[1:]]).text
    for other in (
        type(plain)(text, plain.vector, plain.vector_mask, plain.source),
        type(plain)(plain.text, -plain.vector, plain.vector_mask, plain.source),
        type(plain)(plain.text, plain.vector, plain.vector_mask, plain.source + 1),
    ):
        assert not torch.allclose(predict(network, other)[0], first[0], atol=1e-4)


def test_unconditional_is_every_condition_absent(make_network, make_conditioner):
    network = make_network(**KNOWS)
    given = make_conditioner(source="AudioCaps").read(TEXTS)
    bare = type(given)(given.text).nulls()
    pair = pair_conditions(given, None)
    assert not pair.text.mask[3:].any()
    assert not pair.vector_mask[3:].any()
    assert pair.source.tolist() == [0, 0, 0, -1, -1, -1]
    torch.testing.assert_close(predict(network, given.nulls()), predict(network, bare), **CLOSE)
    # Not the first data set, as in the released code.
    first = type(given)(bare.text, None, None, torch.zeros(3, dtype=torch.int64))
    assert not torch.allclose(predict(network, first), predict(network, bare), atol=1e-4)


def test_dropping_hides_all_conditions_of_an_item_together(make_network, make_conditioner):
    network, given = make_network(**KNOWS), make_conditioner(source="AudioCaps").read(TEXTS)
    drop = torch.tensor([True, False, True])
    found, bare = predict(network, given.hide(drop)), predict(network, given.nulls())
    kept = predict(network, given)
    torch.testing.assert_close(found[drop], bare[drop], **CLOSE)
    torch.testing.assert_close(found[~drop], kept[~drop], **CLOSE)


def test_the_task_trains_every_null(make_network, make_conditioner):
    conditioner = make_conditioner(Clips(), source="AudioCaps")
    for share, is_null in ((1.0, True), (0.0, False)):
        network = make_network(**KNOWS)
        config = DiffusionTaskConfig(text_dropping=share, min_snr=None)
        task = DiffusionTask(network, conditioner, config, 3)
        (turn,) = task.turns(
            batch_of(sources=("AudioCaps", "Freesound", "AudioCaps")), StepContext(0, 0, CPU)
        )
        turn.loss.backward()
        assert turn.player == network.player
        for name, weight in network.named_parameters():
            if name.endswith("null"):
                assert bool(weight.grad is not None and weight.grad.any()) is is_null, name
            if name.endswith("source.table.weight"):
                assert bool(weight.grad[-1].any()) is is_null


def test_a_model_that_does_not_know_a_condition_ignores_it(make_network, make_conditioner):
    network, given = make_network(), make_conditioner(source="AudioCaps").read(TEXTS)
    bare = type(given)(given.text)
    assert torch.equal(predict(network, given), predict(network, bare))


def test_rows_do_not_depend_on_batch_mates_or_padding(make_network, make_conditioner):
    network, conditioner = make_network(**KNOWS), make_conditioner(source="AudioCaps")
    longer = ("a dog barks at a cat in the rain at night", *TEXTS)
    together = predict(network, conditioner.read(longer))
    latents = torch.randn(4, 2, 6, 4, generator=torch.Generator().manual_seed(1))
    for row, text in enumerate(longer):
        alone = network(latents[[row]], torch.tensor([400]), conditioner.read([text]))
        torch.testing.assert_close(alone[0], together[row], **CLOSE)


@pytest.mark.parametrize("kind", ["fit", "dit"])
def test_pooled_texts_leave_padding_out(request, kind, make_conditioner):
    """The released code takes the mean over padding too."""
    network = request.getfixturevalue(f"make_{kind}")(text="pooled", **KNOWS)
    conditioner = make_conditioner()
    alone = conditioner.read(["rain"])
    padded = conditioner.read(["rain", "a dog barks at a cat in the rain"])
    found = predict(network, padded)[0]
    latents = torch.randn(2, 2, 6, 4, generator=torch.Generator().manual_seed(1))
    expected = network(latents[:1], torch.tensor([400]), alone)[0]
    torch.testing.assert_close(found, expected, **CLOSE)
    states = padded.text.states.double()
    expected = states[1].mean(0)
    torch.testing.assert_close(pool_states(states, padded.text.mask)[1], expected)
    assert pool_states(states, torch.zeros_like(padded.text.mask)).isfinite().all()


def test_what_does_not_fit_together_is_refused(make_fit, make_conditioner, conditioner):
    config = DiffusionTaskConfig()
    for network, reader, message in (
        (make_fit(), make_conditioner(), r"fit\.vector_width=6"),
        (make_fit(vector_width=6), make_conditioner(), r"fit\.sources=2"),
        (make_fit(vector_width=6), conditioner, r"fit\.vector_width=null"),
    ):
        with pytest.raises(ConfigError, match=message):
            DiffusionTask(network, reader, config, 0)
    with pytest.raises(ConfigError, match="'x' is not among sources"):
        ConditionsConfig.read({"source": "x"})
