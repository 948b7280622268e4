"""The house: its import contracts, its command line as listed, its pages true to the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from soundwright.cli.main import app

ROOT = Path(__file__).parent.parent
SURFACE = {
    "generate": "PROMPT --prompts --model --adapter --duration --seed --num-samples --negative "
    "--best-of --stream --loop --continue-from --infill --span --candidates --cfg-scale "
    "--temperature --top-k --top-p --steps --sampler --cfg-rescale --out --device --dtype --json",
    "train": "RECIPE --set --resume --accept-changes --out --estimate --json",
    "demo": "--out --model --seed --json",
    "evaluate": "--generated --reference --reference-split --metrics --list --pair-by "
    "--split-by --baseline --tolerance --out --cache --device --workers --json",
    "caption": "AUDIO --manifest --model --title --tags --visual --metadata --names --method "
    "--beams --temperature --top-p --seed --batch --jsonl --out --device --json",
    "serve": "--model --host --port --device --dtype --token --allow-host --allow-origin --rate "
    "--queue --batch --longest --time-limit --state --keep-days --keep-gb --json",
    "bench": "MODEL --dtype --device --json",
    "corpus init": "CONFIG --media --manifest --preset --licence --json",
    "corpus plan": "CONFIG --until --limit --clips --workers --days --set --json",
    "corpus run": "CONFIG --until --limit --executor --address --workers --set --json",
    "corpus status": "CONFIG --limit --set --json",
    "corpus errors": "CONFIG --stage --limit --set --json",
    "corpus retry": "CONFIG --stage --all --limit --set --json",
    "corpus explain": "CONFIG NAME --limit --set --json",
    "corpus export": "CONFIG --out --where --format --limit --workers --set --json",
    "data synth": "--out --clips --seed --recordings --set --workers --json",
    "data import": "FOLDER --out --layout --captions --caption-column --file-column --column "
    "--dataset --split --licence --blacklist --strict --workers --json",
    "data stats": "MANIFEST --loudness --workers --json",
    "data verify": "MANIFEST --workers --json",
    "data tokenize": "MANIFEST --out --model --batch --device --workers --json",
    "data concepts": "MANIFEST --out --chat --chat-model --set --json",
    "data shard": "MANIFEST --out --max-mb --workers --json",
    "models list": "--json",
    "models show": "MODEL --json",
    "models verify": "MODEL --json",
    "models import": "SOURCE --out --name --storage --text-encoder --codec --codebooks --pad-mode "
    "--text-padding --licence --format --json",
    "models export": "MODEL --out --to --storage --json",
    "models merge": "MODEL --out --adapter --storage --json",
    "recipes list": "--json",
    "recipes show": "RECIPE --set --json",
    "recipes diff": "RECIPE RECIPE --json",
    "prefer captions": "FILE --out --clusters --each --encoder --split --seed --device --json",
    "prefer perturb": "CAPTIONS --out --chat --chat-model --on-failure --strategies "
    "--count --seed --set --json",
    "prefer rollout": "CAPTIONS --out --model --adapter --perturbed --strategies "
    "--duration --cfg-scale --seed --set --device --json",
    "prefer pair": "ROLLOUTS --out --thresholds --judge --set --device --json",
    "prefer stats": "PAIRS --json",
    "prefer train": "PAIRS --recipe --model --set --resume --accept-changes --out --json",
    "prefer loop": "RECIPE --set --out --json",
    "sweep list": "--json",
    "sweep plan": "TABLE --recipe --seeds --row --references --set --out --json",
    "sweep run": "TABLE --recipe --seeds --row --references --set --out --json",
    "sweep table": "DIR --json",
    "scenes prompts": "--out --labels --axes --number --pairs --duration --seed --recordings "
    "--split --json",
    "scenes render": "BENCHMARK --out --faults --recordings --split --json",
    "scenes score": "BENCHMARK FOLDER --out --against --judge --recordings --split --json",
    "scenes published": "PROMPTS SOUNDS --task --truth --json",
    "study plan": "FILE --out --a --b --preset --prompts --title --seed --set --json",
    "study serve": "STUDY --host --port --json",
    "study results": "STUDY --export --json",
}


def commands(group=None, path=()):
    group = group or get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_imports_go_downwards_and_rooms_on_one_floor_are_strangers():
    # In a process of its own: import-linter configures logging and silences everybody else's.
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout


def test_the_command_line_is_as_listed():
    found = {}
    for name, command in commands():
        words = [
            param.opts[0] if param.param_type_name == "option" else param.metavar.strip(".")
            for param in command.params
            if param.name != "help"
        ]
        found[name] = " ".join(words)
    expected = {name: sorted(words.split()) for name, words in SURFACE.items()}
    assert {name: sorted(words.split()) for name, words in found.items()} == expected


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=str)
def test_every_command_explains_itself_with_an_example(name, command):
    assert re.search(rf"Example: soundwright {name}\b", command.help)
    for param in command.params:
        assert getattr(param, "help", None), f"{name} {param.name} has no help"


def test_the_command_starts_without_torch():
    code = "import sys, soundwright.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pages_name_files_and_recipes_that_exist():
    from soundwright.pipelines.recipe import list_recipes

    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
        for path in re.findall(r"`(src/soundwright/[\w/.]+)`", text):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
        for recipe in re.findall(r"soundwright train ([a-z][\w-]*)(?![\w.-])", text):
            assert recipe in list_recipes(), f"{page.name} names the recipe {recipe}"


def test_rooms_say_what_they_hold():
    for init in (ROOT / "src" / "soundwright").glob("*/__init__.py"):
        assert re.fullmatch(r'""".+?"""\n', init.read_text(encoding="utf-8"), re.DOTALL), init
