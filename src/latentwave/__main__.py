"""`python -m latentwave` is the command line."""

from latentwave.bench.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
