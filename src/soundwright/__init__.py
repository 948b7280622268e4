"""Soundwright turns words into sound, and makes sound obey words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundwright.pipelines.captioning import load_captioner
    from soundwright.pipelines.generation import GeneratedSound, Model, load

__version__ = "0.1.0"

__all__ = ["GeneratedSound", "Model", "__version__", "load", "load_captioner"]


def __getattr__(name: str) -> Any:
    """Import torch and the models only when one of the public names is first asked for."""
    if name == "load_captioner":
        from soundwright.pipelines import captioning

        return captioning.load_captioner
    if name in __all__:
        from soundwright.pipelines import generation

        return getattr(generation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
