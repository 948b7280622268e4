"""Captioning metrics: the reference cases, the tokeniser, and what is said when tools lack."""

from __future__ import annotations

import sys

import pytest

from soundwright.core.errors import UserError
from soundwright.evaluation.captioning.combining import fense, spider
from soundwright.evaluation.captioning.external import measure, what_is_missing
from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.captioning.scoring import score_captions
from soundwright.evaluation.captioning.tokens import tokenize
from soundwright.evaluation.results import Unavailable
from soundwright.evaluation.statistics.paired import paired_difference

BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
OURS = (*BLEU, "rouge_l", "cider_d")

CASE_A = (
    ["a man is speaking", "rain falls"],
    [
        [
            "a man speaks.",
            "someone speaks.",
            "a man is speaking while a bird is chirping in the background",
        ],
        ["rain is falling hard on a surface"],
    ],
)
CASE_B = (
    ["a man is speaking", "birds chirping", "rain is falling in the background"],
    [
        ["man speaks", "man is speaking", "a man speaks", "man talks", "someone is talking"],
        ["a bird is chirping"] * 5,
        ["heavy rain noise"] * 5,
    ],
)


def corpus(found):
    return [found[name].corpus for name in found]


def test_case_a_of_the_reference():
    found = score_captions(*CASE_A, OURS)
    assert corpus(found) == pytest.approx(
        [0.4278475991, 0.4058918713, 0.4389654619, 0.4564995455, 0.4870693269, 0.9613547163],
        abs=1e-10,
    )
    assert found["rouge_l"].items == pytest.approx([0.7721518987, 0.2019867550], abs=1e-10)
    assert found["cider_d"].items == pytest.approx([1.3640549170, 0.5586545157], abs=1e-10)


def test_case_b_of_the_reference():
    found = score_captions(*CASE_B, OURS)
    assert corpus(found) == pytest.approx(
        [0.5, 0.4082482904, 0.3028534321, 5.13345e-05, 0.4768915968, 1.2768511973], abs=1e-9
    )


def test_small_cases_of_the_reference():
    rouge = score_captions(["a man is speaking"], [["a man speaks"]], ["rouge_l"])["rouge_l"]
    assert rouge.corpus == pytest.approx(0.5865384615)
    cats = ["the cat is on the mat", "there is a cat on the mat"]
    clipped = score_captions(["the the the the the the the"], [cats], ["bleu_1"])["bleu_1"]
    assert clipped.corpus == pytest.approx(2 / 7)
    same = ["a dog barks", "rain falls on a roof", "a car engine idles loudly"]
    cider = score_captions(same, [[caption] for caption in same], ["cider_d"])["cider_d"]
    assert cider.items == pytest.approx([7.5, 10, 10])
    assert cider.corpus == pytest.approx(9.1666667)
    empty = score_captions([""], [["a dog"]], ["rouge_l", "bleu_4"])
    assert empty["rouge_l"].corpus == 0
    assert empty["bleu_4"].corpus == pytest.approx(0)


def test_one_caption_has_no_cider_and_the_reason_is_said():
    found = score_captions(["a dog barks"], [["a dog barks"]], ["cider_d", "spider"])
    assert "of 1 caption is undefined" in found["cider_d"].reason
    assert found["spider"] == found["cider_d"]


def test_bleu_of_the_corpus_is_not_the_mean_but_other_metrics_are():
    found = score_captions(*CASE_B, OURS)
    for name in ("rouge_l", "cider_d"):
        assert found[name].corpus == pytest.approx(sum(found[name].items) / 3)
    assert found["bleu_1"].corpus != pytest.approx(sum(found["bleu_1"].items) / 3)


def test_rows_go_into_paired_statistics():
    better = score_captions(["rain falls hard", "a man is speaking"], CASE_A[1][::-1], OURS)
    worse = score_captions(["rain", "someone"], CASE_A[1][::-1], OURS)
    gap = paired_difference(better["rouge_l"].items, worse["rouge_l"].items)
    assert gap.estimate == pytest.approx(better["rouge_l"].corpus - worse["rouge_l"].corpus)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("I don't know.", "i do n't know"),
        ("The dog's bark, it’s LOUD!", "the dog 's bark it 's loud"),
        ("a high-pitched beep - then (silence)", "a high-pitched beep then silence"),
        ('he says: "hello; who\'s there?"...', "he says hello who 's there"),
        ("we can't, they cannot", "we ca n't they can not"),
        ("at 3.5 kHz & 1,000 times", "at 3.5 khz & 1,000 times"),
        ("the dogs' howls at 5 o'clock", "the dogs howls at 5 o'clock"),
        ("you're, we've, I'll, I'd, I'm", "you 're we 've i 'll i 'd i 'm"),
        ("café “music” — loud…", "café music loud"),
        ("   ", ""),
    ],
)
def test_words_are_split_as_the_penn_treebank_does(caption, words):
    assert tokenize(caption) == words.split()


def test_formulas_of_combined_metrics():
    assert spider([1.0, 0.2], [0.3, 0.1]) == pytest.approx([0.65, 0.15])
    assert fense([0.8, 0.8, 0.5], [0.89, 0.91, 0.9]) == pytest.approx([0.8, 0.08, 0.5])


@pytest.mark.parametrize(
    ("candidates", "references", "metrics", "message"),
    [
        (["a"], [["a"], ["b"]], OURS, "1 captions and references of 2"),
        ([], [], OURS, "at least one"),
        (["a", "b"], [["a"], []], OURS, "Clip 1"),
        (["a", "b"], [["a", "..."], ["b"]], OURS, "Clip 0"),
        (["a"], [["a"]], ["rougel"], "rouge_l"),
    ],
)
def test_captions_that_cannot_be_scored_are_refused(candidates, references, metrics, message):
    with pytest.raises(UserError, match=message):
        score_captions(candidates, references, metrics)


STUB = """
import torch
def meteor(candidates, references):
    assert candidates == ["a man is speaking", "rain falls"], candidates
    assert references[0][0] == "a man speaks", references
    return {"meteor": torch.tensor(0.3)}, {"meteor": torch.tensor([0.2, 0.4])}
def spice(candidates, references):
    return {"spice": torch.tensor(0.2)}, {"spice": torch.tensor([0.1, 0.3])}
def sbert_sim(candidates, references):
    raise RuntimeError("no sentences")
def fer(candidates, return_probs):
    key = "fluency_error.error_prob"
    return {key: torch.tensor(0.5)}, {key: torch.tensor([0.95, float("nan")])}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package aac-metrics that returns known numbers, with no Java and no files."""
    folder = tmp_path / "aac_metrics"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "functional.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("aac_metrics", "aac_metrics.functional"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", str(tmp_path / "java"))
    monkeypatch.setenv("AAC_METRICS_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("FENSE_DATA", str(tmp_path / "fense"))
    yield tmp_path
    for name in ("aac_metrics", "aac_metrics.functional"):
        sys.modules.pop(name, None)


def install_java(folder, version):
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)


def install_files(folder):
    for name in (
        "meteor/meteor-1.5.jar",
        "meteor/data/paraphrase-en.gz",
        "spice/spice-1.0.jar",
        "spice/cache/empty",
        "spice/lib/stanford-corenlp-3.6.0.jar",
        "spice/lib/stanford-corenlp-3.6.0-models.jar",
    ):
        path = folder / "cache" / "aac-metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_without_the_package_metrics_are_unavailable_and_never_zero(monkeypatch):
    monkeypatch.setitem(sys.modules, "aac_metrics", None)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "aac_metrics")
    found = score_captions(*CASE_A, ["meteor", "spice", "spider", "fense"])
    for result in found.values():
        assert isinstance(result, Unavailable)
        assert "soundwright[captioning]" in result.reason


@pytest.mark.skipif(sys.platform == "win32", reason="the stub of Java is a shell script")
def test_what_is_missing_is_named_one_after_the_other(package):
    assert "There is no" in what_is_missing("meteor")
    install_java(package, "17.0.15")
    assert "is Java 17" in what_is_missing("spice")
    assert "8 to 13" in what_is_missing("spice")
    install_java(package, "1.8.0_292")
    assert "meteor-1.5.jar is missing" in what_is_missing("meteor")
    assert "spice-1.0.jar is missing" in what_is_missing("spice")
    install_files(package)
    assert what_is_missing("meteor") == what_is_missing("spice") == ""
    assert "echecker_clotho_audiocaps_base.ckpt is missing" in what_is_missing("fer")


@pytest.mark.skipif(sys.platform == "win32", reason="the stub of Java is a shell script")
def test_with_all_there_numbers_come_through(package):
    install_java(package, "11.0.2")
    install_files(package)
    found = score_captions(*CASE_A, ["meteor", "spider"])
    assert found["meteor"] == MetricScores(pytest.approx(0.3), pytest.approx((0.2, 0.4)))
    expected = [(1.3640549170 + 0.1) / 2, (0.5586545157 + 0.3) / 2]
    assert found["spider"].items == pytest.approx(expected)
    assert found["spider"].corpus == pytest.approx(sum(expected) / 2)


def test_what_fails_inside_says_how(package, monkeypatch):
    external = "soundwright.evaluation.captioning.external"
    monkeypatch.setattr(f"{external}.try_to_load_from_cache", lambda *_: "config.json")
    (package / "fense").mkdir()
    (package / "fense" / "echecker_clotho_audiocaps_base.ckpt").touch()
    found = score_captions(*CASE_A, ["fense"])["fense"]
    assert found.reason == "sbert_sim of aac-metrics failed: RuntimeError: no sentences"
    without = measure("fer", *CASE_A)
    assert without.reason == "fer of aac-metrics gave no number for 1 captions."
