"""What people bring themselves: a captioner or scorer, by the name of a function that makes it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from soundwright.core.errors import UserError


def load_plugin(name: str, what: str, members: Sequence[str]) -> Any:
    """Call `package.module:function`, which a configuration names, without arguments.

    Args:
        name: As written in the configuration. Its code runs: take configurations from nobody
            whose programs you would not run.
        what: captioner or scorer, for messages.
        members: What the result must have.

    Raises:
        UserError: There is no such module or function, or it gives something else.
    """
    module, colon, function = name.partition(":")
    expected = f"package.module:function, whose result is a {what}"
    if not (module and colon and function):
        raise UserError(f"The plugin {name!r} cannot be found.", expected=expected)
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"The plugin {name!r} cannot be loaded: {error}",
            expected=expected,
            change="Install the package that has it, on every machine that works on the corpus.",
        ) from error
    missing = [member for member in members if not hasattr(made, member)]
    if missing:
        raise UserError(
            f"What the plugin {name!r} gives is no {what}: it has no {', '.join(missing)}.",
            expected=f"the protocol in soundwright.core.protocols.{what.title()}",
        )
    return made
