import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch

from latent_models import write_latent_model
from soundwright.audio.files import read, read_metadata, write
from soundwright.audio.sound import Sound

SHORT = ("--duration", 0.4)


def test_the_same_command_writes_the_same_bytes(command, tiny_model, tmp_path):
    for name in ("one", "two"):
        result = command(
            "generate", "a dog barks", "--seed", 7, "--model", tiny_model, *SHORT, "--out", name
        )
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"{name}/a-dog-barks-7.wav\n"
    files = ("a-dog-barks-7.wav", "a-dog-barks-7.json")
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert read_metadata(tmp_path / "one" / files[0])["title"] == "a dog barks"


def test_json_is_the_only_thing_on_standard_output(command, tiny_model):
    result = command(
        "generate", "rain", "--num-samples", 2, "--model", tiny_model, *SHORT, "--json"
    )
    sounds = json.loads(result.stdout)["sounds"]
    assert [sound["seed"] for sound in sounds] == [0, 1]
    assert [sound["file"] for sound in sounds] == ["rain-0.wav", "rain-1.wav"]
    assert "generate" in result.stderr


def test_prompts_come_from_a_file_too(command, tiny_model, tmp_path):
    (tmp_path / "prompts.txt").write_text("rain\n\nwind in trees\n", encoding="utf-8-sig")
    result = command(
        *("generate", "a bell", "--prompts", "prompts.txt", "--model", tiny_model),
        *(*SHORT, "--out", "made"),
    )
    assert result.exit_code == 0, result.stderr
    names = ["a-bell-0.wav", "rain-1.wav", "wind-in-trees-2.wav"]
    assert result.stdout.split() == [f"made/{name}" for name in names]


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_the_suffix_chooses_the_format(command, tiny_model, tmp_path, suffix):
    out = f"bell.{suffix}"
    result = command("generate", "bell", "--model", tiny_model, *SHORT, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert read(tmp_path / out).sample_rate == 16_000
    assert json.loads((tmp_path / "bell.json").read_text())["file"] == out


def test_a_sound_is_continued(command, tiny_model, tmp_path):
    write(tmp_path / "in.wav", Sound(torch.rand(1, 16_000) - 0.5, 16_000))
    result = command(
        *("generate", "rain", "--continue-from", "in.wav", "--duration", 1.5),
        *("--model", tiny_model, "--out", "out.wav"),
    )
    assert result.exit_code == 0, result.stderr
    begun, made = read(tmp_path / "in.wav"), read(tmp_path / "out.wav")
    assert made.duration == 1.5
    torch.testing.assert_close(made.samples[:, :15_000], begun.samples[:, :15_000])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "There is no prompt"),
        ([""], "The prompt is empty"),
        (["x" * 5000], "has 5000 characters"),
        (["rain", "--duration", "0"], "duration is 0 s"),
        (["rain", "--duration", "3600"], ("duration is 3600 s", "at most 600 s")),
        (["rain", "--duration", "long"], "--duration"),
        (["rain", "--temperature", "-1"], "temperature is -1"),
        (["rain", "--top-k", "-5"], "top_k is -5"),
        (["rain", "--num-samples", "0"], "num_samples is 0"),
        (["rain", "--out", "rain.txt"], "cannot be written as .txt"),
        (["rain", "wind", "--out", "both.wav"], "2 sounds do not fit into one file"),
        (["--prompts", "nowhere.txt"], "nowhere.txt cannot be read: No such file"),
        (["rain", "--continue-from", "nowhere.wav"], "nowhere.wav"),
        (["rain", "--device", "abacus"], "'abacus' cannot be used here"),
        (["rain", "--sed", "3"], ("No such option: --sed", "--seed")),
    ],
)
def test_bad_input_is_explained_and_nothing_is_written(
    refuses, tiny_model, tmp_path, arguments, says
):
    refuses("generate", *arguments, "--model", tiny_model, says=says)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".wav", ".json")]


def test_a_diffusion_model_generates_with_settings_of_its_own(command, tmp_path):
    model = write_latent_model(tmp_path / "model")
    result = command(
        *("generate", "rain", "--model", model, "--steps", 2, "--sampler", "ddim"),
        *("--cfg-rescale", 0.5, *SHORT, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    [sound] = json.loads(result.stdout)["sounds"]
    settings = sound["settings"]
    assert (settings["steps"], settings["sampler"]) == (2, "ddim")
    assert read(tmp_path / sound["file"]).samples.shape == (1, 6400)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--temperature", 0.5), ("--top-k", 5), ("--continue-from", "in.wav"), ("--stream", None)],
)
def test_what_a_diffusion_model_cannot_do_is_said(refuses, tmp_path, option, value):
    model = write_latent_model(tmp_path / "model")
    given = [option] if value is None else [option, value]
    says = (f"{option} is not for", "which is a diffusion model")
    refuses("generate", "rain", "--model", model, *given, says=says)


def test_what_a_language_model_cannot_do_is_said(refuses, tiny_model):
    says = ("--steps is not for", "which is a language model")
    refuses("generate", "rain", "--model", tiny_model, "--steps", 5, says=says)


def test_an_unknown_model_gets_the_nearest_name(refuses):
    refuses("generate", "rain", "--model", "bundeld", says="did you mean 'bundled'?")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.wav", b"", "empty"),
        ("text.wav", b"these are words, not sound", "text.wav"),
    ],
)
def test_a_sound_to_continue_that_is_none_is_named(
    refuses, tiny_model, tmp_path, name, content, says
):
    (tmp_path / name).write_bytes(content)
    refuses("generate", "rain", "--continue-from", name, "--model", tiny_model, says=says)


def test_a_damaged_model_is_named(refuses, tiny_model, tmp_path):
    import shutil

    shutil.copytree(tiny_model, tmp_path / "model")
    weights = tmp_path / "model" / "lm.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    refuses("generate", "rain", "--model", "model", says="lm.safetensors is damaged")


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
def test_a_full_disk_is_said_and_an_older_file_survives(run_python, tiny_model, tmp_path):
    (tmp_path / "rain.wav").write_bytes(b"an older recording")
    small = 4096

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (small, small))

    result = run_python(
        *("-m", "soundwright.cli", "generate", "rain", "--model", str(tiny_model)),
        *("--duration", "1", "--out", "rain.wav"),
        cwd=tmp_path,
        preexec_fn=limit,
    )
    assert result.returncode == 2, result.stderr
    assert "rain.wav cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "rain.wav": b"an older recording"
    }


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_ends_cleanly(tiny_model, tmp_path):
    arguments = ["rain", "--duration", "600", "--num-samples", "64", "--model", str(tiny_model)]
    code = (
        # A process that a shell started in the background ignores the signal, and its children do.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        # Imports of other people's swallow a signal now and then: they come first.
        "import sys, soundwright.pipelines.generation; from soundwright.cli.main import main; "
        "print('ready', flush=True); "
        f"sys.argv[1:] = ['generate', *{arguments}]; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())
