"""The one room that knows every system: recipes, model folders, training runs, the Python API."""
