"""Download of published weights: pinned revisions, safetensors and settings only, hashes checked, resumable."""

import contextlib
import fnmatch
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvdiff.weights.folders import variant_of
from mvdiff.weights.manifest import FILE, Manifest, Source, make_manifest
from recon.core.errors import InputError
from recon.core.reading import file_sha256, reason

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True)
class Wanted:
    """Files of one repository at one commit."""

    repo: str
    revision: str
    patterns: Sequence[str]
    into: str = "."
    """Folder of these files below that of the weights."""
    variant: str | None = None
    """Variant to prefer, such as fp16, where a network has it."""


@dataclass(frozen=True)
class Listing:
    """Files of one repository as the hub lists them."""

    wanted: Wanted
    sizes: Mapping[str, int]
    hashes: Mapping[str, str]
    """SHA-256 of the large files, as far as the hub knows them."""

    @property
    def size(self) -> int:
        return sum(self.sizes.values())


def check_revision(repo: str, revision: str | None) -> str:
    """``revision`` itself. Raises :class:`InputError` unless it is a whole commit."""
    if revision is None:
        raise InputError(
            f"No revision of {repo} is pinned yet: look up its commit at https://huggingface.co/{repo}/commits/main "
            "and pass --revision with all 40 digits."
        )
    if not _COMMIT.fullmatch(revision):
        raise InputError(f"'{revision}' is no commit of 40 hexadecimal digits: names of branches and tags may move.")
    return revision


def list_files(wanted: Wanted) -> Listing:
    """Ask the hub for names, sizes and hashes.

    Raises:
        InputError: offline, gated, no such repository or commit, or nothing but pickles.
    """
    from huggingface_hub import HfApi

    with _hub_told(wanted.repo):
        info = HfApi().model_info(wanted.repo, revision=wanted.revision, files_metadata=True)
    matching = [each for each in info.siblings or [] if _matches(each.rfilename, wanted.patterns)]
    kept = one_variant([each.rfilename for each in matching], wanted.variant)
    files = {each.rfilename: each for each in matching if each.rfilename in kept}
    if not any(name.endswith(".safetensors") for name in files):
        pickles = [each.rfilename for each in info.siblings or [] if each.rfilename.endswith(_PICKLES)]
        held = f"only pickles ({pickles[0]}), to be converted by `mvdiff models convert`" if pickles else "none"
        raise InputError(f"{wanted.repo} at {wanted.revision[:12]} should have safetensors, but has {held}.")
    hashes = {name: each.lfs.sha256 for name, each in files.items() if each.lfs is not None}
    return Listing(wanted, {name: each.size or 0 for name, each in files.items()}, hashes)


def pull(
    backbone: str, license: str, listings: Sequence[Listing], folder: Path, say: Callable[[str], None] = print
) -> Manifest:
    """Download into ``folder`` and write its manifest last; the same call continues one that stopped.

    Raises:
        InputError: the disk is full, the network fails, or a file is not what the hub says.
    """
    from huggingface_hub import snapshot_download

    size = sum(each.size for each in listings)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size * 1.05:
        raise InputError(f"{folder} has {free / 1e9:.1f} GB free, but {size / 1e9:.1f} GB are needed: make room first.")
    (folder / FILE).unlink(missing_ok=True)
    for each in listings:
        own, place = each.wanted, folder / each.wanted.into
        say(f"{own.repo}@{own.revision[:12]}: {len(each.sizes)} files, {each.size / 1e9:.2f} GB")
        with _hub_told(own.repo):
            snapshot_download(own.repo, revision=own.revision, allow_patterns=list(each.sizes), local_dir=place)
        _check_hashes(each, place)
    sources = {each.wanted.into: Source(each.wanted.repo, each.wanted.revision) for each in listings}
    manifest = make_manifest(backbone, license, sources, folder)
    manifest.save(folder)
    return manifest


def _check_hashes(listing: Listing, place: Path) -> None:
    """Remove what is not as the hub says, so that the next call fetches it again."""
    wrong = [name for name, expected in listing.hashes.items() if file_sha256(place / name) != expected]
    for name in wrong:
        (place / name).unlink()
    if wrong:
        raise InputError(f"The SHA-256 of {', '.join(wrong)} is not the hub's: run the command again to fetch it anew.")


def one_variant(names: Sequence[str], variant: str | None) -> set[str]:
    """Names without the files of other variants; a network that lacks the wanted one is taken in its plain files."""
    kept, weights = set(), [name for name in names if ".safetensors" in name]
    for folder in {name.rpartition("/")[0] for name in weights}:
        own = [name for name in weights if name.rpartition("/")[0] == folder]
        kept |= {name for name in own if variant_of(name) == variant} or {n for n in own if variant_of(n) is None}
    return kept | (set(names) - set(weights))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits the whole name; ``*`` does not cross folders."""
    depth = name.count("/")
    return any(pattern.count("/") == depth and fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@contextlib.contextmanager
def _hub_told(repo: str) -> Iterator[None]:
    """Turn errors of the hub into one sentence."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise InputError("HF_HUB_OFFLINE is set, so nothing is fetched: unset it, or copy the folder from elsewhere.")
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        page = f"https://huggingface.co/{repo}"
        raise InputError(f"{repo} is gated: ask for access at {page}, then run `hf auth login`.") from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{repo} has no such commit: check --revision.") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f"{repo} is not on the hub (names change): pass its new name by --repo.") from error
    except Exception as error:
        if not isinstance(error, OSError) and not _is_http(error):
            raise
        said = f"The hub cannot be asked for {repo} ({reason(error)})"
        raise InputError(f"{said}: run the command again later.") from error


def _is_http(error: BaseException) -> bool:
    """Whether the error comes from the HTTP library below the hub's client."""
    return type(error).__module__.startswith(("httpx", "httpcore", "huggingface_hub"))
