import pytest
from fingerprint_sounds import RATE, make

from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.core.records import Clip, Location, Source
from soundwright.corpus.decontamination import Leak, find_leak
from soundwright.corpus.evaluation_sets import (
    EvaluationSet,
    Span,
    read_evaluation_manifest,
    read_evaluation_table,
)
from soundwright.corpus.fingerprint_index import FingerprintIndex
from soundwright.corpus.fingerprints import fingerprint
from soundwright.corpus.identities import identities, possible_identities
from soundwright.data.clips import Draft, describe_clip
from soundwright.data.manifest import Header, Manifest

VIDEO = "-0abc_DEF12"
AUDIOCAPS = f"audiocap_id,youtube_id,start_time,caption\n7,{VIDEO},30,a dog\n8,{VIDEO},30,a cat\n"
MUSICCAPS = (
    f'ytid,start_s,end_s,audioset_positive_labels,caption\n{VIDEO},30,40,"/m/1,/m/2","a\nb"\n'
)
AUDIOSET = (
    "# Segments csv created in 2017\n"
    "# num_ytids=1, num_segs=1\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
    f'{VIDEO}, 30.000, 40.000, "/m/03fwl,/m/04rlf"\n'
)
LEAK = Leak("held out", "same-recording", f"{VIDEO}, 30 to 40 s")


def clip_of(pcm_hash="00", **source):
    return Clip(
        id="c",
        source=Source(**({"dataset": "own", "item": "x"} | source)),
        location=Location(path="x.wav"),
        pcm_hash=pcm_hash,
        duration=10.0,
        sample_rate=RATE,
    )


@pytest.fixture(params=[AUDIOCAPS, MUSICCAPS, AUDIOSET], ids=["audiocaps", "musiccaps", "audioset"])
def table(request, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(request.param, encoding="utf-8")
    return read_evaluation_table(path, "held out")


def test_published_tables_name_spans_of_videos(table):
    assert table.spans == {f"youtube:{VIDEO}": (Span(f"{VIDEO}, 30 to 40 s", 30.0, 40.0),)}


@pytest.mark.parametrize(
    ("start", "end", "leaks"),
    [(35, 45, True), (0, 30.5, True), (20, None, True), (40, 50, False), (0, 30, False)],
)
def test_a_clip_leaks_where_its_time_overlaps_the_item(table, start, end, leaks):
    url = f"https://www.youtube.com/watch?app=desktop&v={VIDEO}&t=3"
    clip = clip_of(url=url, start=start, end=end)
    assert find_leak(clip, None, [table]) == (LEAK if leaks else None)


def test_a_margin_widens_the_items(table):
    clip = clip_of(url=f"https://youtu.be/{VIDEO}", start=42, end=50)
    assert find_leak(clip, None, [table], margin=2.0) is None
    assert find_leak(clip, None, [table], margin=2.1) == LEAK


@pytest.mark.parametrize(
    "item",
    [
        VIDEO,
        f"Y{VIDEO}.wav",
        f"{VIDEO}_30.000",
        f"audio/{VIDEO}_000030.flac",
        f"{VIDEO}_30000_40000",
    ],
)
def test_an_id_in_a_name_is_seen(table, item):
    assert find_leak(clip_of(item=item), None, [table]) == LEAK


@pytest.mark.parametrize("item", [f"X{VIDEO}", f"{VIDEO}x", "another-one", f"{VIDEO} copy.wav"])
def test_another_name_is_no_id(table, item):
    assert find_leak(clip_of(item=item), None, [table]) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"http://youtube.com/embed/{VIDEO}?start=3", f"youtube:{VIDEO}"),
        (f"https://m.youtube.com/shorts/{VIDEO}", f"youtube:{VIDEO}"),
        (f"https://www.youtube.com/watch?v={VIDEO}x", None),
        ("http://www.freesound.org/people/some one/sounds/100032/", "freesound:100032"),
        ("https://freesound.org/s/77", "freesound:77"),
        ("https://example.org/sounds/77", None),
    ],
)
def test_identities_come_from_urls(url, expected):
    found = identities(Source(dataset="own", item="x", url=url))
    assert found == ((expected, "own:x") if expected else ("own:x",))


def test_a_name_is_only_a_possible_identity():
    source = Source(dataset="own", item="dog_bark_01.wav")
    assert identities(source) == ("own:dog_bark_01.wav",)
    assert possible_identities(source) == ("own:dog_bark_01.wav", "youtube:dog_bark_01")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("youtube_id,start_time\nabc,soon\n", "line 2: abc, soon is no span"),
        ("youtube_id,start_time\n,3\n", "line 2"),
        ("ytid,start_s,end_s\nabc,9,3\n", "line 2"),
        ("ytid,start_s\n", "no rows"),
        ("name,caption\na,b\n", "no header"),
        ("", "no header"),
    ],
)
def test_a_table_that_would_lose_items_is_refused(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_evaluation_table(path, "x")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv cannot be read"):
        read_evaluation_table(tmp_path / "nowhere.csv", "x")


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """An evaluation set of three clips; the file of the last one is gone."""
    folder = tmp_path_factory.mktemp("held-out")
    clips = []
    for seed in range(3):
        path = folder / f"{seed}.wav"
        write(path, Sound(make("rain", seed), RATE))
        url = f"https://freesound.org/people/a/sounds/{seed}/"
        source = Source(dataset="clotho", item=path.name, url=url)
        clips.append(describe_clip(Draft(path=path, source=source), folder))
    path.unlink()
    return read_evaluation_manifest(Manifest(Header(), tuple(clips), folder), "clotho"), clips


def test_a_manifest_is_known_by_identity_samples_and_sound(held_out):
    known, clips = held_out
    assert known.fingerprints is not None
    assert len(known.fingerprints) == 2
    assert [(skip.item, skip.reason) for skip in known.unheard] == [(clips[2].id, "missing")]
    by_url = clip_of(url="https://freesound.org/s/1/")
    assert find_leak(by_url, None, [known]) == Leak("clotho", "same-recording", clips[1].id)
    by_name = clip_of(dataset="clotho", item="2.wav")
    assert find_leak(by_name, None, [known]) == Leak("clotho", "same-recording", clips[2].id)
    by_samples = clip_of(pcm_hash=clips[0].pcm_hash)
    assert find_leak(by_samples, None, [known]) == Leak("clotho", "same-samples", clips[0].id)


def test_a_part_of_an_item_leaks_by_its_sound(held_out):
    known, clips = held_out
    part = fingerprint(0.3 * make("rain", 1)[:, RATE : 3 * RATE], RATE)
    leak = find_leak(clip_of(), part, [EvaluationSet("empty"), known])
    assert leak is not None
    assert (leak.set, leak.how, leak.item) == ("clotho", "same-sound", clips[1].id)
    assert 0.3 < leak.score <= 1
    assert find_leak(clip_of(), fingerprint(make("rain", 9), RATE), [known]) is None
    assert find_leak(clip_of(), None, [known]) is None


def test_an_empty_index_finds_nothing():
    assert FingerprintIndex({}).find(fingerprint(make("rain", 1, 1.0), RATE)) is None
