"""Packages that are extras: asked for when they are needed, by more rooms than one."""

from __future__ import annotations

from typing import Any

from soundwright.core.errors import UserError


def load_diffusers() -> Any:
    """The package diffusers.

    Raises:
        UserError: It is not installed.
    """
    try:
        import diffusers
    except ImportError as error:
        raise UserError(
            "Diffusion models need the package diffusers.",
            change='Install it with pip install "soundwright[diffusion]".',
        ) from error
    return diffusers
