"""The `latentwave` command, also `python -m latentwave`: runs the bench if it is installed."""

import sys


def main() -> int:
    """Run the command line.

    Returns:
        The exit code (see `latentwave.bench.cli.main`); 2 if the bench's packages are missing.
    """
    try:
        from latentwave.bench.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__):
            raise
        print(
            f"latentwave: error: the command line needs {error.name}, which is not installed: "
            "pip install 'latentwave[bench]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:  # these imports take seconds
        print("latentwave: interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
