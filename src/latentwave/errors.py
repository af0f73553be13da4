"""The one exception that a user's mistake raises outside plain argument checks."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake that the user can mend: the message says what is wrong and what to do.

    The command line prints it as one line and exits with code 2.
    """
