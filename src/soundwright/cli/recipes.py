"""`soundwright recipes`: which experiments there are, and what they say."""

from __future__ import annotations

from typing import Annotated

import typer

from soundwright.cli.output import JsonOption, SetOption, emit_json, emit_table, emit_text, note

app = typer.Typer(help="Look at recipes: list, show, diff.", no_args_is_help=True)

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name from `recipes list`, or a .yaml file.")
]


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the recipes that ship.

    Example: soundwright recipes list
    """
    from soundwright.pipelines.recipe import compose_recipe, list_recipes

    found = {name: compose_recipe(name) for name in list_recipes()}
    if json:
        rows = {
            name: {"kind": values["kind"], "description": values.get("description", "")}
            for name, values in found.items()
        }
        emit_json({"recipes": rows})
        return
    emit_table(
        ("recipe", "kind", "what it is"),
        ((name, values["kind"], values.get("description", "")) for name, values in found.items()),
    )


@app.command()
def show(recipe: RecipeArgument, overrides: SetOption = None, json: JsonOption = False) -> None:
    """Show a recipe with everything it extends and every default filled in.

    Example: soundwright recipes show rr-sound-300m --set lm.dim=512
    """
    import yaml

    from soundwright.pipelines.systems import read_recipe
    from soundwright.preference.system import ALL_SYSTEMS

    values = read_recipe(recipe, overrides or (), ALL_SYSTEMS).plain()
    if json:
        emit_json({"recipe": values})
    else:
        emit_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip())


@app.command()
def diff(first: RecipeArgument, second: RecipeArgument, json: JsonOption = False) -> None:
    """Show in which values two recipes differ.

    Example: soundwright recipes diff rr-sound-300m rr-music-300m
    """
    from soundwright.pipelines.recipe import compare_recipes
    from soundwright.pipelines.systems import read_recipe
    from soundwright.preference.system import ALL_SYSTEMS

    one, other = (read_recipe(name, systems=ALL_SYSTEMS) for name in (first, second))
    found = compare_recipes(one.plain(), other.plain())
    if json:
        rows = {key: {"first": one, "second": two} for key, (one, two) in found.items()}
        emit_json({"first": first, "second": second, "differences": rows})
    elif found:
        emit_table(("key", first, second), ((key, *pair) for key, pair in found.items()))
    else:
        note("The recipes have the same values.")
