"""`python -m soundwright.cli` is the command `soundwright`."""

from __future__ import annotations

from soundwright.cli.main import main

main()
