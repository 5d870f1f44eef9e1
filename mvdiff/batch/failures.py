"""Failures of single photos, as rows tell them."""

from mvdiff.batch.readers.photo import Photo
from mvdiff.batch.results import State
from mvdiff.batch.retrying import passes
from recon.core.errors import InputError
from recon.core.reading import reason


class Unreachable(Exception):
    """The photo cannot be fetched now, and perhaps later."""


def fetched(photo: Photo) -> bytes:
    """The bytes of a photo.

    Raises:
        InputError: there is no such photo.
        Unreachable: the place where it lies did not answer.
    """
    try:
        return photo.fetch()
    except FileNotFoundError as error:
        raise InputError("There is no such photo at its address.") from error
    except Exception as error:
        if passes(error):
            raise Unreachable(f"The photo cannot be fetched now ({reason(error)}).") from error
        raise InputError(f"The photo cannot be read ({reason(error)}).") from error


def judge(error: Exception) -> tuple[State, str]:
    """Whether a photo is bad, or failed for reasons that may pass, and the sentence for its row."""
    if isinstance(error, InputError):
        return "bad", " ".join(str(error).split())
    if isinstance(error, Unreachable):
        return "failed", str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "failed", "The memory does not suffice: use fewer workers, or a smaller --chunk-size."
    return "failed", f"An internal error ({type(error).__name__}: {reason(error)})."
