import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from soundwright.audio.files import write
from soundwright.core.files import write_json

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))
from evaluated_sounds import tone, write_sounds

OFFLINE = ("kad:logmel-statistics", "fd:logmel-statistics", "accuracy:judge-1")


@pytest.fixture
def folders(tmp_path):
    write_sounds(tmp_path / "made", range(8), noise=0.05)
    write_sounds(tmp_path / "real", range(8), noise=0.02)
    return ("--generated", "made", "--reference", "real", "--metrics", ",".join(OFFLINE[:2]))


def test_a_folder_is_measured_against_another(command, folders, tmp_path):
    result = command("evaluate", *folders, "--out", "found")
    assert result.exit_code == 0, result.stderr or result.exception
    assert "8 of 8 generated sounds measured" in result.stdout
    assert result.stdout.rstrip().endswith("found/report.html")
    results = json.loads((tmp_path / "found" / "results.json").read_text())
    assert [score["metric"] for score in results["scores"]] == list(OFFLINE[:2])
    assert results["controls"].keys() >= {"silence", "noise"}
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(
        f"{number}.{suffix}" for number in range(8) for suffix in ("wav", "json")
    )


def test_json_is_the_only_thing_on_standard_output(command, folders):
    result = command("evaluate", *folders, "--json")
    values = json.loads(result.stdout)
    assert values["out"] == "evaluation"
    assert values["paired"] == 8
    assert values["generated"]["measured"] == 8


def test_the_gate_ends_with_status_1_and_differing_cards_with_2(command, folders, tmp_path):
    assert command("evaluate", *folders, "--out", "old").exit_code == 0
    same = command("evaluate", *folders, "--out", "again", "--baseline", "old/results.json")
    assert same.exit_code == 0, same.stderr
    assert "no difference seen" in same.stdout
    write_sounds(tmp_path / "made", range(8), noise=0.6)
    worse = command("evaluate", *folders, "--out", "new", "--baseline", "old/results.json")
    assert worse.exit_code == 1, worse.stdout
    assert "worse" in worse.stdout
    assert (tmp_path / "new" / "results.json").is_file()
    allowed = ("--tolerance", "1e9")
    assert command("evaluate", *folders, "--baseline", "old", *allowed).exit_code == 0
    write(tmp_path / "real" / "0.wav", tone(30))
    other = command("evaluate", *folders, "--out", "other", "--baseline", "old")
    assert other.exit_code == 2
    assert "reference_hash" in other.stderr


def test_the_judge_hears_labels_and_silence_has_none(command, tmp_path):
    from soundwright.data.importers.folder import FolderImportConfig, import_folder
    from soundwright.data.manifest import write_manifest

    write_sounds(tmp_path / "made", range(4), prompt="a dog barks")
    real = write_sounds(tmp_path / "real", range(10, 14))
    (real / "captions.csv").write_text(
        "file,caption\n" + "".join(f"{number}.wav,a dog barks\n" for number in range(10, 14))
    )
    manifest = import_folder(real, FolderImportConfig()).manifest
    tagged = [clip.model_copy(update={"tags": ("dog bark",)}) for clip in manifest.clips]
    write_manifest(real / "manifest.jsonl", manifest.with_clips(tagged))
    result = command(
        *("evaluate", "--generated", "made", "--reference", "real", "--metrics", OFFLINE[2]),
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    (score,) = values["scores"]
    assert 0 <= score["value"] <= 1
    assert values["controls"]["silence"][0]["value"] == 0
    assert "too few" in values["controls"]["shuffled prompts"][0]["unavailable"]["reason"]


AUDIOCAPS = {
    "a dog barks": range(3),
    "a dog barks and a cat meows": range(3, 6),
    "rain falls, then a dog barks": range(6, 8),
    "wind blows": [8],
}
MEASURES = ("kad:logmel-statistics", "fd:logmel-statistics", "kl:soundwright-tagger-2")


def write_audiocaps(root, captions):
    """Generated sounds, and a published table with its audio."""
    lines = ["audiocap_id,youtube_id,start_time,caption"]
    for caption, numbers in captions.items():
        write_sounds(root / "made", numbers, noise=0.05, prompt=caption)
        write_sounds(root / "audio", numbers, noise=0.02)
        lines += [f'{number},{number},30,"{caption}"' for number in numbers]
    (root / "test.csv").write_text("\n".join(lines))
    return str(root / "audio"), str(root / "made"), str(root / "test.csv"), str(root / "real")


def test_audiocaps_is_measured_by_concepts_and_by_words_of_time(command, tmp_path):
    def measure(name, captions, *more):
        audio, made, table, real = write_audiocaps(tmp_path / name, captions)
        given = ("--layout", "audiocaps", "--captions", table, "--out", real)
        assert command("data", "import", audio, *given).exit_code == 0
        sides = ("--generated", made, "--reference", real, "--pair-by", "stem")
        out = ("--metrics", ",".join(MEASURES), "--out", name, "--cache", "kept", *more)
        result = command("evaluate", *sides, *out)
        assert result.exit_code == 0, result.stderr or result.exception
        return json.loads((tmp_path / name / "results.json").read_text()), result

    split = ("--split-by", "concepts", "--split-by", "temporal")
    all_, result = measure("all", AUDIOCAPS, *split)
    parts = {part["name"]: part for part in all_["subsets"]}
    sizes = {name: (part["generated"], part["reference"]) for name, part in parts.items()}
    assert sizes == {
        "single concept": (4, 4),
        "multiple concepts": (5, 5),
        "temporal": (2, 2),
        "non-temporal": (7, 7),
    }
    assert "by number of concepts: 4 single concept, 5 multiple concepts" in result.stdout
    assert "by words of time: 2 temporal, 7 non-temporal" in result.stdout
    page = (tmp_path / "all" / "report.html").read_text()
    assert "<h2>By number of concepts</h2>" in page
    assert "multiple concepts (5)" in page
    for score in parts["single concept"]["scores"]:
        if "interval" in score:
            assert score["interval"]["low"] < score["interval"]["high"]
        else:
            assert "No interval" in score["remark"]

    # What is said of a subset is what would be said of it alone, intervals and cards included.
    several = {caption: AUDIOCAPS[caption] for caption in list(AUDIOCAPS)[1:3]}
    alone, _ = measure("several", several)
    assert parts["multiple concepts"]["scores"] == alone["scores"]

    # Without a split the rest is the same, and another split asks for no embeddings anew.
    whole, _ = measure("all", AUDIOCAPS)
    assert whole == {**all_, "subsets": []}
    kept = sorted((tmp_path / "kept").rglob("*"))
    measure("all", AUDIOCAPS, *split)
    assert kept
    assert sorted((tmp_path / "kept").rglob("*")) == kept


def test_a_subset_that_is_too_small_is_unavailable_and_says_why(command, tmp_path):
    audio, made, table, real = write_audiocaps(
        tmp_path, {"a dog barks and a cat meows": range(3), "wind blows": [3]}
    )
    command("data", "import", audio, "--layout", "audiocaps", "--captions", table, "--out", real)
    write(tmp_path / "made" / "4.wav", tone(4))
    result = command(
        *("evaluate", "--generated", made, "--reference", real, "--pair-by", "prompt"),
        *("--metrics", ",".join(MEASURES), "--split-by", "concepts", "--split-by", "temporal"),
    )
    assert result.exit_code == 0, result.stderr
    assert "single concept, kad:logmel-statistics is unavailable: " in result.stderr
    assert "1 generated sounds have no prompt, and are in no subset" in result.stderr
    subsets = json.loads((tmp_path / "evaluation" / "results.json").read_text())["subsets"]
    single, several, temporal, other = ([*part["scores"]] for part in subsets)
    assert "at least 2" in single[0]["unavailable"]["reason"]
    assert single[2]["value"] > 0
    assert all("value" in score for score in (*several, *other))
    assert {score["unavailable"]["reason"] for score in temporal} == {
        "No generated sound has such a prompt."
    }


def test_scorers_that_chose_the_sounds_are_warned_of(command, folders, tmp_path):
    described = json.loads((tmp_path / "made" / "3.json").read_text())
    ranking = {"scorer": "logmel-statistics", "by": "x", "kept": 3, "candidates": []}
    write_json(tmp_path / "made" / "3.json", {**described, "ranking": ranking})
    shutil.copy(tmp_path / "real" / "5.wav", tmp_path / "made" / "5.wav")
    result = command("evaluate", *folders, "--json")
    warnings = json.loads(result.stdout)["warnings"]
    assert "chose among candidates of these sounds" in warnings[0]
    assert any("both sets" in warning for warning in warnings)


def test_weights_that_are_not_here_say_where_to_fetch_them(command, folders):
    folders = (*folders[:4], "--metrics", "torchvggish-fad")
    result = command("evaluate", *folders)
    assert result.exit_code == 0, result.stderr
    assert "torchvggish-fad is unavailable: " in result.stderr
    assert "https://" in result.stderr
    assert "put it to" in " ".join(result.stderr.split())


def test_the_metrics_are_listed(command):
    result = command("evaluate", "--list")
    assert result.exit_code == 0
    assert "audiocraft-kl" in result.stdout
    listed = json.loads(command("evaluate", "--list", "--json").stdout)
    assert {"metric", "better", "about", "offline"} == listed["metrics"][0].keys()
    assert "offline" in listed["groups"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "expected: --generated and --reference"),
        (("--generated", "nowhere", "--reference", "real"), "nowhere does not exist"),
        (("--generated", "empty", "--reference", "real"), "empty holds no sound"),
        (("--generated", "made/1.wav", "--reference", "real"), "is one sound"),
        (("--generated", "bad", "--reference", "real"), "None of the 1 sounds in bad"),
        (
            ("--generated", "made", "--reference", "real", "--metrics", "accuracy:judge"),
            "did you mean 'accuracy:judge-1'",
        ),
        (
            ("--generated", "strange", "--reference", "real", "--metrics", OFFLINE[2]),
            "No generated sound shares id or stem or prompt with a reference",
        ),
        (
            (
                *("--generated", "strange", "--reference", "real", "--split-by", "temporal"),
                *("--metrics", OFFLINE[0]),
            ),
            "No generated sound shares id or stem or prompt with a reference",
        ),
        (
            ("--generated", "made", "--reference", "real", "--baseline", "gone.json"),
            "gone.json does not exist",
        ),
        (
            ("--generated", "made", "--reference", "real", "--tolerance", "x"),
            "The tolerance 'x' is not a number",
        ),
    ],
)
def test_mistakes_are_explained(refuses, folders, tmp_path, arguments, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.wav").write_text("no sound")
    write_sounds(tmp_path / "strange", [40], prompt="elsewhere {}")
    refuses("evaluate", *arguments, says=says)
    assert not (tmp_path / "evaluation").exists()


def test_nothing_global_is_seeded(command, folders):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    command("evaluate", *folders)
    assert torch.equal(torch.get_rng_state(), before)
