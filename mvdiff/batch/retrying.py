"""Errors that pass: told apart from those that stay, and tried again with exponential backoff (tenacity)."""

import errno
from collections.abc import Callable
from typing import Any, TypeVar

from mvdiff.runs.remote import of_a_store
from recon.io.folders import DISK_FULL

T = TypeVar("T")

#: Errors of the system that trying again does not mend.
_LASTING = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EROFS, errno.ENOTSUP}
#: Errors of theirs that are settings.
_SETTINGS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "NoRegionError",
    "ParamValidationError",
}
#: Answers of a server below 500 that ask for patience.
_PATIENCE = {408, 425, 429}
_LONGEST_PAUSE = 20.0


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return True
        error = error.__cause__
    return False


def passes(error: BaseException) -> bool:
    """Whether the same call may succeed later: a busy or absent server, a lost connection, a full disk."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status >= 500 or status in _PATIENCE
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    if isinstance(error, OSError):
        return error.errno not in _LASTING
    return of_a_store(error) and type(error).__name__ not in _SETTINGS


def patiently(call: Callable[..., T], *args: Any, patience: float, attempts: int | None = None, **kwargs: Any) -> T:
    """``call(*args, **kwargs)``, tried again while it fails with errors that pass.

    Args:
        call: function to call.
        patience: seconds after which the last error is raised.
        attempts: number of calls after which it is raised, too.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

    stop = stop_after_delay(patience)
    retrying = Retrying(
        retry=retry_if_exception(passes),
        wait=wait_random_exponential(multiplier=0.3, max=_LONGEST_PAUSE),
        stop=stop if attempts is None else stop | stop_after_attempt(attempts),
        reraise=True,
    )
    return retrying(call, *args, **kwargs)
