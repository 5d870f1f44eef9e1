"""``mvdiff models``: the weights of published backbones."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mvdiff.backbones import catalog
from mvdiff.cli.terminal import say
from recon.core.errors import InputError
from recon.core.paths import is_folder

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
#: Values for single repositories of a checkpoint.
Pairs = Annotated[tuple[str, ...], tyro.conf.arg(metavar="REPO=VALUE…")]


@dataclass(frozen=True)
class List:
    """List the backbones: license, GPU memory, frame, channels, capabilities and what has been tested."""

    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        from mvdiff.backbones.registry import backbone_names

        if self.json:
            print(json.dumps({row.name: asdict(row) for row in catalog.CHECKPOINTS}, allow_nan=False))
            return
        for row in catalog.CHECKPOINTS:
            say(f"{row.name}: {row.title}")
            for title, text in catalog.facts(row).items():
                say(f"  {title:<14} {text}")
        own = {row.name for row in catalog.CHECKPOINTS}
        for name in backbone_names():
            if name not in own:
                say(f"{name}: added by an installed package")


@dataclass(frozen=True)
class Pull:
    """Download the weights of a backbone: settings and safetensors of a pinned commit, nothing that can run.

    The size is said before anything is fetched. Run the same command again to continue after an interruption.
    """

    name: Name
    """Backbone to download, see `mvdiff models list`."""
    revision: Pairs = ()
    """Commit of each repository as REPO=COMMIT, or one commit alone for the first repository."""
    repo: Pairs = ()
    """Other names of repositories as OLD=NEW, where one has moved."""
    output_dir: Path | None = None
    """Folder for the weights, to be passed as --weights; by default $HF_HOME/mvdiff/NAME, where it is found."""
    normals: Annotated[bool, tyro.conf.arg(help="Leave out the optional repositories.")] = True
    """Also download the optional repositories."""
    variant: Literal["fp16", "bf16"] | None = None
    """Precision of the files to prefer, where the publisher has it; by default the files of full precision."""
    accept_license: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """License of non-commercial weights that you accept, such as cc-by-nc-4.0; remembered for later commands."""
    size_only: bool = False
    """Say the size and stop."""

    def run(self) -> None:
        from mvdiff.weights import licenses
        from mvdiff.weights.pull import list_files, pull
        from mvdiff.weights.pulled import pulled_folder

        row = catalog.find(self.name)
        if not row.parts:
            raise InputError(_nothing_to_pull(row))
        if self.accept_license is not None:
            licenses.accept(self.accept_license)
        if row.non_commercial:
            licenses.require(row.name, row.license, row.license_url)
        wanted = self._wanted(row)
        listings = [list_files(each) for each in wanted]
        folder = self.output_dir or pulled_folder(row.name)
        total = sum(each.size for each in listings)
        say(f"{row.name}: {total / 1e9:.2f} GB into {folder}, license {row.license} ({row.license_url})")
        if self.size_only:
            return
        pull(row.name, row.license, listings, folder, say)
        say(f"{folder}: complete")
        for network, pickle in row.pickle_of.items():
            say(f"{row.name} still lacks {network}: download {pickle} and run `mvdiff models convert` into {network}.")

    def _wanted(self, row: catalog.Checkpoint) -> list:
        """Repositories and commits of all parts."""
        from mvdiff.weights.pull import Wanted, check_revision

        parts = [part for part in row.parts if self.normals or not part.optional]
        moved, commits = _pairs(self.repo, parts[0].repo), _pairs(self.revision, parts[0].repo)
        unknown = (moved.keys() | commits.keys()) - {part.repo for part in parts} - set(moved.values())
        if unknown:
            raise InputError(f"{row.name} has no repository {', '.join(sorted(unknown))}: see `mvdiff models list`.")
        found = []
        for part in parts:
            repo = moved.get(part.repo, part.repo)
            commit = commits.get(part.repo, commits.get(repo, part.revision if repo == part.repo else None))
            found.append(Wanted(repo, check_revision(repo, commit), part.patterns, part.into, self.variant))
        return found


def _nothing_to_pull(row: catalog.Checkpoint) -> str:
    if not row.pickle_of:
        return f"The weights of {row.name} are in this package: there is nothing to pull."
    return (
        f"The weights of {row.name} are published as a pickle, which is not pulled: download "
        f"{', '.join(row.pickle_of.values())} and run `mvdiff models convert`."
    )


def _pairs(values: tuple[str, ...], first: str) -> dict[str, str]:
    """REPO=VALUE by repository; a value alone belongs to the first repository."""
    return dict(each.split("=", 1) if "=" in each else (first, each) for each in values)  # type: ignore[misc]


@dataclass(frozen=True)
class Verify:
    """Hash all files of pulled weights again and compare them with the manifest."""

    name: Name
    """Backbone, or a folder with a manifest."""

    def run(self) -> None:
        from mvdiff.weights.manifest import FILE, read_manifest, verify

        folder = _folder(self.name)
        manifest = read_manifest(folder)
        if manifest is None:
            raise InputError(f"'{folder}' has no {FILE}: run `mvdiff models pull` to its end.")
        verify(manifest, folder)
        say(f"{folder}: {len(manifest.files)} files are as they were pulled; sha256 {manifest.sha256}")


@dataclass(frozen=True)
class Keys:
    """Print the names and shapes of all tensors as JSON, from the headers of the files alone."""

    name: Name
    """Backbone, or a folder of safetensors."""

    def run(self) -> None:
        from mvdiff.weights.folders import read_shapes

        folder = _folder(self.name)
        networks = sorted({path.parent for path in folder.rglob("*.safetensors")})
        if not networks:
            raise InputError(f"There are no safetensors below '{folder}': pull or convert the weights first.")
        shapes = {place.relative_to(folder).as_posix(): read_shapes(place) for place in networks}
        print(json.dumps(shapes, indent=1))


@dataclass(frozen=True)
class Convert:
    """Convert a pickle to safetensors, after its hash was checked and without running any code in it."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """Checkpoint (.bin, .ckpt, .pt or .pth) to convert."""
    sha256: str
    """SHA-256 that the file must have, as its publisher states it."""
    output: Path
    """File of safetensors to write."""
    prefix: str = ""
    """Start of the names to keep, which is removed, such as "lrm_generator."; by default all are kept."""

    def run(self) -> None:
        from mvdiff.weights.convert import convert

        if self.output.suffix != ".safetensors":
            raise InputError(f"The output is a .safetensors file, not '{self.output}'.")
        shapes = convert(self.file, self.sha256, self.output, self.prefix)
        say(f"{self.output}: {len(shapes)} tensors")


def _folder(name: str) -> Path:
    """Folder of a backbone's weights, or the folder itself."""
    from mvdiff.weights import packing
    from mvdiff.weights.pulled import pulled_folder

    if is_folder(Path(name)):
        return Path(name)
    row = catalog.find(name)
    folder = pulled_folder(name) if row.parts else packing.resolve(name)
    if not is_folder(folder):
        raise InputError(f"The weights of {name} are not on this machine: run `mvdiff models pull {name}`.")
    return folder


@dataclass(frozen=True)
class Command:
    """Weights of published backbones. Other verbs never download anything."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Pull, tyro.conf.subcommand("pull")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
        | Annotated[Keys, tyro.conf.subcommand("keys")]
        | Annotated[Convert, tyro.conf.subcommand("convert")]
    ]

    def run(self) -> None:
        self.action.run()
