"""Transcripts: forms, faults, encodings, rolling captions, cues of sounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwright.corpus.records import Cue
from soundwright.corpus.transcripts.reading import read_transcript
from soundwright.corpus.transcripts.records import Transcript, TranscriptError
from soundwright.corpus.transcripts.sound_cues import is_music_cue, is_sound_cue

VTT = """WEBVTT - a talk
Kind: captions

STYLE
::cue { color: lime }

REGION
id:fred

NOTE written by hand,
on two lines

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Roger Bingham>We are <i>in</i> Paris &amp; Rome

NOTE later

1:00:00.000 --> 1:00:03.250
- Who?
- You.
"""
SRT = """1
00:00:01,000 --> 00:00:02,000 X1:100 X2:200
{\\an8}<font color="#ffffff">Hello</font>

there

00:00:03.5 --> 00:00:04.25
no index
7
00:00:05,000 --> 00:00:06,000
no blank line
"""
ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.470 align:start position:0%
\x20
hello<00:00:00.480><c> and</c><00:00:00.640><c> welcome</c>

00:00:02.470 --> 00:00:02.480 align:start position:0%
hello and welcome
\x20

00:00:02.480 --> 00:00:09.990 align:start position:0%
hello and welcome
to<00:00:02.720><c> the</c><00:00:05.500><c> show</c>

00:00:09.990 --> 00:00:10.000 align:start position:0%
to the show
\x20

00:00:10.000 --> 00:00:14.000 align:start position:0%
to the show
[Applause]
"""
JSON3 = {
    "wireMagic": "pb3",
    "pens": [{}],
    "events": [
        {"tStartMs": 0, "dDurationMs": 60000, "id": 1, "wpWinPosId": 1},
        {
            "tStartMs": 160,
            "dDurationMs": 5000,
            "wWinId": 1,
            "segs": [
                {"utf8": "hello", "acAsrConf": 0},
                {"utf8": " and", "tOffsetMs": 320},
                {"utf8": " welcome", "tOffsetMs": 480},
            ],
        },
        {"tStartMs": 2470, "dDurationMs": 2690, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {
            "tStartMs": 2480,
            "dDurationMs": 6000,
            "wWinId": 1,
            "segs": [
                {"utf8": "to"},
                {"utf8": " the", "tOffsetMs": 240},
                {"utf8": " show", "tOffsetMs": 4000},
            ],
        },
    ],
}


def read(tmp_path: Path, content: str | bytes, **options) -> Transcript:
    path = tmp_path / "transcript"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_transcript(path, **options)


def spans(transcript: Transcript) -> list[tuple[float, float, str]]:
    return [(cue.start, cue.end, cue.text) for cue in transcript.cues]


def reasons(transcript: Transcript) -> list[tuple[str, int | None]]:
    return [(problem.reason, problem.line) for problem in transcript.problems]


def test_webvtt(tmp_path):
    transcript = read(tmp_path, VTT)
    assert transcript.form == "vtt"
    assert spans(transcript) == [
        (1.0, 2.5, "We are in Paris & Rome"),
        (3600.0, 3603.25, "- Who? - You."),
    ]
    assert transcript.problems == ()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_subrip(tmp_path, newline):
    transcript = read(tmp_path, SRT.replace("\n", newline))
    assert transcript.form == "srt"
    assert spans(transcript) == [
        (1.0, 2.0, "Hello there"),
        (3.5, 4.25, "no index"),
        (5.0, 6.0, "no blank line"),
    ]
    assert transcript.problems == ()


def test_rolling_webvtt_says_each_line_once(tmp_path):
    transcript = read(tmp_path, ROLLING)
    assert spans(transcript) == [
        (0.16, 2.48, "hello and welcome"),
        (2.48, 10.0, "to the show"),
        (10.0, 14.0, "[Applause]"),
    ]
    assert transcript.problems == ()


def test_words_end_where_they_were_spoken(tmp_path):
    expected = [
        (0.16, 1.64, "hello and welcome"),
        (2.48, 3.72, "to the"),
        (5.5, 6.5, "show"),
        (10.0, 14.0, "[Applause]"),
    ]
    assert spans(read(tmp_path, ROLLING, words=True)) == expected
    assert spans(read(tmp_path, ROLLING, words=True, longest_word=3.0)) == [
        (0.16, 2.48, "hello and welcome"),
        (2.48, 8.5, "to the show"),
        (10.0, 14.0, "[Applause]"),
    ]


def test_rolling_lines_that_lost_their_blanks_and_words(tmp_path):
    bare = "\n".join(line.strip() for line in ROLLING.splitlines())
    assert spans(read(tmp_path, bare)) == spans(read(tmp_path, ROLLING))
    srt = """1
00:00:00,160 --> 00:00:02,470

hello and welcome

2
00:00:02,470 --> 00:00:02,480
hello and welcome


3
00:00:02,480 --> 00:00:05,000
hello and welcome
to the show

4
00:00:05,000 --> 00:00:05,010
to the show

"""
    transcript = read(tmp_path, srt, words=True)
    assert spans(transcript) == [(0.16, 2.48, "hello and welcome"), (2.48, 5.01, "to the show")]
    assert transcript.problems == ()


def test_lines_that_are_held_elsewhere_stay(tmp_path):
    moved = "00:00:30.000 --> 00:00:31.000\nto the show\n\n"
    content = ROLLING.replace("00:00:10.000 -->", moved + "00:00:10.000 -->")
    assert (30.0, 31.0, "to the show") in spans(read(tmp_path, content))
    early = moved.replace("00:00:3", "00:00:0")
    content = ROLLING.replace("00:00:00.160", "00:00:03.000").replace(
        "00:00:02.470", "00:00:04.000"
    )
    content = content.replace("00:00:10.000 -->", early + "00:00:10.000 -->")
    assert (0.0, 1.0, "to the show") in spans(read(tmp_path, content))


def test_a_line_said_twice_is_no_rolling_caption(tmp_path):
    lines = ["No.", "Yes.", "No.", "Who?", "No.", "No.", "Why?", "Me."]
    cues = [f"00:{n:02}.000 --> 00:{n:02}.900\n{line}\n" for n, line in enumerate(lines)]
    transcript = read(tmp_path, "WEBVTT\n\n" + "\n".join(cues))
    assert [cue.text for cue in transcript.cues] == lines


def test_json3(tmp_path):
    transcript = read(tmp_path, json.dumps(JSON3))
    assert transcript.form == "json3"
    assert spans(transcript) == [(0.16, 5.16, "hello and welcome"), (2.48, 8.48, "to the show")]
    assert transcript.problems == ()
    assert spans(read(tmp_path, json.dumps(JSON3), words=True)) == [
        (0.16, 1.64, "hello and welcome"),
        (2.48, 3.72, "to the"),
        (6.48, 7.48, "show"),
    ]


def test_a_sound_among_words_is_no_word(tmp_path):
    words = [{"utf8": "bye"}, {"utf8": " [Music]", "tOffsetMs": 500}]
    event = {"tStartMs": 1000, "dDurationMs": 9000, "segs": words}
    transcript = read(tmp_path, json.dumps({"events": [event]}), words=True)
    assert spans(transcript) == [(1.0, 1.5, "bye"), (1.5, 10.0, "[Music]")]


def test_words_outside_of_their_cue_leave_it_whole(tmp_path):
    words = [{"utf8": "late", "tOffsetMs": 5000}, {"utf8": " early", "tOffsetMs": 100}]
    event = {"tStartMs": 1000, "dDurationMs": 2000, "segs": words}
    transcript = read(tmp_path, json.dumps({"events": [event]}), words=True)
    assert spans(transcript) == [(1.0, 7.0, "late early")]
    assert reasons(transcript) == [("word-times", 1)]


def test_faults_of_json3_are_named(tmp_path):
    events = [
        "what?",
        {"tStartMs": 1000, "segs": [{"utf8": "no length"}]},
        {"tStartMs": 3000, "dDurationMs": -500, "segs": [{"utf8": "backward"}, None, {}]},
        {"dDurationMs": 100, "segs": [{"utf8": "no start"}]},
        {"tStartMs": 9000, "dDurationMs": 100, "segs": [{"utf8": "good"}]},
    ]
    transcript = read(tmp_path, json.dumps({"events": events}))
    assert spans(transcript) == [
        (1.0, 3.0, "no length"),
        (2.5, 3.0, "backward"),
        (3.0, 9.0, "no start"),
        (9.0, 9.1, "good"),
    ]
    assert reasons(transcript) == [
        ("stray-text", 1),
        ("unparsable-time", 2),
        ("backward", 3),
        ("unparsable-time", 4),
        ("overlapping", 3),
    ]


def test_backward_cues_cover_the_span_between_their_times(tmp_path):
    transcript = read(tmp_path, "1\n00:00:05,000 --> 00:00:03,000\nhello\n")
    assert spans(transcript) == [(3.0, 5.0, "hello")]
    assert reasons(transcript) == [("backward", 2)]
    assert transcript.problems[0].detail == "00:00:05,000 --> 00:00:03,000"


@pytest.mark.parametrize(
    ("times", "span"),
    [
        ("00:0x:04,000 --> 00:00:05,000", (2.0, 5.0)),
        ("00:00:04,000 --> 00:00:95,000", (4.0, 8.0)),
        ("-->", (2.0, 8.0)),
        ("00:00:04,000 -->", (4.0, 8.0)),
    ],
)
def test_cues_with_unparsable_times_reach_to_their_neighbours(tmp_path, times, span):
    before = "00:00:01,000 --> 00:00:02,000\nbefore\n\n"
    after = "00:00:08,000 --> 00:00:09,000\nafter\n"
    transcript = read(tmp_path, f"{before}{times}\nhidden\n\n{after}")
    assert spans(transcript) == [
        (1.0, 2.0, "before"), (*span, "hidden"), (8.0, 9.0, "after")
    ]  # fmt: skip
    assert reasons(transcript) == [("unparsable-time", 4)]


@pytest.mark.parametrize(
    ("times", "span", "more"),
    [
        ("00:00:04,000 -> 00:00:05,000", (4.0, 5.0), []),
        ("00:00:04,000 - 00:00:05,000", (4.0, 5.0), []),
        ("00:04.000 \u2192 00:05.000 align:start", (4.0, 5.0), []),
        ("00:00:04,000 \u2014> 00:00:05,000", (4.0, 5.0), []),
        ("00:00:04,000 --&gt; 00:00:05,000", (4.0, 5.0), []),
        ("00:00:04,000 00:00:05,000", (4.0, 5.0), []),
        ("00:00:04,000 -> 00:00:O5,000", (4.0, 8.0), [("unparsable-time", 5)]),
        ("00:00:O4,000 -> 00:00:05,000", (2.0, 5.0), [("unparsable-time", 5)]),
    ],
)
def test_a_line_of_times_with_another_arrow_begins_a_cue(tmp_path, times, span, more):
    before = "1\n00:00:01,000 --> 00:00:02,000\nbefore\n"
    after = "00:00:08,000 --> 00:00:09,000\nafter\n"
    transcript = read(tmp_path, f"{before}2\n{times}\nhidden\n\n{after}")
    assert spans(transcript) == [
        (1.0, 2.0, "before"), (*span, "hidden"), (8.0, 9.0, "after")
    ]  # fmt: skip
    assert reasons(transcript) == [("bad-arrow", 5), *more]
    assert times.split()[0] in transcript.problems[0].detail


@pytest.mark.parametrize("text", ["open 10:30 - 11:30", "10:30 - 11:30", "a -> b", "at 1:02:03 -"])
def test_times_that_people_speak_of_begin_no_cue(tmp_path, text):
    transcript = read(tmp_path, f"00:00:01,000 --> 00:00:02,000\n{text}\n")
    assert spans(transcript) == [(1.0, 2.0, text)]
    assert reasons(transcript) == []


def test_cues_that_neighbours_tell_nothing_of_last_ten_seconds(tmp_path):
    before = "00:00:20,000 --> 00:00:30,000\nbefore\n\n"
    text = "00:00:40,000 --> ?\nno end\n\n? --> 00:00:15,000\nno start\n\n"
    transcript = read(tmp_path, f"{before}{text}00:00:01,000 --> 00:00:02,000\nafter")
    assert spans(transcript) == [
        (1.0, 2.0, "after"),
        (5.0, 15.0, "no start"),
        (20.0, 30.0, "before"),
        (40.0, 50.0, "no end"),
    ]


def test_a_last_cue_without_an_end_lasts_ten_seconds(tmp_path):
    transcript = read(tmp_path, "00:00:01,000 --> 00:\nhello")
    assert spans(transcript) == [(1.0, 11.0, "hello")]


def test_disorder_overlaps_and_duplicates_are_named(tmp_path):
    text = (
        "stray\n\n00:00:05,000 --> 00:00:07,000\nb\n\n00:00:01,000 --> 00:00:02,000\na\n\n"
        "00:00:05,000 --> 00:00:07,000\nb\n\n00:00:06,000 --> 00:00:08,000\nc\n\n"
        "00:00:09,000 --> 00:00:09,000\nd\n\n00:00:10,000 --> 00:00:11,000\n\n"
    )
    transcript = read(tmp_path, text)
    assert [cue.text for cue in transcript.cues] == ["a", "b", "c", "d", ""]
    assert reasons(transcript) == [
        ("stray-text", 1),
        ("unordered", 6),
        ("duplicate", 9),
        ("overlapping", 12),
        ("no-duration", 15),
        ("no-text", 18),
    ]
    assert transcript.problems[2].detail == "the same as in line 3"
    assert transcript.problems[3].detail == "starts 1.000 s before an earlier one ends"


@pytest.mark.parametrize(
    ("encoding", "detail"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "read as utf-16-le"),
        ("utf-16-be", "read as utf-16-be, without a mark"),
        ("utf-16-le", "read as utf-16-le, without a mark"),
        ("cp1252", "not utf-8: read as cp1252"),
    ],
)
def test_encodings(tmp_path, encoding, detail):
    content = "1\n00:00:01,000 --> 00:00:02,000\ncafé – “naïve”\n"
    transcript = read(tmp_path, content.encode(encoding))
    assert spans(transcript) == [(1.0, 2.0, "café – “naïve”")]
    assert [problem.detail for problem in transcript.problems] == ([detail] if detail else [])


def test_bytes_that_no_encoding_has(tmp_path):
    head = b"1\n00:00:01,000 --> 00:00:02,000\n"
    transcript = read(tmp_path, head + b"caf\xe9 \x81\n")
    assert spans(transcript) == [(1.0, 2.0, "café \x81")]
    assert transcript.problems[0].detail == "neither utf-8 nor cp1252: read as latin-1"
    transcript = read(tmp_path, head + "déjà vu, café".encode() + b" \xc3")
    assert spans(transcript) == [(1.0, 2.0, "déjà vu, café �")]
    assert transcript.problems[0].detail == "read as utf-8; 1 broken characters were replaced"


@pytest.mark.parametrize(
    "content", ["WEBVTT\n\nNOTE nothing\n", '{"events": []}', '{"wireMagic": 1}']
)
def test_a_transcript_may_have_no_cues(tmp_path, content):
    transcript = read(tmp_path, content)
    assert transcript.cues == ()
    assert reasons(transcript) == [("no-cues", None)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("<html><!-- 404 --><p>Not Found</p></html>", "not-a-transcript"),
        (bytes(range(256)) * 8, "not-a-transcript"),
        ('{"error": "no captions"}', "not-a-transcript"),
        ('{"events": {}}', "not-a-transcript"),
        ('{"events": [{"tStartMs": 1, "segs"', "broken"),
        ("WEBVTT\n\nxx --> yy\nhello\n", "broken"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path, content, reason):
    with pytest.raises(TranscriptError) as error:
        read(tmp_path, content)
    assert error.value.reason == reason
    assert "transcript" in str(error.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(TranscriptError, match="does not exist") as error:
        read_transcript(tmp_path / "none.vtt")
    assert error.value.reason == "missing"
    with pytest.raises(TranscriptError) as error:
        read_transcript(tmp_path)
    assert error.value.reason == "unreadable"


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)), st.booleans())
def test_whatever_a_cue_says_its_span_stands(tmp_path_factory, payload, header):
    path = tmp_path_factory.getbasetemp() / "payload"
    if b"-->" in payload:
        payload = b""
    head = b"WEBVTT\n\n" if header else b""
    path.write_bytes(head + b"00:01.500 --> 00:02.500\n" + payload)
    cues = read_transcript(path).cues
    assert [(cue.start, cue.end) for cue in cues] == [(1.5, 2.5)]


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), max_size=20))
def test_every_time_that_is_written_is_covered(tmp_path_factory, times):
    def stamp(value: int) -> str:
        return f"{value // 3_600_000:02}:{value // 60_000 % 60:02}:{value / 1000 % 60:06.3f}"

    path = tmp_path_factory.getbasetemp() / "times"
    blocks = [f"{stamp(a)} --> {stamp(b)}\ntext {n}\n" for n, (a, b) in enumerate(times)]
    path.write_text("WEBVTT\n\n" + "\n".join(blocks))
    cues = read_transcript(path).cues
    assert {(cue.start, cue.end) for cue in cues} == {
        (min(pair) / 1000, max(pair) / 1000) for pair in times
    }
    assert list(cues) == sorted(cues, key=lambda cue: cue.start)
    assert all(isinstance(cue, Cue) for cue in cues)


@pytest.mark.parametrize(
    ("text", "sound", "music"),
    [
        ("[Music]", True, True),
        ("[Applause]", True, False),
        ("(dog barks)", True, False),
        ("[Music] [Applause]", True, True),
        (">> [LAUGHTER]", True, False),
        ("- (door slams) - (thunder)", True, False),
        ("*sighs*", True, False),
        ("♪", True, True),
        ("♪ la la la ♪", True, True),
        ("♪ and it goes on", True, True),
        ("# Happy birthday #", True, True),
        ("[Música]", True, True),
        ("[音楽]", True, True),
        ("[Aplausos]", True, False),
        ("(soft piano playing)", True, True),
        ("[birds singing]", True, False),
        ("", False, False),
        ("hello", False, False),
        ("hello [Music]", False, False),
        ("♪ la la ♪ Stop it!", False, False),
        ("[ __ ]", False, False),
        ("[man speaking indistinctly]", False, False),
        ("[inaudible]", False, False),
        ("(I don't know)", False, False),
        ("[John] Hello", False, False),
        ("item # 3 and # 4", False, False),
        ("[unclosed", False, False),
    ],
)
def test_cues_of_sounds(text, sound, music):
    assert is_sound_cue(text) is sound
    assert is_music_cue(text) is music
