"""Hypotheses that a user names by their numbers."""

import re

from recon.core.errors import InputError


def numbers(name: str, text: str) -> list[int]:
    """ "0,3" to [0, 3]. Raises :class:`InputError` that calls the input by ``name``."""
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    if not all(re.fullmatch(r"\d+", part) for part in parts):
        raise InputError(f"{name} takes numbers of hypotheses as 0,3, not '{text}'.")
    return [int(part) for part in parts]
