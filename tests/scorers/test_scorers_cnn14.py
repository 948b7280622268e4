"""CNN14 and Wavegram-Logmel-CNN14: equal to the original modules, the same in any company."""

from functools import cache

import numpy as np
import pytest
import torch
from filling import fill_tensor, waveform

from soundwright.audio.mel import LogMel
from soundwright.core.errors import AudioError, MissingWeightsError
from soundwright.core.protocols import AudioEncoder
from soundwright.scorers.cnn14 import (
    LABELS,
    VARIANTS,
    WIDTH,
    Cnn14,
    Cnn14Network,
    load_cnn14,
    rename_panns,
)

# audioset_tagging_cnn: Cnn14_16k, Cnn14 and Wavegram_Logmel_Cnn14, `fill`ed with gain 2 (but for
# their front ends, by torchlibrosa 0.1.0), on `sound(variant, name)`: every 171st number of the
# embedding, every 48th logit, which is fc_audioset of the embedding.
GOLDEN = {
    ("cnn14-16k", "one"): (
        [0, 0, 0, 754.1104, 1193.958, 43.94423, 0, 0, 536.9723, 651.939, 0, 1140.515],
        [
            541.0472,
            -859.9418,
            -1636.481,
            -1093.895,
            -601.8498,
            1654.163,
            -1570.642,
            186.6304,
            0.5198643,
            -767.9578,
            -117.5726,
        ],
    ),
    ("cnn14-16k", "two"): (
        [0, 0, 0, 2176.019, 4202.732, 495.4406, 0, 0, 975.0131, 1733.532, 0, 3670.081],
        [
            1331.778,
            -2604.776,
            -4592.662,
            -2207.907,
            -1691.163,
            4910.955,
            -4039.954,
            1088.24,
            -316.4124,
            -2575.962,
            1152.751,
        ],
    ),
    ("cnn14-32k", "one"): (
        [0, 0, 0, 584.9008, 968.5631, 0, 0, 0, 479.5451, 631.225, 0, 943.4037],
        [
            537.6733,
            -645.7306,
            -1330.128,
            -910.4968,
            -531.4362,
            1448.31,
            -1287.774,
            166.3456,
            53.71807,
            -627.2927,
            -146.2971,
        ],
    ),
    ("cnn14-32k", "two"): (
        [0, 0, 0, 2033.164, 3727.133, 533.1313, 0, 0, 889.1229, 1560.051, 0, 3323.168],
        [
            1205.938,
            -2244.882,
            -4176.429,
            -2004.268,
            -1544.087,
            4385.841,
            -3544.935,
            1005.433,
            -306.2709,
            -2192.809,
            933.3762,
        ],
    ),
    ("wavegram-logmel-cnn14", "one"): (
        [0, 0, 0, 487.3074, 1095.952, 136.7535, 0, 0, 482.4101, 830.8514, 0, 1337.665],
        [
            357.5598,
            -559.7672,
            -1304.526,
            -592.5142,
            -621.8793,
            1606.909,
            -1008.433,
            307.7077,
            55.96099,
            -447.3318,
            280.2996,
        ],
    ),
    ("wavegram-logmel-cnn14", "two"): (
        [0, 0, 0, 1135.334, 2862.278, 0, 0, 0, 1145.422, 2001.774, 0, 4057.919],
        [
            721.3682,
            -1995.187,
            -3101.585,
            -2205.949,
            -1583.745,
            3865.716,
            -2917.839,
            468.5756,
            587.4853,
            -1021.632,
            23.76709,
        ],
    ),
}


@cache
def filling(name, shape):
    """One tensor; the variants share most of theirs."""
    return fill_tensor(name, torch.empty(shape, device="meta"), gain=2)


@cache
def network(variant):
    config = VARIANTS[variant][0]
    net = Cnn14Network(config)
    net.load_state_dict(rename_panns(published_state(net)), assign=True)
    return net.eval().requires_grad_(False)


@cache
def encoder_of(variant):
    return Cnn14(network(variant), variant, "filled")


def published_state(net):
    """Under PANNs' names, with the constants of the front end that stand in their files."""
    state = {
        name.removeprefix("wavegram."): filling(name.removeprefix("wavegram."), value.shape)
        if value.is_floating_point()
        else torch.zeros(value.shape, dtype=value.dtype)
        for name, value in net.state_dict().items()
    }
    state["spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(1)
    state["logmel_extractor.melW"] = torch.zeros(1)
    return state


def sound(variant, name):
    hop = VARIANTS[variant][0].mel.hop_length
    if name == "one":
        return waveform(name, 64 * hop)
    return 0.05 * waveform(name, 70 * hop + 100)


@pytest.mark.parametrize(("variant", "name"), sorted(GOLDEN))
def test_it_equals_the_original_module(variant, name):
    encoder = encoder_of(variant)
    assert isinstance(encoder, AudioEncoder)
    (encoded,) = encoder.encode([sound(variant, name)])
    assert encoded.logits is not None
    assert encoded.embeddings.shape == (1, WIDTH)
    assert encoded.logits.shape == (1, LABELS)
    assert torch.equal(encoded.vector, encoded.embeddings[0])
    for ours, theirs in zip(
        (encoded.vector[::171], encoded.logits[0, ::48]), GOLDEN[variant, name], strict=True
    ):
        expected = torch.tensor(theirs)
        assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()


def test_weights_are_named_as_in_the_published_checkpoints():
    names = {"bn0.weight", "bn0.running_var", "fc1.weight", "fc_audioset.bias",
             "conv_block1.conv1.weight", "conv_block6.bn2.running_mean"}  # fmt: skip
    learnt = {"pre_conv0.weight", "pre_bn0.bias", "pre_block1.conv2.weight",
              "pre_block3.bn1.weight", "pre_block4.conv1.weight"}  # fmt: skip
    for variant, expected in (("cnn14-32k", names), ("wavegram-logmel-cnn14", names | learnt)):
        state = published_state(network(variant))
        assert expected <= state.keys()
        assert any(name.startswith("pre_") for name in state) is (expected != names)
        # Six blocks of 12 tensors, two batch norms of 5, two linear layers of 2, two constants.
        assert len(state) == 6 * 12 + 5 + 4 + 2 + (4 * 12 + 6 if expected != names else 0)


@pytest.mark.parametrize("variant", ["cnn14-16k", "cnn14-32k"])
def test_the_front_end_literally(variant):
    # torchlibrosa: a mirrored, periodic Hann window, squares, librosa's bands of equal area on
    # Slaney's scale, 10 log10(max(x, 1e-10)), no ceiling on the range.
    config = VARIANTS[variant][0].mel
    size, hop, top = config.n_fft, config.hop_length, config.top
    samples = waveform("front end", 40 * hop + 7)
    samples[: 10 * hop] = 0

    def hertz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    low, high = 50 * 3 / 200, 15 + 27 * np.log(top / 1000) / np.log(6.4)
    corners = [hertz(low + step * (high - low) / 65) for step in range(66)]
    bands = np.zeros((size // 2 + 1, 64))
    for index in range(size // 2 + 1):
        at = index * config.sample_rate / size
        for band in range(64):
            left, centre, right = corners[band : band + 3]
            height = min((at - left) / (centre - left), (right - at) / (right - centre))
            bands[index, band] = max(0, height) * 2 / (right - left)
    padded = np.pad(samples.double().numpy(), size // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    frames = [padded[at : at + size] * window for at in range(0, len(padded) - size + 1, hop)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    expected = 10 * np.log10(np.maximum(power @ bands, 1e-10))
    ours = LogMel(config)(samples)
    assert ours.shape == (64, 41)
    assert float(ours.min()) == pytest.approx(-100)
    assert np.abs(ours.T.numpy() - expected).max() < 1e-3


def test_lengths_are_any_and_very_short_sounds_have_no_row():
    encoder = encoder_of("wavegram-logmel-cnn14")
    hop = 320
    lengths = (32 * hop - 1, 32 * hop, 33 * hop, 33 * hop + 319, 41 * hop + 1)
    found = encoder.encode([waveform("length", length) for length in lengths])
    assert [len(encoded.embeddings) for encoded in found] == [0, 1, 1, 1, 1]
    assert found[0].vector.isnan().all()
    for encoded in found[1:]:
        assert encoded.vector.isfinite().all()


def test_batch_mates_change_no_bit_and_batch_sizes_only_rounding():
    encoder = Cnn14(network("cnn14-16k"), "cnn14-16k", "filled", batch_size=2)
    sounds = [waveform(name, count) for name, count in (("a", 5200), ("b", 5200), ("c", 5500))]
    together = encoder.encode(sounds)
    turned = encoder.encode(sounds[::-1])[::-1]
    for sound, encoded, other in zip(sounds, together, turned, strict=True):
        (alone,) = encoder.encode([sound])
        assert torch.equal(alone.vector, encoded.vector)
        assert torch.equal(other.vector, encoded.vector)
    (single,) = encoder_of("cnn14-16k").encode(sounds[1:2])
    difference = (single.vector - together[1].vector).abs().max()
    assert difference < 1e-5 * single.vector.abs().max()


def test_what_a_card_tells():
    encoders = [encoder_of(variant) for variant in VARIANTS]
    assert [encoder.name for encoder in encoders] == list(VARIANTS)
    assert [encoder.sample_rate for encoder in encoders] == [16000, 32000, 32000]
    assert len({encoder.identity for encoder in encoders}) == 3
    assert encoders[0].facts["weights"] == "filled"


def test_unusable_sounds_and_absent_weights_are_named(monkeypatch, tmp_path):
    with pytest.raises(AudioError):
        encoder_of("cnn14-16k").encode([torch.full((6000,), torch.nan)])
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    monkeypatch.setenv("SOUNDWRIGHT_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError) as missing:
        load_cnn14()
    address = "https://zenodo.org/records/3987831/files/Wavegram_Logmel_Cnn14_mAP%3D0.439.pth"
    for words in (address, str(tmp_path / "encoders" / "Wavegram_Logmel_Cnn14_mAP=0.439.pth")):
        assert words in str(missing.value)
