"""Expressions of `select`: what they mean, what they refuse, why a clip fails."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwright.core.errors import UserError
from soundwright.core.records import Caption, Clip, Drop, Licence, Location, Source
from soundwright.corpus.clip_values import CLIP_NAMES, clip_values
from soundwright.corpus.expressions import Breach, parse_expression

VALUES = {
    "clap": 0.45,
    "speech": 0.1,
    "nothing": None,
    "odd": math.nan,
    "duration": 6.0,
    "channels": 2,
    "licence": "CC-BY",
    "caption": "A dog barks, then hotdogs sizzle",
    "tags": ("Dog", "Bark"),
    "dropped": (),
    "reasons": ("silence", "clipping"),
    "licence.name": "CC-BY",
    "metadata.title": "Day 1",
    "metadata.recording date": "2020",
    "empty": "",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clap >= 0.4 and duration > 5 and licence in ('CC0', 'CC-BY')", True),
        ("clap >= 0.5", False),
        ("0.4 <= clap < 0.5", True),
        ("0.4 <= clap < 0.45", False),
        ("-1 < clap", True),
        ("clap == 0.45 and licence != 'CC0'", True),
        ("clap * 2 - 1 < 0 and 7 % 4 == 3 and duration / 2 + 1 == 4", True),
        ("clap > speech", True),
        ("clap < 0.4 or licence == 'CC-BY'", True),
        ("not (clap < 0.4 or licence == 'CC0')", True),
        ("licence not in ('CC0',)", True),
        ("licence in ('CC')", False),
        ("licence in ['CC-BY']", True),
        ("'dog' in caption", True),
        ("'Dog' in tags and 'dog' not in tags", True),
        ("tags in ('Cat', 'Bark')", True),
        ("reasons in ('noise', 'silence')", True),
        ("reasons not in ('noise', 'silence')", False),
        ("dropped not in ('probe',)", True),
        ("not dropped and reasons", True),
        ("empty", False),
        ("True", True),
        ("lower(licence) == 'cc-by' and 'dog' in lower(tags)", True),
        ("contains(caption, 'DOG')", True),
        ("contains(caption, 'hotdog')", False),
        ("contains(caption, 'dog  barks')", True),
        ("contains(tags, 'dog')", True),
        (r"matches(caption, r'\bdogs?\b')", True),
        (r"matches(caption, '^dog')", False),
        ("has(clap) and not has(aesthetics) and not has(nothing) and not has(odd)", True),
        ("licence.name == 'CC-BY' and metadata.title == 'Day 1'", True),
        ("value('metadata.recording date') == '2020'", True),
        ("clap >= 0.4  # similar\n and duration > 5  # and long\n", True),
    ],
)
def test_what_expressions_mean(text, expected):
    assert parse_expression(text).evaluate(VALUES) is expected
    assert (parse_expression(text).breaches(VALUES) == ()) is expected


@pytest.mark.parametrize("name", ["absent", "nothing", "odd", "scores.absent"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NAME > 0.5", False),
        ("not NAME > 0.5", False),
        ("NAME == NAME", False),
        ("NAME + 1 > 0 and True", False),
        ("NAME in (1, 2)", False),
        ("NAME not in (1, 2)", False),
        ("'a' not in NAME", False),
        ("NAME", False),
        ("contains(NAME, 'a')", False),
        ("not matches(lower(NAME), 'a')", False),
        ("NAME > 0.5 or clap > 0.4", True),
        ("not (NAME > 0.5 and clap > 0.5)", True),
        ("has(NAME) and NAME > 0.5 or clap > 0.4", True),
        ("not has(NAME)", True),
    ],
)
def test_what_has_no_value_is_unknown(name, text, expected):
    expression = parse_expression(text.replace("NAME", name))
    assert expression.evaluate(VALUES) is expected
    reasons = [failure.reason for failure in expression.breaches(VALUES)]
    assert reasons == ([] if expected else ["missing"])


@pytest.mark.parametrize(
    "text",
    [
        "caption > 5",
        "clap in caption",
        "caption * 1000000 != 'a'",
        "clap / 0 > 1",
        "lower(clap) == 'a'",
        "contains(clap, 'a')",
        "'a' in clap",
        f"clap + 1{'0' * 400} > 0",
    ],
)
def test_values_of_another_kind_fail_and_do_not_raise(text):
    expression = parse_expression(text)
    assert not expression.evaluate(VALUES)
    assert [failure.reason for failure in expression.breaches(VALUES)] == ["type"]


def test_failures_name_clause_value_and_threshold():
    expression = parse_expression(
        "(clap >= 0.5 and 1 < duration <= 5) and licence in ('CC0', 'CC-BY-SA') "
        "and (speech > 0.5 or aesthetics > 3) and 0.3 > aesthetics and clap < speech "
        "and 'Cat' in tags and not channels == 2 and clap > 0"
    )
    assert expression.breaches(VALUES) == (
        Breach("clap >= 0.5", "false", 0.45, 0.5),
        Breach("1 < duration <= 5", "false", 6.0, 5),
        Breach("licence in ('CC0', 'CC-BY-SA')", "false", "CC-BY", "CC0, CC-BY-SA"),
        Breach("speech > 0.5 or aesthetics > 3", "missing"),
        Breach("0.3 > aesthetics", "missing", None, 0.3),
        Breach("clap < speech", "false"),
        Breach("'Cat' in tags", "false", "Dog, Bark", "Cat"),
        Breach("not channels == 2", "false"),
    )
    for failure in expression.breaches(VALUES):
        Drop(
            stage="select",
            reason=failure.clause,
            value=failure.value,
            threshold=failure.threshold,
        )


def test_clauses_and_names():
    expression = parse_expression("b.c > 1 and (\n  a == 'x  y'\n  or has(d)\n)")
    assert [clause.text for clause in expression.clauses] == ["b.c > 1", "a == 'x  y' or has(d)"]
    assert [clause.names for clause in expression.clauses] == [("b.c",), ("a", "d")]
    assert expression.names == ("a", "b.c", "d")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("a = 1", '    a = 1\n      ^\n  to mend:  Write "==" to compare.'),
        ("a > 1 and and b", "    a > 1 and and b\n              ^"),
        ("(a > 1", "cannot be read"),
        ("a > 1) or (b > 1", "brackets"),
        ("a > 'x", "    a > 'x\n        ^"),
        ("a > 1\x00", "cannot be read"),
        ("a ** 9 > 1", "    a ** 9 > 1\n    ^^^^^^\n  to mend:  There are + - * / and %."),
        ("a // 2 > 1", "no such arithmetic"),
        ("a < 2 and é.b(1)", "    a < 2 and é.b(1)\n              ^^^"),
        ("licence == 'CC0' or 'CC-BY'", "                        ^^^^^^^\n  to mend:  Such as"),
        ("1", "no condition"),
        ("a + 1", "no condition"),
        ("(a, b)", "no condition"),
        ("a == (1, 2)", "does not know"),
        ("caption is None", 'no "is"'),
        ("caption == None", "has(name) tells"),
        ("a == b'x'", "neither a number nor a text"),
        ("a == 2j", "neither a number nor a text"),
        ("a in (1, b)", "neither a number nor a text"),
        ("a == f'{b}'", "does not know"),
        ("a[0] > 1", "does not know"),
        ("(lambda: 1)()", "no such function"),
        ("[x for x in a]", "no condition"),
        ("(a := 1)", "no condition"),
        ("a if b else c", "no condition"),
        ("open('x')", "no such function"),
        ("lowr(a) == 'x'", "did you mean 'lower'"),
        ("a.upper() == 'X'", "no such function"),
        ("'x'.y == 1", "no name"),
        ("lower(a, b) == 'x'", "other arguments"),
        ("contains(a)", "other arguments"),
        ("lower(text=a) == 'x'", "other arguments"),
        ("contains(a, b)", "needs a text"),
        ("contains(a, ' ')", "needs a word"),
        ("has('a')", "no name"),
        ("matches(a, '(')", "pattern that cannot be read"),
        ("matches(a, '\\bdog')", "control characters"),
        ("a > 1\nand b >> 2", "    and b >> 2"),
        ("-" * 3000 + "a > 1", "nested"),
        ("not " * 45 + "a", "nested more than 40 levels"),
        ("(" * 500 + "a" + ")" * 500, "cannot be read"),
        ("a > 1 or " * 500 + "a", "at most 4000"),
    ],
)
def test_what_the_language_does_not_have(text, message):
    with pytest.raises(UserError) as error:
        parse_expression(text)
    assert message in str(error.value)


def test_unknown_names_are_pointed_at_when_the_known_ones_are_given():
    known = ("clap", "duration", "metadata.*")
    assert parse_expression("clap > 0 and metadata.any > 1", known)
    with pytest.raises(UserError) as error:
        parse_expression("duration > 5 and clpa >= 0.4", known)
    assert str(error.value) == (
        "The expression names 'clpa', which clips do not have:\n"
        "    duration > 5 and clpa >= 0.4\n"
        "                     ^^^^\n"
        "  to mend:  did you mean 'clap'?"
    )
    with pytest.raises(UserError, match=r"'metadat\.any'"):
        parse_expression("metadat.any > 1", known)


@given(st.text(alphabet="ab.()[]{}'\"<>=!+-*/%, \n#\\0 1andorti", max_size=40))
def test_any_text_is_an_expression_or_a_users_mistake(text):
    try:
        expression = parse_expression(text)
    except UserError:
        return
    assert expression.evaluate({"a": 1, "b": "x"}) in (True, False)
    assert expression.evaluate({}) is (expression.breaches({}) == ())


numbers = st.integers(-3, 3) | st.sampled_from([0.5, -1.5])


@given(
    st.recursive(
        st.builds("{} {} {}".format, numbers, st.sampled_from(["<", ">=", "==", "!="]), numbers),
        lambda inner: (
            st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner)
            | st.builds("(not {})".format, inner)
        ),
        max_leaves=8,
    )
)
def test_conditions_hold_as_in_python(text):
    assert parse_expression(text).evaluate({}) is eval(text)


def make_clip(**fields) -> Clip:
    source = Source(dataset="fsd", item="7", url="u", start=1.0, end=3.0)
    given = {
        "id": source.clip_id,
        "source": source,
        "location": Location(path="a.wav"),
        "pcm_hash": "",
        "duration": 2.0,
        "sample_rate": 16000,
    }
    return Clip(**(given | fields))


def test_values_of_a_clip():
    clip = make_clip(
        captions=(
            Caption(text="by a person"),
            Caption(text="old", kind="model", model="m"),
            Caption(text="new", kind="model", model="m"),
            Caption(text="tag", kind="tags"),
        ),
        tags=("dog",),
        licence=Licence(name="CC0", author="Ann"),
        split="train",
        scores={"clap": 0.4, "duration": 99.0, "a/b": 1.0},
        drops=(Drop(stage="probe", reason="silence"), Drop(stage="tag", reason="speech")),
        metadata={"title": "T", "year": 2020},
    )
    values = clip_values(clip)
    assert dict(values) == {
        "id": clip.id,
        "duration": 2.0,
        "dur": 2.0,
        "sample_rate": 16000,
        "channels": 1,
        "caption": "new",
        "captions": 4,
        "tags": ("dog",),
        "split": "train",
        "dataset": "fsd",
        "source.dataset": "fsd",
        "source.item": "7",
        "source.url": "u",
        "source.start": 1.0,
        "source.end": 3.0,
        "licence": "CC0",
        "licence.name": "CC0",
        "licence.url": "",
        "licence.author": "Ann",
        "licence.title": "",
        "licence.evidence": "",
        "dropped": ("probe", "tag"),
        "reasons": ("silence", "speech"),
        "clap": 0.4,
        "a/b": 1.0,
        "scores.clap": 0.4,
        "scores.duration": 99.0,
        "scores.a/b": 1.0,
        "metadata.title": "T",
        "metadata.year": 2020,
    }
    assert len(values) == len(dict(values))
    expression = parse_expression(
        "clap >= 0.4 and scores.clap == clap and dur > 1 and metadata.year >= 2000 "
        "and value('scores.a/b') == 1 and dropped not in ('gaps',)",
        known=(*CLIP_NAMES, *clip.scores),
    )
    assert expression.evaluate(values)
    for name in ("absent", "scores.absent", "metadata.absent", "licence.absent"):
        assert name not in values


def test_the_caption_of_a_clip_without_models_is_its_first():
    captions = (Caption(text="first"), Caption(text="second"))
    assert clip_values(make_clip(captions=captions))["caption"] == "first"
    bare = clip_values(make_clip())
    assert bare["caption"] is None
    failures = parse_expression("contains(caption, 'dog') and not dropped").breaches(bare)
    assert [failure.reason for failure in failures] == ["missing"]
