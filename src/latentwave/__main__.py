"""`python -m latentwave` is the command line."""

from latentwave.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
