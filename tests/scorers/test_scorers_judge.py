"""The judge that ships: whole, small enough, and good enough on recordings it never heard."""

import csv
import os
from pathlib import Path

import pytest

from soundwright.audio.files import read
from soundwright.scorers.tagger import Tagger, judge_folder

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "esc10"
ESC10 = Path(os.environ.get("SOUNDWRIGHT_ESC10", BESIDE))
RATE = 16_000


def test_the_judge_is_whole_and_small():
    judge = Tagger.load(judge_folder())
    assert len(judge.labels) == 10
    size = sum(file.stat().st_size for file in judge_folder().iterdir())
    assert size < 1_500_000
    assert "## Credits" in (judge_folder() / "card.md").read_text(encoding="utf-8")


@pytest.mark.skipif(
    not (ESC10 / "metadata.csv").is_file(), reason="ESC-10 is not here (SOUNDWRIGHT_ESC10)"
)
def test_the_judge_knows_at_least_85_percent_of_fold_4():
    judge = Tagger.load(judge_folder())
    with (ESC10 / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "4"]
    known = [
        judge.recognise([read(ESC10 / row["file"], sample_rate=RATE, channels=1).samples], RATE)
        == [row["label"]]
        for row in rows
    ]
    assert len(known) == 80
    assert sum(known) / len(known) >= 0.85
