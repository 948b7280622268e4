"""The stage that listens for speech, on speech."""

import sys
from pathlib import Path

import pytest
import soundfile
import torch
from small_media import RATE, exported_records, run, write_config

from soundwright.audio.resampling import resample
from soundwright.core.records import Clip
from soundwright.data.manifest import read_manifest
from soundwright.data.verification import verify

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

WHERE = {"where": "not dropped and speech_peak < 0.5"}


@pytest.fixture
def talk(tmp_path):
    """Three seconds of noise, a sentence, three seconds of noise; gives when the sentence is."""
    pytest.importorskip("espeakng_loader", reason="needs the package espeakng-loader")
    from espeak import speak

    sentence = speak("nobody knows why the old engine never stops")
    words = resample(sentence.samples, sentence.sample_rate, RATE)
    noise = 0.01 * torch.randn(1, 3 * RATE, generator=torch.Generator().manual_seed(1))
    whole = torch.cat([noise, 0.3 * words / words.abs().amax(), noise], 1)
    (tmp_path / "media").mkdir()
    soundfile.write(tmp_path / "media" / "talk.wav", whole[0].numpy(), RATE)
    return 3.0, 3.0 + words.shape[1] / RATE


def configure(root, **tag):
    # The file's name, which the captioner repeats, is a word of speech.
    return write_config(
        root, transcripts={"missing": "silent"}, tag=tag, select=WHERE, keywords=None
    )


def test_a_clip_with_speech_is_left_out(talk, tmp_path):
    _, states = run(configure(tmp_path))
    assert exported_records(tmp_path) == []
    (clip,) = states["tag"].place.folder.rows(0, Clip)
    begin, end = talk
    assert clip.scores["speech_seconds"] == pytest.approx(end - begin, abs=0.5)
    assert clip.scores["speech_peak"] > 0.9


def test_cut_only_the_speech_is_lost(talk, tmp_path):
    _, states = run(configure(tmp_path, cut=1.0))
    manifest = read_manifest(tmp_path / "export")
    begin, end = talk
    spans = sorted((clip.source.start, clip.source.end) for clip in manifest.clips)
    assert len(spans) == 2
    assert spans[0] == (0.0, pytest.approx(begin, abs=0.3))
    assert spans[1] == (pytest.approx(end, abs=0.3), pytest.approx(end + 3.0, abs=0.01))
    assert spans[0][1] <= begin
    assert verify(manifest).sound
    assert states["tag"].counts.drops == {"speech": 1}
    (speech,) = [c for c in states["tag"].place.folder.rows(0, Clip) if c.drops]
    assert len(speech.parents) == 1
    (decoded,) = states["decode"].place.folder.rows(0, Clip)
    assert speech.parents == (decoded.id,)


def test_parts_that_were_cut_off_are_not_merged_again(talk, tmp_path):
    config = write_config(
        tmp_path,
        transcripts={"missing": "silent"},
        tag={"cut": 1.0},
        caption={"plugin": "corpus_plugins:SameCaptioner"},
        select=WHERE,
    )
    run(config)
    assert len(exported_records(tmp_path)) == 2
