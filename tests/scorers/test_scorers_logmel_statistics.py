from __future__ import annotations

import torch
from filling import waveform

from soundwright.audio.mel import PRESETS, LogMel
from soundwright.core.protocols import AudioEncoder
from soundwright.scorers.logmel_statistics import LogMelStatistics

ENCODER = LogMelStatistics()


def test_it_is_an_encoder_that_does_not_call_itself_fad() -> None:
    assert isinstance(ENCODER, AudioEncoder)
    assert ENCODER.name == "logmel-statistics"
    assert ENCODER.facts["weights"] == "none"
    assert ENCODER.identity == LogMelStatistics("cpu").identity


def test_rows_are_mean_and_spread_of_each_band() -> None:
    sound = waveform("statistics", 24000)
    (encoded,) = ENCODER.encode([sound])
    assert encoded.embeddings.shape == (2, 128)
    mel = LogMel(PRESETS["general"])(sound[8000:]).double()
    assert torch.allclose(encoded.embeddings[1, :64].double(), mel.mean(-1), atol=1e-5)
    expected = mel.var(-1, correction=0).sqrt()
    assert torch.allclose(encoded.embeddings[1, 64:].double(), expected, atol=1e-5)
    assert torch.allclose(encoded.vector, encoded.embeddings.mean(0), atol=1e-6)
    assert encoded.logits is None


def test_every_sound_has_rows_whatever_its_company() -> None:
    sounds = [waveform(str(count), count) for count in (1, 700, 16000, 16001, 60000)]
    together = ENCODER.encode(sounds)
    assert [len(encoded.embeddings) for encoded in together] == [1, 1, 1, 2, 7]
    for sound, encoded in zip(sounds, together, strict=True):
        assert encoded.vector.isfinite().all()
        assert torch.equal(ENCODER.encode([sound])[0].embeddings, encoded.embeddings)


def test_it_hears_level_and_pitch() -> None:
    time_s = torch.arange(16000) / 16000
    low, high = (torch.sin(2 * torch.pi * hertz * time_s) for hertz in (300.0, 3000.0))
    bass, treble, quiet = ENCODER.encode([low, high, low / 10])
    assert int(bass.vector[:64].argmax()) < int(treble.vector[:64].argmax())
    # A tenth of the magnitude is ln 10 less wherever the floor is far away.
    fall = (bass.vector - quiet.vector)[int(bass.vector[:64].argmax())]
    assert abs(float(fall) - 2.302585) < 1e-3
