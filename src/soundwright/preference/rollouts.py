"""The stage that makes sounds: which ones, and making each once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from soundwright.audio.files import read
from soundwright.core.config import Config
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import hash_bytes
from soundwright.core.journal import Journal, journal_of
from soundwright.core.progress import Meter
from soundwright.core.seeding import derive_seed
from soundwright.data.clips import hash_samples
from soundwright.pipelines.sounds import GeneratedSound
from soundwright.preference.record_files import (
    ROLLOUTS_NAME,
    RecordFile,
    is_written,
    read_records,
    write_records,
)
from soundwright.preference.records import (
    STRATEGIES,
    Perturbation,
    Rollout,
    SelectedCaption,
    Strategy,
    Take,
)

KIND = "rollouts"
SEEDS = 1 << 31
Count = Annotated[int, Field(ge=1)]


class Generator(Protocol):
    """A model that makes sounds of prompts; what `soundwright.load` gives is one."""

    @property
    def name(self) -> str:
        """What the model calls itself."""
        ...

    @property
    def hash(self) -> str:
        """Identity of weights and configuration."""
        ...

    @property
    def generate(self) -> Callable[..., list[GeneratedSound]]:
        """Makes one sound for each prompt; item i has the seed `seed + i`.

        Called with prompts and, by name, `seed`, `duration`, `batch_size`, what is wanted of
        `cfg_scale` and `temperature`, and `steps` where it takes them.
        """
        ...


class RolloutChoice(Config):
    """Which sounds are made; the paper's numbers are the default."""

    strategies: tuple[Strategy, ...] = STRATEGIES
    duration: Annotated[float, Field(gt=0)] = 5.0
    """Seconds."""
    seed: int = 0
    samples: Annotated[int, Field(ge=2)] = 4
    """Of S1.2, for each caption."""
    varied_steps: tuple[Count, ...] = (5, 25, 50, 100)
    """Of denoising: the samples of S1.1 for each caption."""
    steps: Count = 50
    """Of denoising, for all else."""
    varied_temperatures: tuple[Annotated[float, Field(ge=0)], ...] = (0.6, 0.9, 1.2, 1.5)
    """The samples of S1.1 for a model that has no steps but draws tokens."""
    cfg_scale: Annotated[float, Field(ge=0)] | None = None
    """Guidance; None is the model's own. The paper's is 3."""
    format: Literal["wav", "flac"] = "wav"


def plan_takes(
    captions: Sequence[SelectedCaption],
    perturbations: Sequence[Perturbation],
    choice: RolloutChoice,
    *,
    has_steps: bool,
) -> list[list[Take]]:
    """What is to be made: the takes of each caption and strategy, strategy by strategy.

    For S1 those are samples of the caption; for S2 and S3 one of the caption and one of each of its
    perturbations. Seeds follow from the caption and the strategy.

    Args:
        captions: From `captions.read_selected`.
        perturbations: From `perturbing.read_perturbations`; a caption without any has no takes of
            S2 or S3.
        choice: How many.
        has_steps: Whether the model takes a number of steps.

    Raises:
        UserError: There is nothing to be made.
    """
    wrong: dict[tuple[str, str], list[str]] = {}
    for one in perturbations:
        wrong.setdefault((one.caption, one.strategy), []).append(one.text)
    groups = []
    for strategy in dict.fromkeys(choice.strategies):
        for caption in captions:
            texts = wrong.get((caption.id, strategy), [])
            if strategy.startswith("S1") and caption.cluster is not None:
                groups.append(_plan_samples(caption, strategy, choice, has_steps))
            elif texts:
                steps = choice.steps if has_steps else None
                asked = [(text, steps, None) for text in (caption.text, *texts)]
                groups.append(_take_all(caption, strategy, choice, asked))
    if not groups:
        raise UserError(
            f"There is nothing to be made for {', '.join(choice.strategies)}.",
            expected="for S1 captions that were selected, for S2 and S3 their perturbations",
            change="Name them with --perturbed, or choose other strategies.",
        )
    return groups


def roll_out(
    groups: Sequence[Sequence[Take]], generator: Generator, out: Path, choice: RolloutChoice
) -> dict[str, Any]:
    """Make the sounds of a plan and write them, with how they were made, to the folder `out`.

    The takes of one caption and strategy are made and noted together; a killed run goes on with the
    first that is not noted.

    Args:
        groups: From `plan_takes`.
        generator: Makes the sounds.
        out: The folder.
        choice: As for the plan.

    Returns:
        Numbers of captions and sounds, by strategy, and of sounds that could not be written.

    Raises:
        UserError: `out` holds the sounds of another plan or model.
    """
    plan = [[take.model_dump(mode="json") for take in group] for group in groups]
    made_of = json.dumps([plan, generator.hash, choice.cfg_scale, choice.format])
    fingerprint = hash_bytes(made_of.encode())[:16]
    path = out / ROLLOUTS_NAME
    if not is_written(path, KIND, fingerprint):
        total = sum(map(len, groups))
        with Journal(journal_of(path), fingerprint) as journal:
            done = sum(len(note["rollouts"]) for note in journal.entries)
            with Meter("roll out", total, done=done, unit="sound") as meter:
                for group in groups[len(journal.entries) :]:
                    made = _make(group, generator, out, choice)
                    values = [one.model_dump(mode="json", exclude_none=True) for one in made]
                    journal.append({"rollouts": values})
                    meter.advance(len(group))
            notes = [one for note in journal.entries for one in note["rollouts"]]
        items = [Rollout.model_validate(note) for note in notes]
        facts = {
            "model": generator.name,
            "model_hash": generator.hash,
            "choice": choice.plain(),
            **count_rollouts(items),
        }
        write_records(path, KIND, fingerprint, facts, items)
    return dict(read_rollouts(out).facts)


def read_rollouts(folder: Path) -> RecordFile[Rollout]:
    """Read what `roll_out` wrote to a folder.

    Raises:
        UserError: The file is missing or holds something else.
    """
    path = folder / ROLLOUTS_NAME if folder.is_dir() else folder
    if journal_of(path).exists() and not path.exists():
        raise UserError(
            f"The sounds in {folder} are not all made yet.",
            change="Repeat the command that makes them: soundwright prefer rollout",
        )
    return read_records(path, KIND, Rollout)


def count_rollouts(items: Sequence[Rollout]) -> dict[str, Any]:
    """Numbers of captions, of sounds by strategy, and of those that could not be written."""
    return {
        "captions": len({one.caption for one in items}),
        "sounds": {
            strategy: count
            for strategy in STRATEGIES
            if (count := sum(one.strategy == strategy for one in items))
        },
        "not_written": sum(bool(one.fault) for one in items),
    }


def takes_steps(generator: Generator) -> bool:
    """Whether a model takes a number of steps of denoising."""
    return "steps" in inspect.signature(generator.generate).parameters


def _plan_samples(
    caption: SelectedCaption, strategy: Strategy, choice: RolloutChoice, has_steps: bool
) -> list[Take]:
    """The samples of S1: of several qualities, or several of one."""
    asked: list[tuple[str, int | None, float | None]]
    if strategy == "S1.2":
        asked = [(caption.text, choice.steps if has_steps else None, None)] * choice.samples
    elif has_steps:
        asked = [(caption.text, steps, None) for steps in choice.varied_steps]
    else:
        asked = [(caption.text, None, warm) for warm in choice.varied_temperatures]
    return _take_all(caption, strategy, choice, asked)


def _take_all(
    caption: SelectedCaption,
    strategy: Strategy,
    choice: RolloutChoice,
    asked: Sequence[tuple[str, int | None, float | None]],
) -> list[Take]:
    first = derive_seed(choice.seed, "rollout", caption.id, strategy) % SEEDS
    return [
        Take(
            id=f"{caption.id}-{strategy}-{number}",
            caption=caption.id,
            prompt=caption.text,
            asked=text,
            strategy=strategy,
            number=number,
            seed=first + number,
            duration=choice.duration,
            steps=steps,
            temperature=temperature,
        )
        for number, (text, steps, temperature) in enumerate(asked)
    ]


def _make(
    group: Sequence[Take], generator: Generator, out: Path, choice: RolloutChoice
) -> list[Rollout]:
    """The sounds of one caption and strategy, written."""
    pairs = zip(group, _generate(group, generator, choice), strict=True)
    return [_save(take, sound, out, choice.format) for take, sound in pairs]


def _generate(
    group: Sequence[Take], generator: Generator, choice: RolloutChoice
) -> Iterator[GeneratedSound]:
    """One call for neighbours that differ only in prompt and seed, which count on by one."""
    for _, alike in groupby(group, key=lambda take: (take.steps, take.temperature)):
        takes = list(alike)
        first = takes[0]
        wishes = {
            "steps": first.steps,
            "temperature": first.temperature,
            "cfg_scale": choice.cfg_scale,
        }
        yield from generator.generate(
            [take.asked for take in takes],
            seed=first.seed,
            duration=first.duration,
            batch_size=len(takes),
            **{name: value for name, value in wishes.items() if value is not None},
        )


def _save(take: Take, sound: GeneratedSound, out: Path, suffix: str) -> Rollout:
    # Folders of a thousand files each stay quick.
    path = f"sounds/{take.caption[:2]}/{take.id}.{suffix}"
    try:
        sound.save(out / path)
    except AudioError as error:
        return Rollout(
            **take.model_dump(),
            path=path,
            pcm_hash="",
            sample_rate=sound.sample_rate,
            seconds=sound.duration,
            fault=error.reason,
        )
    written = read(out / path)
    return Rollout(
        **take.model_dump(),
        path=path,
        pcm_hash=hash_samples(written),
        sample_rate=written.sample_rate,
        seconds=written.duration,
    )
