import re
from html.parser import HTMLParser
from types import MappingProxyType

import pytest
from evaluated_sounds import BandEncoder, write_sounds

from soundwright.evaluation import encoders, evaluating, metrics, set_scores
from soundwright.evaluation.collection import read_collection
from soundwright.evaluation.encoders import CLASSES, SETS, EncoderChoice
from soundwright.evaluation.evaluating import evaluate
from soundwright.evaluation.gate import Verdict
from soundwright.evaluation.metrics import Metric
from soundwright.evaluation.report import players
from soundwright.evaluation.report.building import write_report
from soundwright.evaluation.report.charts import draw_difference, draw_histogram, draw_rows
from soundwright.evaluation.report.ranking import rank_clips
from soundwright.evaluation.results import Span

EVIL = '</td><script>alert("{}")</script> & "quoted" $body'


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.said, self.addresses, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img", "path", "rect", "circle", "link", "br"):
            self.open.append(tag)
        self.addresses += [
            value for name, value in attrs if name in ("src", "href", "action", "poster", "data")
        ]

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} closes what is not open"

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    more = {"bands": EncoderChoice(lambda device: BandEncoder(), "bands", (*SETS, *CLASSES))}
    table = MappingProxyType({**encoders.ENCODERS, **more})
    for module in (encoders, metrics, evaluating):
        monkeypatch.setattr(module, "ENCODERS", table)
    monkeypatch.setattr(set_scores, "FRECHET_DRAWS", 50)
    real = read_collection(write_sounds(tmp_path / "real", range(4), prompt=EVIL))

    def run(name, kinds=("kl", "fd"), **settings):
        folder = tmp_path / name
        write_sounds(folder, range(4), prompt=EVIL, **settings)
        (folder / "<b>broken.wav").write_text("no sound")
        made = read_collection(folder)
        wanted = [Metric(f"{kind}:bands", kind, "bands") for kind in kinds]
        return made, real, evaluate(made, real, wanted, cache=tmp_path / "c", workers=0).results

    return run


def test_the_page_holds_all_and_asks_for_nothing(evaluated, tmp_path):
    made, real, results = evaluated("made", noise=0.1)
    path = write_report(tmp_path / "out", results, made, real)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text
    assert page.tags.count("script") == 1
    assert page.tags.count("audio") == 8
    said = " ".join("".join(page.said).split())
    for words in (EVIL.format(2), "kl:bands", "<b>broken.wav", "undecodable", "left out"):
        assert words in said
    assert path.stat().st_size < 2_000_000
    assert list((tmp_path / "out").iterdir()) == [path]


def test_the_same_results_give_the_same_page(evaluated, tmp_path):
    pages = [write_report(tmp_path / name, *reorder(evaluated("made"))) for name in "ab"]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def reorder(found):
    made, real, results = found
    return results, made, real


def test_sounds_are_ranked_worst_first_alone_and_against_a_baseline(evaluated):
    *_, old = evaluated("old", noise=0.05)
    *_, new = evaluated("new", noise=0.3)
    alone = [clip.values["kl:bands"] for clip in rank_clips(new, None)]
    assert alone == sorted(alone, reverse=True)
    ranked = rank_clips(new, old)
    deltas = [clip.deltas["kl:bands"] for clip in ranked]
    assert deltas == sorted(deltas, reverse=True)
    values = {row.group: row.values["kl:bands"] for row in old.clips}
    first = ranked[0]
    assert first.deltas["kl:bands"] == first.values["kl:bands"] - values[first.group]


def test_a_comparison_is_shown_with_its_verdict(evaluated, tmp_path):
    made, real, old = evaluated("made", noise=0.05)
    interval = Span(low=0.1, high=0.4, level=0.95, method="percentile", units=4)
    verdicts = [
        Verdict(
            metric="kl:bands",
            better="lower",
            verdict="worse",
            difference=0.2,
            interval=interval,
            decided_at=interval,
            p=0.01,
            p_holm=0.02,
            prompts=4,
        ),
        Verdict(metric="fd:bands", better="lower", verdict="not compared", reason="a < b"),
    ]
    path = write_report(tmp_path, old, made, real, baseline=old, verdicts=verdicts)
    said = "".join(Page(path.read_text(encoding="utf-8")).said)
    assert "Worse than the baseline by kl:bands." in said
    assert "a < b" in said
    assert "Δ kl:bands" in said


def test_a_page_without_numbers_of_single_sounds_or_with_lost_files_is_whole(evaluated, tmp_path):
    made, real, results = evaluated("made", kinds=("fd",))
    (tmp_path / "made" / "1.wav").unlink()
    page = Page(write_report(tmp_path, results, made, real).read_text(encoding="utf-8"))
    assert page.open == []
    assert page.tags.count("audio") == 7
    assert "cannot be read" in "".join(page.said)


def test_only_so_many_sounds_get_players(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(players, "SHOWN", 2)
    made, real, results = evaluated("made")
    page = Page(write_report(tmp_path, results, made, real).read_text(encoding="utf-8"))
    assert page.tags.count("audio") == 4


@pytest.mark.parametrize("values", [{"generated": 3.0}, {"generated": 0.0, "silence": 1e6}])
def test_plots_say_in_words_what_they_show(values):
    drawn = draw_rows(values, None)
    assert 'role="img"' in drawn
    assert "generated " in drawn
    assert "nan" not in drawn
    assert "nan" not in draw_histogram([1.0, 1.0])
    assert "nan" not in draw_histogram([-1.0, 2.0], zero=True)


@pytest.mark.parametrize(("better", "colour"), [("lower", "var(--bad)"), ("higher", "var(--good)")])
def test_the_colour_of_a_difference_knows_which_way_is_better(better, colour):
    interval = Span(low=0.1, high=0.4, level=0.95, method="percentile", units=4)
    assert colour in draw_difference(0.2, interval, better)
