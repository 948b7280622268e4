"""The options of commands that may ask a chat model, and the endpoint that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from soundwright.text.chat import ChatEndpoint

ChatOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Base address of a chat endpoint; without, rules do it."),
]
ChatModelOption = Annotated[str | None, typer.Option(help="The chat model's name.")]


def open_endpoint(
    url: str | None, model: str | None, settings: Sequence[str]
) -> ChatEndpoint | None:
    """The endpoint; None where none is asked.

    Args:
        url: Base address.
        model: The chat model's name.
        settings: Overrides of `ChatConfig`.

    Raises:
        UserError: Model or settings without an address, or an address without a model.
    """
    from soundwright.core.config import merge, parse_override
    from soundwright.text.chat import ChatConfig, ChatEndpoint

    if url is None:
        if model is not None or settings:
            raise UserError(
                "--chat-model and --set are for a chat endpoint.", expected="--chat URL"
            )
        return None
    if model is None:
        raise UserError("--chat needs the name of a model.", expected="--chat-model NAME")
    values: dict[str, Any] = {"url": url, "model": model}
    for override in settings:
        values = merge(values, parse_override(override))
    return ChatEndpoint(ChatConfig.read(values, origin="--set"))
