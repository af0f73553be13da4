"""The exception raised for user mistakes that go beyond plain argument checks."""


class UserError(ValueError):
    """A mistake the user can fix: the message says what is wrong and what to do.

    The command line prints the message on one line and exits with code 2.
    """
