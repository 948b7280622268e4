"""What a listening study is to be: its plan, and the presets that plans start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from soundwright.core.config import Config, merge
from soundwright.core.errors import ConfigError, nearest

Form = Literal["pairs", "ratings"]
Question = Literal["quality", "alignment"]
QUESTIONS: tuple[Question, ...] = get_args(Question)


class Controls(Config):
    """Trials of every rater whose answer is known; none of them counts as a vote."""

    identical: int = Field(default=0, ge=0, le=20)
    """One sound twice: whoever hears a difference, guesses."""
    foils: int = Field(default=0, ge=0, le=20)
    """A sound of another prompt: it cannot match the text."""
    repeats: int = Field(default=0, ge=0, le=20)
    """An earlier trial again, sides changed."""

    @property
    def total(self) -> int:
        """How many there are."""
        return self.identical + self.foils + self.repeats


class Exclusion(Config):
    """Whom the results leave out. Fixed with the plan; results are shown with them as well."""

    foils: float = Field(default=0.5, ge=0, le=1)
    """Who takes more than this share of the foils for what the text says."""
    identical: float = Field(default=0.5, ge=0, le=1)
    """Who hears a difference in more than this share of the identical pairs."""
    repeats: float = Field(default=0.5, ge=0, le=1)
    """Who reverses more than this share of the answers to repeated trials."""
    headphones: bool = False
    """Who does not pass the headphone check."""


class StudyPlan(Config):
    """Everything that is decided before the first rater listens."""

    title: str = Field(default="A listening test", min_length=1, max_length=200)
    form: Form = "pairs"
    """Two sounds are compared, or each is rated from 1 to 5."""
    systems: dict[str, str] = Field(min_length=1, max_length=12)
    """Folders of sounds, or manifests, by the name of the system; raters never see it."""
    questions: tuple[Question, ...] = QUESTIONS
    ties: bool = True
    """Whether raters may say that two sounds are equal."""
    prompts: int = Field(default=100, ge=1, le=10_000)
    """Drawn from those for which every system has a sound."""
    votes: int = Field(default=5, ge=1, le=1000)
    """Raters that each prompt is to have."""
    prompts_per_rater: int | None = Field(default=None, ge=1)
    """Drawn for each rater; None is all of them."""
    controls: Controls = Controls()
    exclusion: Exclusion = Exclusion()
    headphones: bool = True
    """Whether raters take the headphone check first."""
    heard: float = Field(default=0.9, gt=0, le=1)
    """Share of each sound that must have been played before an answer counts."""
    loudness: float = Field(default=-23.0, ge=-60, le=0)
    """LUFS to which copies are matched; less where a peak forbids it, for the whole prompt."""
    checklist: bool = False
    """Ask which of the prompt's events were heard, and how often."""
    events: dict[str, tuple[str, ...]] = Field(default={})
    """Names of events by prompt; a prompt without any takes the tags of its sounds."""
    seed: int = 0

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.form == "pairs" and len(self.systems) < 2:
            raise ValueError("a comparison needs at least two systems")
        if not self.questions or len(set(self.questions)) < len(self.questions):
            raise ValueError("questions are one or both of quality and alignment")
        if self.prompts_per_rater is not None and self.prompts_per_rater > self.prompts:
            raise ValueError("a rater cannot have more prompts than there are")
        if self.controls.identical and (self.form != "pairs" or not self.ties):
            raise ValueError("identical pairs need a comparison in which ties are allowed")
        if self.controls.foils and ("alignment" not in self.questions or self.prompts < 2):
            raise ValueError("foils need the question of alignment and two prompts")
        return self

    @property
    def per_rater(self) -> int:
        """Prompts of one rater."""
        return self.prompts_per_rater or self.prompts

    @property
    def raters(self) -> int:
        """How many raters the plan needs."""
        return -(-self.prompts * self.votes // self.per_rater)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Section 4.6 of the RR paper: 20 prompts, 8 raters, one of two sounds must be preferred.
    "rr-paper": {"form": "pairs", "ties": False, "prompts": 20, "votes": 8},
    # Tango 2, human evaluation: 50 prompts, overall quality and relevance, at least 4 raters.
    "tango2": {"form": "ratings", "prompts": 50, "votes": 4},
    "recommended": {
        "form": "pairs",
        "ties": True,
        "prompts": 100,
        "votes": 5,
        "prompts_per_rater": 50,
        "controls": {"identical": 1, "foils": 2, "repeats": 2},
    },
}
DEFAULT_PRESET = "recommended"


def read_plan(values: Mapping[str, Any], *, origin: str = "the study") -> StudyPlan:
    """Lay what is given over the preset that it names under `preset`.

    Raises:
        ConfigError: No such preset, an unknown key, or values that do not go together.
    """
    given = dict(values)
    name = given.pop("preset", DEFAULT_PRESET)
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}.", expected=nearest(str(name), PRESETS))
    below = dict(PRESETS[name])
    prompts = given.get("prompts")
    if isinstance(prompts, int) and prompts < below.get("prompts_per_rater", 0):
        # Fewer prompts than the preset gives a rater: then every rater has all of them.
        del below["prompts_per_rater"]
    return StudyPlan.read(merge(below, given), origin=origin)
