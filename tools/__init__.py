"""What keeps the pages of this repository true; no part of the installed package."""
