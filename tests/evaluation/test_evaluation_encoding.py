import pytest
import torch
from evaluated_sounds import RATE, BandEncoder, tone, write_sounds

from soundwright.audio.files import write
from soundwright.core.errors import UserError
from soundwright.core.protocols import AudioEncoder
from soundwright.evaluation.collection import Item, read_collection
from soundwright.evaluation.encoding import Ear
from soundwright.scorers.logmel_statistics import LogMelStatistics


def hear(folder, cache, encoder, **settings):
    ear = Ear({"bands": encoder}, cache, **settings)
    hearing = ear.listen(read_collection(folder).items, str(folder))
    keys = {heard.pcm_hash for heard in hearing.heard.values()}
    return hearing, ear.recall("bands", keys)


def refuse_reading(monkeypatch):
    def read(self):
        raise AssertionError(f"{self.name} was decoded again")

    monkeypatch.setattr(Item, "read", read)


def assert_equal(one, two):
    assert one.keys() == two.keys()
    for key in one:
        for name in ("embeddings", "vector", "logits"):
            first, second = getattr(one[key], name), getattr(two[key], name)
            assert torch.equal(first, second) if first is not None else second is None


def test_a_second_time_nothing_is_decoded_or_encoded(tmp_path, monkeypatch):
    assert isinstance(BandEncoder(), AudioEncoder)
    folder = write_sounds(tmp_path / "made", range(5))
    first = BandEncoder()
    hearing, encoded = hear(folder, tmp_path / "cache", first)
    assert first.heard == 5
    assert encoded[hearing.heard["0.wav"].pcm_hash].embeddings.dtype == torch.float32
    refuse_reading(monkeypatch)
    again = BandEncoder()
    hearing_again, encoded_again = hear(folder, tmp_path / "cache", again)
    assert again.heard == 0
    assert hearing_again.heard == hearing.heard
    assert_equal(encoded, encoded_again)


def test_content_is_the_key(tmp_path):
    folder = write_sounds(tmp_path / "made", range(3))
    hearing, _ = hear(folder, tmp_path / "cache", BandEncoder())
    (folder / "0.wav").rename(folder / "renamed.wav")
    write(folder / "1.wav", tone(9))
    encoder = BandEncoder()
    again, _ = hear(folder, tmp_path / "cache", encoder)
    assert encoder.heard == 1
    assert again.heard["renamed.wav"] == hearing.heard["0.wav"]
    assert again.heard["1.wav"].pcm_hash != hearing.heard["1.wav"].pcm_hash
    other = BandEncoder("bands-2")
    hear(folder, tmp_path / "cache", other)
    assert other.heard == 3


def test_equal_sounds_are_encoded_once(tmp_path):
    folder = write_sounds(tmp_path / "made", [1])
    for name in ("a", "b"):
        (folder / f"{name}.wav").write_bytes((folder / "1.wav").read_bytes())
    encoder = BandEncoder()
    hearing, encoded = hear(folder, tmp_path / "cache", encoder)
    assert (len(hearing.heard), len(encoded), encoder.heard) == (3, 1, 1)


@pytest.mark.parametrize("workers", [0, 3])
def test_neither_order_nor_workers_move_a_digit(tmp_path, workers):
    folder = write_sounds(tmp_path / "made", range(20), seconds=0.6)
    items = read_collection(folder).items
    found = []
    for number, order in enumerate((items, items[::-1])):
        ear = Ear({"mel": LogMelStatistics()}, tmp_path / f"{number}", workers=workers)
        hearing = ear.listen(order, "here")
        found.append(ear.recall("mel", {heard.pcm_hash for heard in hearing.heard.values()}))
    assert_equal(*found)


def test_what_was_finished_before_an_interrupt_is_kept(tmp_path, monkeypatch):
    folder = write_sounds(tmp_path / "made", range(20), seconds=0.3)

    class Interrupted(BandEncoder):
        def encode(self, waveforms):
            if self.heard:
                raise KeyboardInterrupt
            return super().encode(waveforms)

    with pytest.raises(KeyboardInterrupt):
        hear(folder, tmp_path / "cache", Interrupted(), workers=0)
    encoder = BandEncoder()
    _, resumed = hear(folder, tmp_path / "cache", encoder, workers=0)
    assert encoder.heard == 4
    assert_equal(resumed, hear(folder, tmp_path / "other", BandEncoder())[1])


def test_damage_to_the_cache_costs_time_and_no_digit(tmp_path):
    folder = write_sounds(tmp_path / "made", range(3))
    _, encoded = hear(folder, tmp_path / "cache", BandEncoder())
    (index,) = (tmp_path / "cache" / "sounds").iterdir()
    index.write_text(index.read_text()[:50])
    (pack,) = (tmp_path / "cache" / "embeddings").rglob("*.safetensors")
    content = bytearray(pack.read_bytes())
    content[-8] ^= 1
    pack.write_bytes(content)
    with pytest.raises(UserError, match="3 embeddings of bands are gone"):
        hear(folder, tmp_path / "cache", BandEncoder())
    encoder = BandEncoder()
    assert_equal(hear(folder, tmp_path / "cache", encoder)[1], encoded)
    assert encoder.heard == 3


def test_channels_and_rates_are_brought_to_the_encoders(tmp_path):
    folder = tmp_path / "made"
    mono = tone(1)
    stereo = type(mono)(torch.cat([mono.samples * 2, mono.samples * 0]), RATE)
    write(folder / "mono.wav", mono, bits=32)
    write(folder / "stereo.wav", stereo, bits=32)
    hearing, encoded = hear(folder, tmp_path / "cache", BandEncoder())
    one, two = (encoded[hearing.heard[name].pcm_hash] for name in ("mono.wav", "stereo.wav"))
    assert hearing.heard["stereo.wav"].channels == 2
    assert one.embeddings.shape == (4, 8)
    torch.testing.assert_close(one.embeddings, two.embeddings)
