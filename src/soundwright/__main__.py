"""`python -m soundwright`: the command where no script is installed, and for torchrun."""

from soundwright.cli.main import main

if __name__ == "__main__":
    main()
