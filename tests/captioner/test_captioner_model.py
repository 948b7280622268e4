"""AutoCap: equal to transformers' modules wired by hand; one order of tokens; frozen is frozen."""

import pytest
import torch
from captioner_models import CAPTIONS, KNOWN, make_config, make_model
from torch.nn import functional as F
from transformers import BartForConditionalGeneration, Blip2QFormerModel

from soundwright.captioner.decoding import CaptioningConfig, write_captions
from soundwright.captioner.heard import join_sounds
from soundwright.captioner.language import BartShape, build_bart
from soundwright.captioner.model import (
    DELIMITERS,
    IGNORED,
    AutoCap,
    AutoCapConfig,
    number_captions,
)
from soundwright.captioner.task import number_metadata
from soundwright.captioner.words import Words
from soundwright.core.errors import ConfigError


def wire_by_hand(model, words, impression, known, caption):
    """The paper's sequence for one sound, with modules of transformers that share the weights."""
    config = model.config
    qformer = Blip2QFormerModel(config.qformer_config()).eval()
    qformer.load_state_dict(model.qformer.state_dict())
    bart = BartForConditionalGeneration(config.bart.transformers_config()).eval()
    bart.model.load_state_dict(model.bart.model.state_dict(), strict=False)
    bart.final_logits_bias = model.bart.final_logits_bias
    table, marks = (
        bart.get_input_embeddings().weight,
        dict(zip(DELIMITERS, model.delimiters.weight, strict=True)),
    )
    states = impression.states[None]
    states = states @ model.entrance.weight.T + model.entrance.bias
    states = states + model.places.weight[None, : states.shape[1]]
    states = F.layer_norm(states, states.shape[-1:], model.norm.weight, model.norm.bias)
    found = qformer(model.queries, encoder_hidden_states=states).last_hidden_state
    rows = [
        F.layer_norm(
            impression.vector @ model.clap[0].weight.T + model.clap[0].bias,
            [config.bart.width],
            model.clap[1].weight,
            model.clap[1].bias,
        )
    ]
    rows += [marks["sound"], *(found[0] @ model.exit.weight.T + model.exit.bias), marks["/sound"]]
    for field in ("title", "tags", "visual"):
        if field in known:
            rows += [marks[field], *table[words.encode(known[field])], marks["/" + field]]
    numbers = torch.tensor([[words.begin, *words.encode(caption), words.end]])
    return bart(inputs_embeds=torch.stack(rows)[None], labels=numbers).logits[0]


def test_it_equals_modules_of_transformers_wired_by_hand(model, words, impressions):
    logits = model(
        join_sounds(impressions),
        number_metadata(KNOWN, words),
        number_captions(CAPTIONS[:3], words, 30),
    )
    for row, impression, known, caption in zip(
        logits, impressions, KNOWN, CAPTIONS[:3], strict=True
    ):
        wanted = wire_by_hand(model, words, impression, known, caption)
        torch.testing.assert_close(row[: len(wanted)], wanted, rtol=1e-4, atol=1e-5)


def test_the_qformer_has_the_papers_parameters():
    with torch.device("meta"):
        qformer = Blip2QFormerModel(AutoCapConfig().qformer_config())
    assert round(sum(p.numel() for p in qformer.parameters()) / 1e6, 1) == 4.7


def test_training_and_decoding_read_the_same_sequence(model, words, impressions, monkeypatch):
    """The reference puts CLAP behind BART's encoder in training, and before it when it decodes."""
    seen = []
    encoder = model.bart.get_encoder()
    forward = encoder.forward

    def spy(*args, **kwargs):
        seen.append(kwargs["inputs_embeds"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", spy)
    heard = join_sounds(impressions)
    model(heard, number_metadata(KNOWN, words), number_captions(CAPTIONS[:3], words, 30))
    write_captions(model, words, heard, KNOWN, CaptioningConfig(words=4))
    assert len(seen) == 2
    assert torch.equal(*seen)
    clap = model.clap(heard.vector)
    assert torch.equal(seen[0][:, 0], clap)


def test_batch_mates_change_nothing(model, words, impressions):
    captions = number_captions(CAPTIONS[:3], words, 30)
    known = number_metadata(KNOWN, words)
    together = model(join_sounds(impressions), known, captions)
    for place in range(3):
        length = int((captions[place] != IGNORED).sum())
        alone = model(
            join_sounds(impressions[place : place + 1]),
            known[place : place + 1],
            captions[place : place + 1, :length],
        )
        torch.testing.assert_close(together[place, :length], alone[0], rtol=1e-4, atol=1e-5)


def test_every_part_of_the_input_is_heard(words, impressions):
    """Metadata, CLAP and states each change what is said; a field that is not read does not."""
    model = make_model(make_config(words, fields=("title",)))
    captions = number_captions(["a dog barks"], words, 30)

    def say(states=impressions[0].states, vector=impressions[0].vector, known=None):
        one = type(impressions[0])(states, vector)
        return model(join_sounds([one]), number_metadata([known or {}], words), captions)

    plain = say()
    assert not torch.allclose(plain, say(states=impressions[0].states * 2))
    assert not torch.allclose(plain, say(vector=-impressions[0].vector))
    assert not torch.allclose(plain, say(known={"title": "rain"}))
    assert torch.equal(plain, say(known={"visual": "rain"}))


def test_without_clap_it_has_no_layer_for_it(words, impressions):
    model = make_model(make_config(words, vector_width=None))
    assert not any(name.startswith("clap") for name in model.state_dict())
    deaf = [type(one)(one.states) for one in impressions]
    assert model.embed(join_sounds(deaf), [{}] * 3).states.shape[1] == model.config.queries + 2


def test_a_long_field_is_cut(model, words):
    long = number_metadata([{"title": "a dog barks " * 9}], words)
    states, mask = model._write(long, torch.device("cpu"))
    assert states.shape[1] == model.config.field_words + 2
    assert bool(mask.all())


def test_it_begins_with_what_bart_knows(words):
    config = make_config(words, state_width=32)
    bart = build_bart(config.bart, seed=9)
    model = AutoCap(config)
    model.load_bart(bart.state_dict())
    table = bart.get_input_embeddings().weight
    for number, delimiter in enumerate(DELIMITERS):
        begins = not delimiter.startswith("/")
        wanted = table[Words.begin if begins else Words.end]
        assert torch.equal(model.delimiters.weight[number], wanted)
    learned = bart.model.encoder.embed_positions
    assert torch.equal(model.places.weight, learned.weight[learned.offset :][:40])


def test_the_word_embeddings_are_stored_once(model, words):
    names = [name for name in model.state_dict() if "embed_tokens" in name or "lm_head" in name]
    assert names == []
    again = AutoCap(model.config)
    again.load_state_dict(model.state_dict())
    table = model.bart.get_input_embeddings().weight
    assert torch.equal(again.bart.lm_head.weight, table)
    assert again.bart.lm_head.weight is again.bart.get_input_embeddings().weight


def test_what_is_frozen_stays_in_evaluation_mode(model):
    model.freeze(model.bart)
    model.train()
    assert not any(module.training for module in model.bart.modules())
    assert model.qformer.training
    assert not any(parameter.requires_grad for parameter in model.bart.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": 60}, "bart.positions is 64"),
        ({"width": 15}, "no multiple of heads"),
        ({"fields": ["artist"]}, "fields"),
    ],
)
def test_impossible_shapes_are_refused(words, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_config(words, **changes)


def test_captions_are_numbered_as_bart_does(words):
    numbers = number_captions(["a dog barks", "rain"], words, 2)
    assert numbers[:, 0].tolist() == [words.begin] * 2
    assert numbers[0, 1:].tolist() == [*words.encode("a dog barks")[:2], words.end]
    assert numbers[1, -1] == (IGNORED if len(words.encode("rain")) < 2 else words.end)


def test_defaults_are_bart_base():
    with torch.device("meta"):
        bart = BartForConditionalGeneration(BartShape().transformers_config())
    assert sum(p.numel() for p in bart.parameters()) == 139_420_416
