"""The one exception that a person is meant to read."""


class CxrError(Exception):
    """Something the user can put right; the message is one line that says what to do."""
