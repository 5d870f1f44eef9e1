"""``mvdiff batch``: any number of photos, on one machine or a cluster."""

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import tyro

from mvdiff.batch.config import BatchConfig, Crew, parse_keep
from mvdiff.cli.model_choice import Calibration, Generation, ModelChoice
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import GenerationConfig, Preset
from recon.core.errors import InputError


@dataclass(frozen=True)
class Command:
    """Turn many photos into run folders, a table (summary.parquet) and an index (index.html).

    The same command goes on where it was stopped, and makes only what is missing. A photo that cannot be used is a row
    of failures.parquet.
    """

    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    """Folder of pictures, .txt or .csv listing, .tar shards (shard-{000..099}.tar) or .parquet files with paths, URLs
    or bytes: a path or an fsspec URL (s3://, gs://, https://)."""
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder or fsspec URL of the results."""
    keep: Annotated[str, tyro.conf.arg(metavar="NAMES")] = "all"
    """Files to keep of each run: "all", or some of glb,summary,report,views,posterior,photo."""
    column: str | None = None
    """Column of a table that holds the photos; by default photo, image, url, path or file."""
    retry_failed: bool = False
    """Try photos again that could not be used in an earlier run."""
    crew: Annotated[Crew, tyro.conf.arg(name="workers"), tyro.conf.OmitArgPrefixes] = field(default_factory=Crew)
    config: Generation = field(default_factory=GenerationConfig)
    model: Annotated[ModelChoice, tyro.conf.OmitArgPrefixes] = field(default_factory=ModelChoice)
    preset: Preset = "default"
    """Quality of the reconstruction; "fast" is a draft, "quality" a finer grid. Both are uncalibrated."""
    calibration: Calibration = "default"
    """Calibration to apply: a file, "none", or "default" (the one shipped with the weights)."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        from mvdiff.batch.driver import run_batch

        self.config.check()
        config = BatchConfig(self.photos, self.out, self._setup(), self.column, self.retry_failed, self.crew)
        result = run_batch(config, lambda text: None if self.json else say(text))
        if self.json:
            print(json.dumps(_record(result), allow_nan=False))
        else:
            say(_sentence(result, self.out))

    def _setup(self) -> dict[str, Any]:
        """Settings of the workers, which may run on other machines."""
        model = asdict(self.model)
        chunk_size, license_id = model.pop("chunk_size"), model.pop("accept_license")
        if chunk_size is not None and chunk_size < 1:
            raise InputError(f"--chunk-size is at least 1, not {chunk_size}.")
        if license_id is not None:
            from mvdiff.weights import licenses

            licenses.accept(license_id)
        paths = {name: model[name] and str(model[name]) for name in ("lora", "reconstructor_weights")}
        model |= {**paths, "preset": self.preset, "calibration": self.calibration}
        keep = parse_keep(self.keep)
        return {"model": model, "config": asdict(self.config), "keep": list(keep), "chunk_size": chunk_size}


def _record(result: Any) -> dict[str, Any]:
    tally, working = asdict(result.tally), result.tally.working
    return {"made": tally, "working": working and round(working, 4), "folder": asdict(result.totals)}


def _sentence(result: Any, out: str) -> str:
    tally, totals = result.tally, result.totals
    lines = [
        f"{out}: {totals.done:,} results ({tally.done:,} made now), {totals.failed:,} failures, "
        f"{totals.bytes / 1e6:,.1f} MB; open {out.rstrip('/')}/index.html"
    ]
    if tally.done:
        per = tally.wall / tally.done
        lines.append(f"  {per:.2f} s a photo, {tally.workers} workers, {tally.working or 0:.0%} of their time at work")
    if tally.deaths:
        lines.append(f"  note: workers ended unexpectedly {tally.deaths} times; their photos were made again.")
    if totals.failed:
        lines.append(f"  note: {out.rstrip('/')}/failures.parquet says why photos failed.")
    return "\n".join(lines)
