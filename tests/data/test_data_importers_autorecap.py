"""AutoReCap's manifests: a line for each video, with local audio or without any."""

import json
import tracemalloc

import pytest
from imported_clips import by_item, has_speech, sound_texts

from soundwright.core.errors import UserError
from soundwright.core.records import Caption
from soundwright.data.clips import Skip
from soundwright.data.importers.autorecap import (
    Interval,
    import_autorecap,
    read_intervals,
    scan_intervals,
)

LINES = [
    '{"aaa":{"intervals":[{"start":0.1,"end":0.3,"text":"Rain falls.","CLAP_SIM":0.42},'
    '{"start":0.3,"end":0.45,"text":"A speech.","CLAP_SIM":0.2}]}},',
    '{"bbb":{"intervals":[{"start":12,"end":22.5,"text":"Dogs are barking","CLAP_SIM":0.51}]}},',
    '{"ccc":{"intervals":[{"start":3,"end":9}]}}',
]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "autorecap_xl.json"
    path.write_text("\n".join(LINES) + "\n")
    return path


INTERVALS = [
    ("aaa", 0, 0.1, 0.3, "Rain falls.", 0.42),
    ("aaa", 1, 0.3, 0.45, "A speech.", 0.2),
    ("bbb", 0, 12, 22.5, "Dogs are barking", 0.51),
    ("ccc", 0, 3, 9, "", None),
]


def facts(interval):
    values = interval.video, interval.number, interval.start, interval.end
    return (*values, interval.text, interval.clap)


def test_intervals_are_read_without_any_audio(manifest):
    first, *rest = read_intervals(manifest)
    assert first == Interval("autorecap_xl.json, line 1", "aaa", 0, 0.1, 0.3, "Rain falls.", 0.42)
    assert [facts(interval) for interval in (first, *rest)] == INTERVALS


@pytest.mark.parametrize(
    ("opening", "between", "closing"),
    [
        ("[\n", "\n", "\n]\n"),
        ("[", "\n", "]"),
        ("\ufeff[ ", "\r\n\r\n", " ],\n"),
        ("", "\n", ",\n"),
    ],
)
def test_brackets_and_commas_are_no_part_of_a_line(manifest, opening, between, closing):
    manifest.write_text(opening + between.join(LINES) + closing, encoding="utf-8", newline="")
    assert [facts(interval) for interval in read_intervals(manifest)] == INTERVALS


BAD = [
    ('{"v":{"intervals":[{"start":3,"end":3}]}}', "the span from 3 s to 3 s is empty"),
    ('{"v":{"intervals":[{"start":3}]}}', "interval 0 of v does not hold: 'end'"),
    ('{"v":{"intervals":[{"start":0,"end":1},7]}}', "interval 1 of v does not hold"),
    ('{"v":{"intervals":[{"start":0,"end":1,"CLAP_SIM":"high"}]}}', "high"),
    ('{"v":{"spans":[]}}', "v has no list of intervals"),
    ('{"v":[]}', "v has no list of intervals"),
    ('["v"],', "not"),
    ('{"v":', "not JSON"),
    ("7", "not a JSON object"),
]


@pytest.mark.parametrize(("line", "says"), BAD)
def test_a_line_that_does_not_hold_is_named(manifest, line, says):
    manifest.write_text(f"{LINES[2]}\n{line}\n{LINES[2]}\n")
    found = list(scan_intervals(manifest))
    (skip,) = [one for one in found if isinstance(one, Skip)]
    assert (skip.item, skip.reason) == ("autorecap_xl.json, line 2", "bad-row")
    assert says in skip.detail
    assert isinstance(found[0], Interval)
    assert isinstance(found[-1], Interval)
    with pytest.raises(UserError, match="line 2: "):
        list(read_intervals(manifest))


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.json cannot be read"):
        list(read_intervals(tmp_path / "no.json"))


def test_intervals_are_streamed(tmp_path):
    path = tmp_path / "many.json"
    one = {"intervals": [{"start": 0, "end": 5, "text": "rain " * 20, "CLAP_SIM": 0.5}] * 4}
    path.write_text("".join(json.dumps({f"v{number}": one}) + ",\n" for number in range(5000)))
    tracemalloc.start()
    assert sum(1 for _ in read_intervals(path)) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000 < path.stat().st_size


def test_autorecap_with_local_audio(manifest, tmp_path, sound_file):
    sound_file("audio/aaa.wav", seconds=0.5)
    sound_file("audio/000000/bbb_000.wav")
    imported = import_autorecap(tmp_path / "audio", table=manifest)
    rain, speech, dogs = imported.manifest.clips
    assert rain.captions == (Caption(text="Rain falls.", kind="model", model="autocap"),)
    assert (rain.scores, dogs.scores) == ({"clap": 0.42}, {"clap": 0.51})
    assert (rain.location.start, rain.duration) == (0.1, pytest.approx(0.2))
    assert (speech.location.path, speech.location.start) == ("aaa.wav", 0.3)
    assert (dogs.location.path, dogs.location.start) == ("000000/bbb_000.wav", 0)
    assert (dogs.source.dataset, dogs.source.item) == ("autorecap", "bbb")
    assert (dogs.source.start, dogs.source.end) == (12, 22.5)
    assert dogs.source.url == "https://www.youtube.com/watch?v=bbb&t=12"
    assert rain.licence.name == "unknown"
    assert imported.report.skipped == (
        Skip("autorecap_xl.json, line 3", "missing", "no audio of ccc at 3 s"),
    )
    assert sound_texts(dogs) == ("dog bark",)
    assert [has_speech(clip) for clip in (rain, speech, dogs)] == [False, True, False]


def test_autorecap_finds_its_manifest_in_the_folder(manifest, tmp_path, sound_file):
    sound_file("bbb_12_22.5.wav")
    assert list(by_item(import_autorecap(tmp_path))) == ["bbb"]
    (tmp_path / "other.jsonl").write_text("{}")
    with pytest.raises(UserError, match=r"several manifests: autorecap_xl\.json, other\.jsonl"):
        import_autorecap(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"), [("", "it has no lines"), ("a,b\n" * 200, "line 1: not")]
)
def test_another_file_is_no_manifest(tmp_path, sound_file, content, says):
    sound_file("a.wav")
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(UserError, match=f"(?s)no manifest of AutoReCap: .*{says}.*CLAP_SIM"):
        import_autorecap(tmp_path)
