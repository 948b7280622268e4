"""References: cached, live and without adapters are the same; what does not fit is named."""

import pytest
import torch
from preference_models import (
    BandCodec,
    LevelCodec,
    denoising_policy,
    make_lm,
    make_pairs,
    make_unet,
    token_policy,
)

from soundwright.core.errors import UserError
from soundwright.data.latents import encode_latents
from soundwright.data.tokens import tokenize
from soundwright.nn.lora import LoraConfig, add_lora
from soundwright.preference.pair_data import PairBatches
from soundwright.preference.pair_sounds import list_sounds
from soundwright.preference.references import (
    AdapterReference,
    CachedReference,
    LiveReference,
    cache_scores,
    freeze,
)

CPU = torch.device("cpu")
MAKERS = {"tokens": token_policy, "latents": denoising_policy}


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    pairs = make_pairs(folder)
    sounds = list_sounds(pairs, folder)
    stores = {
        "tokens": tokenize(sounds, LevelCodec(), folder / "tokens", workers=0),
        "latents": encode_latents(sounds, BandCodec(), folder / "latents", workers=0),
    }
    # Six pairs in batches of four: the second one lies in two epochs.
    return {name: PairBatches(store, pairs, 4, seed=0) for name, store in stores.items()}


def cached(reference, source, folder, numbers=range(3), **options) -> CachedReference:
    by_epoch = source.store.info.kind == "latent"
    given = {"mismatched": False, "made_of": {"model": "m"}, "device": CPU, **options}
    return cache_scores(reference, [(source, numbers)], folder, by_epoch=by_epoch, **given)


def move(module) -> None:
    """A step of training, more or less."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight.add_(0.1)


@pytest.mark.parametrize("kind", MAKERS)
def test_cached_scores_equal_live_ones_to_the_last_bit(kind, batches, tmp_path):
    policy, source = MAKERS[kind](), batches[kind]
    live = LiveReference(policy)
    stored = cached(live, source, tmp_path, mismatched=True)
    for number in range(3):
        batch = source[number]
        assert torch.equal(stored.score(batch.sounds), live.score(batch.sounds))
        assert torch.equal(stored.score(batch.mismatched), live.score(batch.mismatched))
    # Another process finds them again.
    again = cached(live, source, tmp_path, mismatched=True)
    assert torch.equal(again.score(source[0].sounds), stored.score(source[0].sounds))


def test_one_score_serves_a_sounds_tokens_in_all_epochs(batches, tmp_path):
    source = batches["tokens"]
    stored = cached(LiveReference(token_policy()), source, tmp_path, range(2))
    assert stored.score(source[9].sounds).shape == (8,)
    with pytest.raises(UserError, match="no score"):
        cached(LiveReference(denoising_policy()), batches["latents"], tmp_path, range(2)).score(
            batches["latents"][9].sounds
        )


@pytest.mark.parametrize("kind", MAKERS)
def test_a_live_reference_stays_where_it_was(kind, batches):
    policy, batch = MAKERS[kind](), batches[kind][0]
    live = LiveReference(freeze(policy))
    with torch.no_grad():
        before = policy.score(batch.sounds)
        assert torch.equal(live.score(batch.sounds), before)
        move(policy.module)
        assert not torch.equal(policy.score(batch.sounds), before)
    assert torch.equal(live.score(batch.sounds), before)


@pytest.mark.parametrize("kind", MAKERS)
def test_without_its_adapters_a_model_is_its_own_reference(kind, batches):
    batch = batches[kind][0]
    module = make_lm() if kind == "tokens" else make_unet()
    with torch.no_grad():
        before = MAKERS[kind](module).score(batch.sounds)
    add_lora(module, LoraConfig(rank=2), seed=0)
    policy = MAKERS[kind](module)
    move(module)
    reference = AdapterReference(policy)
    with torch.no_grad():
        assert not torch.equal(policy.score(batch.sounds), before)
        assert torch.equal(reference.score(batch.sounds), before)


class Killed(BaseException):
    pass


class Mortal:
    """A reference that dies after so many batches."""

    def __init__(self, inner, lives: int) -> None:
        self.inner, self.lives, self.asked = inner, lives, 0

    def score(self, sounds):
        if self.asked == self.lives:
            raise Killed
        self.asked += 1
        return self.inner.score(sounds)


def test_a_killed_pass_goes_on_where_it_stood(batches, tmp_path, monkeypatch):
    monkeypatch.setattr("soundwright.preference.references.PACK_BATCHES", 1)
    source, live = batches["latents"], LiveReference(denoising_policy())
    with pytest.raises(Killed):
        cached(Mortal(live, 2), source, tmp_path, range(4))
    rest = Mortal(live, 99)
    stored = cached(rest, source, tmp_path, range(4))
    assert rest.asked == 2
    for number in range(4):
        assert torch.equal(stored.score(source[number].sounds), live.score(source[number].sounds))


def test_a_damaged_pack_is_computed_again(batches, tmp_path):
    source, live = batches["latents"], LiveReference(denoising_policy())
    cached(live, source, tmp_path)
    (pack,) = tmp_path.rglob("*.safetensors")
    content = bytearray(pack.read_bytes())
    content[-1] ^= 255
    pack.write_bytes(content)
    stored = cached(live, source, tmp_path)
    assert torch.equal(stored.score(source[2].sounds), live.score(source[2].sounds))


def test_scores_of_another_model_are_not_taken(batches, tmp_path):
    source = batches["tokens"]
    one = cached(LiveReference(token_policy()), source, tmp_path)
    other = LiveReference(token_policy(make_lm(seed=2)))
    found = cached(other, source, tmp_path, made_of={"model": "n"})
    assert torch.equal(found.score(source[0].sounds), other.score(source[0].sounds))
    assert not torch.equal(found.score(source[0].sounds), one.score(source[0].sounds))


@pytest.mark.parametrize("options", [{"dim": 24}, {"layers": 1}, {"layers": 3}])
def test_a_reference_of_another_shape_is_refused(options):
    with pytest.raises(UserError, match="another shape"):
        freeze(token_policy(), make_lm(**options))
