"""An error with a message for the user."""


class CxrError(Exception):
    """Something the user can put right; the message is one line that says what to do."""
