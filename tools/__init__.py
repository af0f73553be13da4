"""Scripts that keep this repository true; not part of the installed package."""
