"""What a server offers, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from soundwright.core.config import Config
from soundwright.core.errors import ConfigError
from soundwright.core.files import cache_folder

SHORTEST_TOKEN = 16
"""Characters; a shorter one could be guessed."""
MEBI, GIBI = 1 << 20, 1 << 30


class ServingConfig(Config):
    """How a server works."""

    models: tuple[str, ...] = Field(default=("bundled",), min_length=1)
    """Those that may be asked for; the first is the default."""
    devices: tuple[str, ...] = Field(default=("auto",), min_length=1)
    """One worker each."""
    dtype: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Of the weights."""
    state: Path = Field(default_factory=lambda: cache_folder() / "serve")
    """The folder of jobs, sounds and uploads."""
    token: str | None = None
    """What requests must carry; null lets everybody in who reaches the address."""
    origins: tuple[str, ...] = ()
    """Other pages that browsers may let use the API."""
    hosts: tuple[str, ...] = ()
    """Names under which the server may be addressed; none is any."""

    queue: int = Field(default=64, ge=1)
    """Sounds that may wait; further requests are told when to come again."""
    batch: int = Field(default=8, ge=1)
    """Sounds that are made at once."""
    batch_seconds: float = Field(default=240.0, gt=0)
    """... of so many seconds together, unless one alone is longer."""
    gather: float = Field(default=0.01, ge=0)
    """Seconds for which a lone request waits for others to be made with it."""
    time_limit: float = Field(default=600.0, gt=0)
    """Seconds of work after which a batch is given up."""
    grace: float = Field(default=30.0, ge=0)
    """Seconds that work under way has left when the server ends; what is not done then is done
    after the next start."""

    longest: float = Field(default=60.0, gt=0)
    """Seconds of a sound."""
    most: int = Field(default=16, ge=1)
    """Sounds of one request, and candidates of one sound."""
    largest_body: int = Field(default=64 << 10, ge=1)
    """Bytes of a request."""
    largest_upload: int = Field(default=10 * MEBI, ge=1)
    """Bytes of a sound to continue."""
    rate: int = Field(default=300, ge=0)
    """Requests for work that one client may make in a minute; 0 sets no limit."""

    keep_days: float = Field(default=30.0, gt=0)
    """Results are removed after so long, favourites excepted."""
    keep_bytes: int = Field(default=2 * GIBI, ge=1)
    """... and the oldest before, when all together are larger, favourites excepted too."""

    @property
    def most_at_once(self) -> int:
        """Sounds of one request: no more than may ever wait."""
        return min(self.most, self.queue)

    @model_validator(mode="after")
    def _secret(self) -> Self:
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise ConfigError(
                f"The token has {len(self.token)} characters.",
                expected=f"at least {SHORTEST_TOKEN}, such as from: openssl rand -hex 24",
            )
        return self
