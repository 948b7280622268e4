"""PaSST: equal to the original module, cut as each tool cuts, the same in any company."""

import pytest
import torch
from filling import fill, waveform

from soundwright.audio.loudness import integrated_loudness
from soundwright.core.errors import AudioError, CheckpointError, MissingWeightsError, UserError
from soundwright.core.protocols import AudioEncoder
from soundwright.scorers.passt import (
    CHECKPOINT,
    CONVENTIONS,
    LEAST,
    Passt,
    PasstConfig,
    PasstNetwork,
    load_passt,
    rename_passt,
    set_level,
)
from soundwright.scorers.pretrained import load_published

SMALL = PasstConfig(width=128, depth=2, labels=20)
# hear21passt 0.0.26: PaSST(embed_dim=128, depth=2, num_heads=2, num_classes=20, distilled=True),
# `fill`ed, on AugmentMelSTFT of `waveform("passt", samples)`: every eighth feature, all logits.
GOLDEN = {
    320000: (
        [0.074359, 0.307604, -0.455874, 1.570324, -0.542056, 1.793093, -1.02149, 0.078253,
         -0.426845, -1.181942, -0.712151, 1.7095, 1.865056, 0.176304, -0.800934, -0.650118],
        [-0.241199, -1.639253, 0.605736, 1.322761, -0.362346, 1.06849, 0.671458, 0.922998,
         -1.258387, -0.737649, 0.940591, -0.738263, 0.997158, -0.511233, -1.135585, -1.03522,
         0.259091, 0.050174, -2.048961, -0.173439],
    ),
    50000: (
        [0.034618, 0.575011, -0.49259, 1.628317, -0.635256, 1.859312, -0.96218, 0.168185,
         -0.428845, -0.946283, -0.853636, 1.785611, 2.03117, 0.031422, -0.760337, -0.588963],
        [-0.512494, -1.542654, 0.744261, 1.286798, -0.636855, 1.020249, 0.743424, 0.728757,
         -1.038718, -0.769333, 0.881572, -0.744599, 0.843978, -0.535528, -1.020007, -0.966346,
         0.136741, -0.126354, -2.045508, -0.261325],
    ),
}  # fmt: skip


def published_state(config=SMALL):
    """As the authors' file has it: with the head of the distillation token."""
    state = dict(PasstNetwork(config).state_dict())
    state["head_dist.weight"] = torch.zeros(config.labels, config.width)
    state["head_dist.bias"] = torch.zeros(config.labels)
    return fill(state)


def small(convention="overlapping", **options):
    network = PasstNetwork(SMALL).eval().requires_grad_(False)
    network.load_state_dict(rename_passt(published_state()))
    return Passt(network, convention, "filled", **options)


@pytest.mark.parametrize("samples", sorted(GOLDEN))
def test_it_equals_the_original_module(samples):
    (encoded,) = small().encode([waveform("passt", samples)])
    features, logits = map(torch.tensor, GOLDEN[samples])
    assert encoded.embeddings.shape == (1, 128)
    assert encoded.logits is not None
    assert torch.allclose(encoded.embeddings[0, ::8], features, rtol=1e-5, atol=3e-6)
    assert torch.allclose(encoded.logits[0], logits, rtol=1e-5, atol=3e-6)
    assert torch.equal(encoded.vector, encoded.embeddings[0])


@pytest.mark.parametrize(
    ("convention", "seconds", "lengths"),
    [
        # Ours: as few windows as hold all, none shorter than half a window but of a short sound.
        ("overlapping", 3, [3]),
        ("overlapping", 10, [10]),
        ("overlapping", 12, [10, 7]),
        ("overlapping", 21, [10, 10, 10, 6]),
        # audiocraft: torch.split, what is not longer than 0.15 s is dropped.
        ("audiocraft", 12, [10, 2]),
        ("audiocraft", 20.15, [10, 10]),
        ("audiocraft", 20.2, [10, 10, 0.2]),
        # stable-audio-metrics: range(0, max(5, length - 5), 5), filled up with zeros.
        ("stable-audio-metrics", 3, [10]),
        ("stable-audio-metrics", 10, [10]),
        ("stable-audio-metrics", 12, [10, 10]),
        ("stable-audio-metrics", 21, [10, 10, 10, 10]),
    ],
)
def test_sounds_are_cut_as_by_each_tool(convention, seconds, lengths):
    windows = CONVENTIONS[convention].windows.cut(torch.zeros(round(32000 * seconds)))
    assert [len(window) / 32000 for window in windows] == pytest.approx(lengths)


def test_gains_are_those_of_each_tool():
    sound = 0.05 * waveform("gain", 64000)
    assert torch.equal(set_level(sound, "none"), sound)
    peaked = set_level(sound, "peak")
    assert torch.allclose(peaked, sound / sound.abs().max() * 10 ** (-1 / 20), rtol=1e-5)
    levelled = set_level(sound, "loudness")
    assert integrated_loudness(levelled[None], 32000) == pytest.approx(-14, abs=0.01)
    assert torch.allclose(levelled, sound * (levelled.norm() / sound.norm()), atol=1e-6)
    spiky = sound.clone()
    spiky[100] = 2.0
    assert set_level(spiky, "loudness").abs().max() == 1
    faint = 1e-3 / sound.square().mean().sqrt() * sound
    assert torch.equal(set_level(faint, "loudness"), faint)
    for gain in ("none", "peak", "loudness"):
        assert torch.equal(set_level(torch.zeros(9000), gain), torch.zeros(9000))


def test_only_tools_that_level_sounds_hear_them_alike_at_any_level():
    sound = 0.1 * waveform("level", 64000)
    for convention in ("stable-audio-metrics", "audiocraft-generated"):
        soft, loud = small(convention).encode([sound, 3 * sound])
        assert torch.allclose(soft.embeddings, loud.embeddings, atol=1e-5)
    for convention in ("overlapping", "audiocraft"):
        soft, loud = small(convention).encode([sound, 3 * sound])
        assert (soft.embeddings - loud.embeddings).abs().max() > 0.01
    assert small("audiocraft-generated").facts["gain"].startswith("mono sound at -14 LUFS")
    assert small("stable-audio-metrics").facts["gain"] == "peak of the mono sound at -1 dB"


def test_a_window_has_its_own_row_and_the_vector_is_their_mean():
    sound = waveform("long", 12 * 32000)
    encoder = small("audiocraft")
    encoded, head, tail = encoder.encode([sound, sound[:320000], sound[320000:]])
    assert torch.equal(encoded.embeddings, torch.cat([head.embeddings, tail.embeddings]))
    assert torch.allclose(encoded.vector, encoded.embeddings.mean(0), atol=1e-6)


def test_company_changes_no_bit_and_batch_sizes_only_rounding():
    sounds = [waveform("a", 40000), waveform("b", 40000), waveform("c", 9000)]
    together = small().encode(sounds)
    for sound, encoded in zip(sounds, together, strict=True):
        (alone,) = small().encode([sound])
        assert torch.equal(alone.embeddings, encoded.embeddings)
        (other,) = small(batch_size=1).encode([sound])
        assert torch.allclose(other.embeddings, encoded.embeddings, rtol=1e-5, atol=1e-5)


def test_the_shortest_sound_and_what_is_shorter():
    shortest, shorter = small().encode([waveform("s", LEAST), waveform("s", LEAST - 1)])
    assert shortest.embeddings.shape == (1, 128)
    assert shorter.embeddings.shape == (0, 128)
    assert shorter.vector.isnan().all()
    (filled,) = small("stable-audio-metrics").encode([waveform("s", LEAST - 1)])
    assert filled.embeddings.shape == (1, 128)


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(0), "no-samples"), (torch.full((9000,), torch.inf), "not-finite")],
)
def test_unusable_sounds_are_refused(sound, reason):
    with pytest.raises(AudioError) as caught:
        small().encode([sound])
    assert caught.value.reason == reason


def test_more_frames_than_there_are_positions_for_are_refused():
    with pytest.raises(ValueError, match="1 to 99 columns"):
        PasstNetwork(SMALL)(torch.zeros(1, 128, 1006))


def test_identity_tells_weights_and_conventions_apart():
    encoder: AudioEncoder = small()
    assert encoder.identity == small(batch_size=2).identity
    assert encoder.identity != small("audiocraft").identity
    network = PasstNetwork(SMALL)
    network.load_state_dict(rename_passt(published_state()))
    with torch.no_grad():
        network.cls_token[0, 0, 0] += 1e-6
    assert Passt(network.eval(), "overlapping", "filled").identity != encoder.identity
    assert encoder.facts["hop"] == "5 s"
    assert small("stable-audio-metrics").facts["tail"] == "filled up with zeros"


def test_published_names_load(tmp_path):
    torch.save(published_state(), tmp_path / CHECKPOINT.file)
    network = PasstNetwork(SMALL)
    told = load_published(network, CHECKPOINT, str(tmp_path), rename_passt)
    assert told == f"{CHECKPOINT.file}, not {CHECKPOINT.file} as published"
    assert torch.equal(network.head[1].weight, published_state()["head.1.weight"])
    # As saved together with its wrapper.
    wrapped = {f"net.{name}": tensor for name, tensor in published_state().items()}
    assert rename_passt(wrapped).keys() == network.state_dict().keys()


def test_missing_and_foreign_weights_say_what_to_do(tmp_path, own_cache):
    with pytest.raises(MissingWeightsError, match=r"fetch https://.*ap\.476-swa\.pt and put it to"):
        load_passt()
    torch.save({"w": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="does not hold weights of PasstNetwork"):
        load_passt(weights=str(tmp_path / "other.pt"))
    with pytest.raises(UserError):
        load_passt(device="nonsense")
