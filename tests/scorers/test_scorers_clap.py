"""CLAP: equal to LAION's module and to transformers', and the same sound always the same."""

from functools import cache

import numpy as np
import pytest
import torch
from filling import fill, uniform, waveform
from small_clap import extractor, save_small, tokenizer

from soundwright.audio.mel import LogMel
from soundwright.core.errors import AudioError, CheckpointError, MissingWeightsError, UserError
from soundwright.core.protocols import TextAudioEncoder
from soundwright.core.seeding import numpy_stream
from soundwright.scorers.clap import Clap, ClapListening, front_end, load_clap
from soundwright.scorers.clap_weights import LAION_FILES, find_clap

RATE = 48000
SIZE = 10 * RATE
WIDTHS, DEPTHS = (32, 64, 128, 256), (2, 1, 2, 1)
TEXT = "w5 w17 w90 w4"
# laion-clap 1.1.7, CLAP with HTSAT (embed_dim=32, depths=[2,1,2,1], num_heads=[1,2,4,8]) and
# RoBERTa (128 wide, 2 layers), `fill`ed but for its constants; every fourth number is recorded.
# A sound is 1.3 times `waveform("clap", samples)`, so that some of it clips.
QUANTISED = {
    480000: [-0.033681, 0.153267, 0.148718, 0.056931, 0.169809, -0.143779, 0.065813, 0.13986,
             -0.015315, -0.112556, 0.088633, 0.006279, 0.109559, 0.209968, -0.20377, -0.054417],
    130000: [-0.019725, 0.142622, 0.15079, 0.073304, 0.170042, -0.149752, 0.04923, 0.140868,
             -0.005408, -0.115355, 0.073488, -0.009393, 0.112307, 0.206533, -0.188046, -0.041748],
}  # fmt: skip
AS_GIVEN = {
    480000: [-0.03371, 0.153266, 0.148763, 0.056883, 0.169847, -0.143744, 0.065809, 0.139851,
             -0.015373, -0.112536, 0.088625, 0.006286, 0.109506, 0.209971, -0.203778, -0.054433],
    130000: [-0.019779, 0.142666, 0.150804, 0.073278, 0.170023, -0.149753, 0.049247, 0.140835,
             -0.005439, -0.115353, 0.073505, -0.00938, 0.112309, 0.206546, -0.188063, -0.041746],
}  # fmt: skip
FUSED = {
    False: [-0.001307, 0.116958, 0.117668, 0.087277, 0.148411, -0.159424, -0.016008, 0.102611,
            0.000956, -0.163718, 0.026602, -0.045145, 0.104959, 0.206299, -0.139501, -0.017906],
    True: [-0.114137, 0.075479, 0.216871, -0.000196, 0.254758, -0.157827, 0.065077, 0.149048,
           -0.076753, -0.106692, 0.139068, 0.140424, 0.034936, 0.160815, -0.118198, -0.033935],
}  # fmt: skip
READ = [
    -0.001813, 0.156534, -0.318127, -0.003376, -0.092009, 0.112097, -0.087031, 0.289727,
    0.230333, -0.007742, 0.247783, 0.020848, -0.089775, 0.016825, -0.144978, 0.124705,
]  # fmt: skip
parts_of = cache(find_clap)


class Names(dict[str, torch.Tensor]):
    """A state dictionary in the making, values to be filled in."""

    def add(self, name: str, *shape: int, bias: bool = True) -> None:
        self[f"{name}.weight"] = torch.empty(shape)
        if bias:
            self[f"{name}.bias"] = torch.empty(shape[0])

    def add_batch_norm(self, name: str, width: int) -> None:
        self.add(name, width)
        for part in ("running_mean", "running_var"):
            self[f"{name}.{part}"] = torch.empty(width)
        self[f"{name}.num_batches_tracked"] = torch.tensor(0)

    def add_fusion(self, name: str) -> None:
        self.add(f"{name}.mel_conv2d", 32, 1, 4, 12)
        for branch, convolutions in (("local_att", (0, 3)), ("global_att", (1, 4))):
            for at, shape in zip(convolutions, ((8, 32), (32, 8)), strict=True):
                self.add(f"{name}.fusion_model.{branch}.{at}", *shape, 1, 1)
                self.add_batch_norm(f"{name}.fusion_model.{branch}.{at + 1}", shape[0])

    def add_block(self, name: str, width: int) -> None:
        self[f"{name}.attn_mask"] = torch.empty(4, 64, 64)
        self[f"{name}.attn.relative_position_bias_table"] = torch.empty(225, width // 32)
        self[f"{name}.attn.relative_position_index"] = torch.zeros(64, 64, dtype=torch.long)
        for part, *shape in (
            ("norm1", width), ("norm2", width), ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width), ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):  # fmt: skip
            self.add(f"{name}.{part}", *shape)

    def add_audio(self, name: str, *, fusion: bool) -> None:
        self.add_batch_norm(f"{name}.bn0", 64)
        self.add(f"{name}.patch_embed.proj", 32, 1, 4, 4)
        self.add(f"{name}.patch_embed.norm", 32)
        if fusion:
            self.add_fusion(f"{name}.patch_embed")
        for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            for number in range(depth):
                self.add_block(f"{name}.layers.{stage}.blocks.{number}", width)
            if width < WIDTHS[-1]:
                down = f"{name}.layers.{stage}.downsample"
                self.add(f"{down}.reduction", 2 * width, 4 * width, bias=False)
                self.add(f"{down}.norm", 4 * width)
        self.add(f"{name}.norm", 256)
        self.add(f"{name}.tscam_conv", 5, 256, 2, 3)
        self.add(f"{name}.head", 5, 5)
        self[f"{name}.logmel_extractor.melW"] = torch.empty(513, 64)

    def add_text(self, name: str) -> None:
        for kind, rows in (("word", 120), ("position", 90), ("token_type", 1)):
            self.add(f"{name}.embeddings.{kind}_embeddings", rows, 128, bias=False)
        self.add(f"{name}.embeddings.LayerNorm", 128)
        self[f"{name}.embeddings.position_ids"] = torch.arange(90)[None]
        for number in range(2):
            layer = f"{name}.encoder.layer.{number}"
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                self.add(f"{layer}.attention.{part}", 128, 128)
            self.add(f"{layer}.attention.output.LayerNorm", 128)
            self.add(f"{layer}.intermediate.dense", 192, 128)
            self.add(f"{layer}.output.dense", 128, 192)
            self.add(f"{layer}.output.LayerNorm", 128)
        self.add(f"{name}.pooler.dense", 128, 128)


def laion_state(*, fusion: bool) -> dict[str, torch.Tensor]:
    """A state dictionary with the names and shapes of the original, `fill`ed."""
    state = Names()
    state.add_audio("audio_branch", fusion=fusion)
    state.add_text("text_branch")
    for part, width in (("audio", 256), ("text", 128)):
        state.add(f"{part}_transform.sequential.0", 64, 64)
        state.add(f"{part}_projection.0", 64, width)
        state.add(f"{part}_projection.2", 64, 64)
        state[f"logit_scale_{part[0]}"] = torch.tensor(1.0)
    return fill(state)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "fusion"])
def laion(request, tmp_path_factory):
    """A checkpoint as LAION's training saved them, its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("laion")
    tokenizer().save_pretrained(folder)
    state = {f"module.{name}": value for name, value in laion_state(fusion=request.param).items()}
    held = {"epoch": 15, "name": "run", "loss": np.float64(0.5), "state_dict": state}
    torch.save(held, folder / "630k.pt")
    return folder / "630k.pt", request.param


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "fusion"])
def folder(request, tmp_path_factory):
    """A folder as transformers saves them, with random weights."""
    folder = tmp_path_factory.mktemp("clap") / "clap-small"
    save_small(folder, fusion=request.param)
    return folder, request.param


def load(place, *, batch_size=1, **listening) -> Clap:
    return Clap(parts_of(str(place)), "clap", ClapListening(**listening), batch_size=batch_size)


def vector(encoder: Clap, sound: torch.Tensor) -> torch.Tensor:
    return encoder.encode([sound])[0].vector


def test_it_equals_laions_module(laion):
    path, fusion = laion
    parts = parts_of(str(path))
    for padded in (False, True):
        encoder = Clap(parts, "clap", ClapListening(pad_texts=padded), batch_size=1)
        (read,) = encoder.embed_texts([TEXT])
        assert torch.allclose(read[::4], torch.tensor(READ), atol=2e-6)
    if fusion:
        mel = torch.stack([waveform(f"mel {row}", 1001 * 64).view(1001, 64) for row in range(4)])
        for longer, golden in FUSED.items():
            heard = parts.model.get_audio_features(
                mel[None] * 30 - 20, is_longer=torch.tensor([[longer]])
            ).pooler_output
            assert torch.allclose(heard[0, ::4], torch.tensor(golden), atol=2e-6)
        return
    for quantise, goldens in ((True, QUANTISED), (False, AS_GIVEN)):
        encoder = Clap(parts, "clap", ClapListening(quantise=quantise), batch_size=1)
        for samples, golden in goldens.items():
            heard = vector(encoder, 1.3 * waveform("clap", samples))
            assert torch.allclose(heard[::4], torch.tensor(golden), atol=2e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_the_front_end_equals_the_extractor(fused):
    slow = extractor(fusion=fused)
    mel = LogMel(front_end(slow, fused=fused))
    noise = torch.from_numpy(uniform("noise", 50000)).float() / 3
    bank = slow.mel_filters if fused else slow.mel_filters_slaney
    expected = torch.from_numpy(slow._np_extract_fbank_features(noise.double().numpy(), bank))
    assert (mel(noise).T - expected).abs().max() < 1e-4
    # Far below the loudest band fp32 has fewer digits, here and in the original.
    tone = waveform("tone", 50000)
    expected = torch.from_numpy(slow._np_extract_fbank_features(tone.double().numpy(), bank))
    assert (mel(tone).T - expected).abs().mean() < 1e-4
    silence = mel(torch.zeros(4800))
    assert torch.allclose(silence, torch.full_like(silence, -100), atol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_the_front_end_literally(fused):
    signal = torch.from_numpy(uniform("literal", 2000))
    padded = torch.cat([signal[1:513].flip(0), signal, signal[-513:-1].flip(0)])
    window = torch.from_numpy(np.hanning(1025)[:-1])
    power = torch.stack(
        [torch.fft.rfft(padded[at : at + 1024] * window).abs() ** 2 for at in range(0, 2001, 480)]
    )
    if fused:
        edges = 700 * (10 ** (np.linspace(*_htk(np.array([50, 14000])), 66) / 2595) - 1)
    else:
        edges = _from_slaney(np.linspace(*_to_slaney(np.array([50.0, 14000.0])), 66))
    bins = np.arange(513) * 48000 / 1024
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    bank = np.maximum(0, np.minimum(rising, falling))
    if not fused:
        bank *= 2 / (edges[2:] - edges[:-2])
    expected = 10 * (power @ torch.from_numpy(bank)).clamp(min=1e-10).log10()
    heard = LogMel(front_end(extractor(fusion=fused), fused=fused))(signal.float()).T
    assert heard.shape == expected.shape == (5, 64)
    assert (heard - expected).abs().max() < 1e-4


def _htk(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def _to_slaney(hertz):
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + np.log(hertz / 1000) * 27 / np.log(6.4))


def _from_slaney(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@pytest.mark.parametrize("samples", [7000, SIZE])
def test_sounds_of_up_to_ten_seconds_equal_transformers(folder, samples):
    place, fusion = folder
    sound = torch.from_numpy(uniform("sound", samples)).float() / 2
    inputs = extractor(fusion=fusion)(sound.numpy(), sampling_rate=RATE, return_tensors="pt")
    inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
    home = parts_of(str(place)).model.eval()
    expected = home.get_audio_features(**inputs.to(torch.float32)).pooler_output
    assert torch.allclose(vector(load(place, quantise=False), sound), expected[0], atol=1e-5)


@pytest.mark.parametrize("samples", [SIZE + 100, SIZE + 700, 21 * RATE])
def test_draws_from_long_sounds_equal_transformers_given_the_same_numbers(
    folder, samples, monkeypatch
):
    place, fusion = folder
    sound = torch.from_numpy(uniform("sound", samples)).float() / 2
    stream = numpy_stream(3, "clap", samples)
    monkeypatch.setattr(np.random, "choice", stream.choice)
    monkeypatch.setattr(np.random, "randint", lambda low, high: stream.integers(high))
    inputs = extractor(fusion=fusion)(sound.numpy(), sampling_rate=RATE, return_tensors="pt")
    whole = samples - SIZE < 480
    if fusion and whole:
        # The extractor takes a random sound of the batch for long where none is.
        inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
    home = parts_of(str(place)).model.eval()
    expected = home.get_audio_features(**inputs.to(torch.float32)).pooler_output
    encoder = load(place, quantise=False, long="fusion" if fusion else "random", seed=3)
    # Up to a hop beyond ten seconds the extractor hears all, and ours the first ten.
    tolerance = 1e-3 if fusion and whole else 1e-5
    assert torch.allclose(vector(encoder, sound), expected[0], atol=tolerance)


@pytest.mark.parametrize(("seconds", "begins"), [(12, [0, 2]), (15, [0, 5]), (16, [0, 3, 6])])
def test_windows_cover_a_long_sound_evenly(folder, seconds, begins):
    encoder = load(folder[0])
    sound = waveform("long", seconds * RATE)
    (encoded,) = encoder.encode([sound])
    crops = [sound[begin * RATE :][:SIZE] for begin in begins]
    alone = torch.stack([encoded.vector for encoded in encoder.encode(crops)])
    assert torch.allclose(encoded.embeddings, alone, atol=1e-6)
    mean = alone.mean(0)
    assert torch.allclose(encoded.vector, mean / mean.norm(), atol=1e-6)
    head = load(folder[0], long="head")
    assert torch.allclose(vector(head, sound), alone[0], atol=1e-6)


def test_draws_depend_on_seed_and_length_alone(folder):
    place, _ = folder
    sound, other = waveform("one", 14 * RATE), waveform("two", 14 * RATE)
    encoder = load(place, long="random")
    first = vector(encoder, sound)
    vector(encoder, other)
    assert torch.equal(vector(encoder, sound), first)
    assert not torch.allclose(vector(load(place, long="random", seed=1), sound), first, atol=1e-6)


def test_company_changes_no_bit_and_batch_sizes_only_rounding(folder):
    place, _ = folder
    encoder = load(place, batch_size=2)
    sounds = [waveform("a", 11 * RATE), waveform("b", 20000), waveform("c", SIZE)]
    together = encoder.encode(sounds)
    for sound, encoded in zip(sounds, together, strict=True):
        (alone,) = encoder.encode([sound])
        assert torch.equal(alone.embeddings, encoded.embeddings)
        assert encoded.vector.norm() == pytest.approx(1, abs=1e-6)
        assert torch.allclose(vector(load(place), sound), encoded.vector, atol=1e-5)
    texts = ["w5 w6", "w7", "", "w8 w9"]
    read = encoder.embed_texts(texts)
    assert all(torch.equal(read[row], encoder.embed_texts([text])[0]) for row, text in
               enumerate(texts))  # fmt: skip


def test_texts_equal_transformers_and_long_ones_are_cut(folder):
    place, _ = folder
    encoder: TextAudioEncoder = load(place)
    home = parts_of(str(place)).model.eval()
    texts = [TEXT, "w7", "w5 " * 75]
    tokens = tokenizer()(texts, padding=True, return_tensors="pt")
    expected = home.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
    assert torch.allclose(encoder.embed_texts(texts), expected, atol=1e-5)
    padded = load(place, pad_texts=True).embed_texts(texts)
    assert torch.allclose(padded, expected, atol=1e-5)
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than 77 tokens"):
        cut = encoder.embed_texts(["w5 " * 100, "w7"])
    assert torch.equal(cut, encoder.embed_texts(texts)[[2, 1]])
    assert encoder.embed_texts([]).shape == (0, 24)


def test_what_differs_stands_on_the_card_and_in_the_identity(folder):
    place, fusion = folder
    encoder = load(place)
    assert encoder.sample_rate == RATE
    assert encoder.facts["quantisation"] == "16 bits, cut off"
    assert encoder.facts["long sounds"].startswith("even windows")
    assert encoder.identity == load(place, batch_size=2).identity
    others = [{"quantise": False}, {"long": "head"}, {"long": "random"}, {"seed": 1}]
    others += [{"long": "fusion"}] if fusion else []
    identities = {load(place, **other).identity for other in others}
    assert len(identities | {encoder.identity}) == len(others) + 1
    assert load(place, long="random", seed=4).facts["long sounds"] == "one window, drawn, seed 4"


def test_names(folder, laion):
    assert load_clap(str(folder[0])).name == "clap-small"
    assert load_clap(str(laion[0])).name == "clap-630k"


def test_fusion_needs_a_checkpoint_that_was_trained_for_it(folder):
    place, fusion = folder
    if not fusion:
        with pytest.raises(UserError, match="trained without feature fusion"):
            load(place, long="fusion")


@pytest.mark.parametrize(
    ("sound", "reason"),
    [(torch.zeros(0), "no-samples"), (torch.full((9000,), torch.nan), "not-finite")],
)
def test_unusable_sounds_are_refused(folder, sound, reason):
    with pytest.raises(AudioError) as caught:
        load(folder[0]).encode([sound])
    assert caught.value.reason == reason


def test_what_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDWRIGHT_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("laion/clap-htsat-unfused", *LAION_FILES, "nowhere/music.pt"):
        with pytest.raises(MissingWeightsError, match="CLAP model"):
            load_clap(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeightsError, match=r"without config\.json"):
        load_clap(str(tmp_path / "empty"))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"state_dict": {"w": torch.zeros(2)}}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of LAION's CLAP: it has no"):
        load_clap(str(path))
    state = laion_state(fusion=False)
    del state["audio_branch.norm.bias"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"audio_encoder\.norm\.bias is too many or missing"):
        load_clap(str(path))
    torch.save({"hook": print}, path)
    with pytest.raises(CheckpointError, match="would run code"):
        load_clap(str(path))
