"""A language model that generates: whole sounds, streams, loops, continuations, filled gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundwright.audio.sound import Sound
from soundwright.core.errors import UserError
from soundwright.core.protocols import Scorer
from soundwright.pipelines.adapters import Adapter
from soundwright.pipelines.gaps import find_gap
from soundwright.pipelines.generator import Generator, repeat
from soundwright.pipelines.loops import lengthen_for_loop
from soundwright.pipelines.making import Choice, Progress, make_sounds
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.ranking import check_scorer
from soundwright.pipelines.rendering import Renderer
from soundwright.pipelines.requests import (
    LONGEST_DURATION_S,
    LONGEST_STREAM_S,
    Request,
    check_counts,
    check_negative,
    check_prompts,
    check_seeds,
    hash_samples,
    settle,
)
from soundwright.pipelines.settings import GenerationConfig
from soundwright.pipelines.sounds import GeneratedSound, Origin
from soundwright.pipelines.streaming import SoundStream
from soundwright.pipelines.token_making import TokenMaker, fill_spans

BATCH_SIZE = 8
FILLINGS = 8


class Model(Generator):
    """A language model with its codec and text encoder, ready to generate.

    Made by `load`. Its defaults are in `defaults`, its origin in `record`.
    """

    def __init__(
        self, record: ModelRecord, renderer: Renderer, adapters: Sequence[Adapter] = ()
    ) -> None:
        super().__init__(record, renderer.sample_rate, adapters)
        self.defaults = GenerationConfig.read(record.settings["generation"])
        self._renderer = renderer

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        duration: float | None = None,
        seed: int | Sequence[int] = 0,
        num_samples: int = 1,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        negative: str | None = None,
        continue_from: Path | str | Sound | None = None,
        loop: bool = False,
        best_of: int = 1,
        scorer: Scorer | None = None,
        rank_by: str | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> list[GeneratedSound]:
        """Generate `num_samples` sounds for each prompt, prompt after prompt.

        Item i of the result has the seed `seed + i`; alone with that seed it comes out the same.
        With `best_of` N it is the best of the N sounds with the seeds `seed + i * N + j`, and has
        that one's seed, which makes it again without `best_of`.

        Args:
            prompts: What shall be heard.
            duration: Seconds; None, here and below, takes the model's default.
            seed: Of the first item; or one for each sound, in the place of `seed + i` (`+ i * N`).
            num_samples: Sounds a prompt.
            cfg_scale: Guidance; 1 is none, more follows the words more closely.
            temperature: 0 takes the likeliest token.
            top_k: Draw among so many tokens; 0 is all.
            top_p: Draw among the likeliest that make up this probability; replaces top_k.
            negative: What shall not be heard: guidance leads away from it instead of from no text.
            continue_from: A sound that becomes the beginning; `duration` counts it in.
            loop: Whether the end shall flow into the beginning.
            best_of: Candidates for each sound.
            scorer: Ranks candidates by what is heard; None ranks by the model's own text evidence,
                the mean over tokens of log p(sound | text) - log p(sound | no text), where the
                negative text, if any, takes the place of none.
            rank_by: Which of the scorer's numbers decides; more is better.
            batch_size: Items at once. Another size changes the arithmetic's rounding.
            progress: Told how much is done.

        Raises:
            UserError: A prompt, duration or setting that cannot be used.
        """
        check_counts(num_samples=num_samples, batch_size=batch_size, best_of=best_of)
        check_scorer(scorer, rank_by, best_of)
        wanted = repeat(prompts, num_samples)
        check_seeds(seed, wanted)
        request = self._request(
            wanted,
            negative=negative,
            continue_from=continue_from,
            loop=loop,
            duration=duration,
            cfg_scale=cfg_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        made = make_sounds(
            TokenMaker(self._renderer, request),
            wanted,
            seed,
            Choice(best_of, scorer, rank_by),
            batch_size=batch_size,
            progress=progress,
        )
        settings = self.describe(request.describe())
        return [self.present(one, settings) for one in made]

    def stream(
        self,
        prompt: str,
        *,
        duration: float | None = None,
        seed: int = 0,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        negative: str | None = None,
        continue_from: Path | str | Sound | None = None,
        progress: Progress | None = None,
    ) -> SoundStream:
        """Generate one sound piece by piece, in memory that does not grow with its length.

        Arguments are those of `generate`; `duration` may be up to a day.

        Returns:
            An iterator over pieces [C, n] of samples. Together they are, bit by bit, the samples
            of `generate` with the same arguments.

        Raises:
            UserError: A prompt, duration or setting that cannot be used.
        """
        request = self._request(
            [prompt],
            longest=LONGEST_STREAM_S,
            negative=negative,
            continue_from=continue_from,
            duration=duration,
            cfg_scale=cfg_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        item = (prompt, seed)
        return SoundStream(
            Origin(**self.origin(item), settings=self.describe(request.describe())),
            self._renderer.stream(
                item, request.config, negative=negative, beginning=request.beginning
            ),
            round(request.config.duration * self.sample_rate),
            self._renderer.waveforms.channels,
            progress,
        )

    def infill(
        self,
        prompts: str | Sequence[str],
        sound: Path | str | Sound,
        span: tuple[float, float],
        *,
        seed: int = 0,
        num_samples: int = 1,
        candidates: int = FILLINGS,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        negative: str | None = None,
        progress: Progress | None = None,
    ) -> list[GeneratedSound]:
        """Make a span of a given sound anew; the rest of it stays, sample by sample.

        The model reads from left to right. Of several continuations of what precedes the span, the
        one is kept after which it finds what follows likeliest; short cross-fades inside the span
        join it to both sides. The sound comes back at the model's rate and channels.

        Args:
            prompts: What shall be heard in the span.
            sound: The sound.
            span: Its start and end in seconds.
            seed: Of the first item; a span's continuations have seeds derived from the item's.
            num_samples: Sounds a prompt.
            candidates: Continuations made for each sound.
            cfg_scale: As in `generate`, like all below.
            temperature: Of drawing.
            top_k: Number of tokens.
            top_p: Probability.
            negative: What shall not be heard.
            progress: Told how much is done.

        Raises:
            UserError: A span outside of the sound, or a setting that cannot be used.
        """
        check_counts(num_samples=num_samples, candidates=candidates)
        wanted = repeat(prompts, num_samples)
        given = self._renderer.waveforms.read_sound(sound)
        request = self._request(
            wanted,
            negative=negative,
            duration=given.shape[1] / self.sample_rate,
            cfg_scale=cfg_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        gap = find_gap(
            given,
            span,
            sample_rate=self.sample_rate,
            hop=self._renderer.waveforms.hop_length,
            window=request.config.window,
        )
        items = [(prompt, seed + number) for number, prompt in enumerate(wanted)]
        made = fill_spans(self._renderer, items, gap, request, candidates, progress)
        infilled = {"sound": hash_samples(given), "span": [*span], "candidates": candidates}
        settings = {**self.describe(request.describe()), "infilled": infilled}
        return [self.present(one, settings) for one in made]

    def _request(
        self,
        prompts: Sequence[str],
        *,
        longest: float = LONGEST_DURATION_S,
        negative: str | None = None,
        continue_from: Path | str | Sound | None = None,
        loop: bool = False,
        **given: float | None,
    ) -> Request[GenerationConfig]:
        """What is asked for, checked."""
        check_prompts(prompts)
        config = settle(self.defaults, given, longest=longest)
        check_negative(negative, config.cfg_scale)
        if loop and continue_from is not None:
            raise UserError(
                "A loop begins where it ends: it cannot begin with a given sound.",
                change="Leave out the loop, or the sound to continue.",
            )
        if loop:
            lengthen_for_loop(config, self.sample_rate)
        beginning = (
            None
            if continue_from is None
            else self._renderer.waveforms.read_beginning(continue_from)
        )
        return Request(config, negative, beginning, loop)
