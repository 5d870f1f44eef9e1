"""Batches of a stub job: the engine, the store and the readers are real."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the extra batch is not installed")
pytest.importorskip("tenacity", reason="the extra batch is not installed")

from mvdiff.batch.config import BatchConfig, Crew

STUB = "batch_stub:StubJob"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five files that the stub takes for photos."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.jpg", "more/a.png", "more/d.png"):
        (folder / name).write_text(f"photo {name}")
    return folder


@pytest.fixture
def batch(photos: Path, tmp_path: Path):
    """Settings of a batch of stubs."""

    def make(
        out: str | Path = tmp_path / "out", listing: str | Path = photos, workers: int = 2, **options
    ) -> BatchConfig:
        crew = Crew(workers=workers, cores_per_worker=1, patience=options.pop("patience", 20.0))
        setup = {"marks": str(tmp_path), **options.pop("setup", {})}
        return BatchConfig(str(listing), str(out), setup, crew=crew, worker=STUB, **options)

    return make


@pytest.fixture
def calls(tmp_path: Path):
    """Names of the photos on which work began, in order."""

    def read() -> list[str]:
        path = tmp_path / "calls"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    return read
