"""Licenses of published weights: the restricted ones are accepted once for each user."""

import os
from pathlib import Path

from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import read_json, reading
from recon.io.folders import write_json


def accepted() -> frozenset[str]:
    """Identifiers that this user has accepted, in lower case."""
    path = _file()
    if not is_file(path):
        return frozenset()
    with reading(path, "list of accepted licenses", "delete it and accept them again"):
        return frozenset(read_json(path, dict[str, list[str]]).get("accepted", []))


def accept(license: str) -> None:
    """Remember that this user accepts a license."""
    write_json(_file(), {"accepted": sorted(accepted() | {license.lower()})})


def require(backbone: str, license: str, url: str) -> None:
    """Raise :class:`InputError` unless this user has accepted the license of a backbone's weights."""
    if license.lower() not in accepted():
        raise InputError(
            f"The weights of {backbone} are licensed for non-commercial use only ({license}, {url}): "
            f"pass --accept-license {license.lower()} once if you agree."
        )


def _file() -> Path:
    """``mvdiff/licenses.json`` in the user's folder of settings."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "mvdiff" / "licenses.json"
