"""Errors that tell a user what to do."""


class InputError(ValueError):
    """The input cannot be used; the message is one sentence that names the input and the remedy."""
