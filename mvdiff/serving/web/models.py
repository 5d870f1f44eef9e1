"""Bodies of requests and answers of the API, as its OpenAPI page shows them."""

from typing import Annotated, Any, Literal, get_args

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from mvdiff.sampling.generation import Framing, Preset
from mvdiff.serving.jobs import Job, Kind, State
from recon.io.export import FORMATS

Format = Literal["glb", "obj", "ply", "usdz", "stl", "3mf", "points", "splats", "grid"]
assert set(FORMATS) == set(get_args(Format)), "a format of recon.io.export is missing here"
Seed = Annotated[int, Field(ge=0, lt=1 << 48)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(_Body):
    """Settings of a generation."""

    num_hypotheses: int = Field(4, ge=1, description="Number of objects to sample.")
    seed: Seed = Field(0, description="Seed of the run.")
    num_inference_steps: int = Field(6, ge=1, le=200, description="Denoising steps.")
    guidance_scale: float = Field(3.0, ge=0, le=50, description="Scale of classifier-free guidance; 1 is none.")
    candidates: int = Field(2, ge=1, le=8, description="Candidates per hypothesis, of which the best one is kept.")
    elevation: float | None = Field(None, ge=-90, le=90, description="Elevation of the photo's camera, if known.")
    framing: Framing = Field("recentre", description='"keep" takes a full frame of a 40° lens aimed at the object.')
    preset: Preset = Field("default", description="Quality of the reconstruction.")


class Upload(Settings):
    """A photo and the settings of its generation, as one form."""

    photo: UploadFile = Field(description="The photo: PNG, JPEG, WebP, AVIF, TIFF or HEIF.")


class Generate(Settings):
    """Sample hypotheses of an uploaded photo."""

    kind: Literal["generate"]
    photo: str = Field(description="Id of an uploaded photo.")


class Feedback(_Body):
    """Sample more like the hypotheses that were kept."""

    kind: Literal["feedback"]
    run: str = Field(description="Name of a finished run.")
    keep: list[Annotated[int, Field(ge=0)]] = Field([], max_length=256, description="Hypotheses to keep.")
    reject: list[Annotated[int, Field(ge=0)]] = Field([], max_length=256, description="Hypotheses to reject.")
    strength: float = Field(0.7, gt=0, le=1, description="Strength of the change: near 0 repeats the kept ones.")
    num_hypotheses: int | None = Field(None, ge=1, description="Number of hypotheses, kept ones included.")
    seed: Seed | None = Field(None, description="Seed of the new hypotheses; by default the old seed plus 1.")
    preset: Preset = Field("default", description="Quality of the reconstruction.")


class Refine(_Body):
    """Condition a finished run on a second photo."""

    kind: Literal["refine"]
    run: str = Field(description="Name of a finished run.")
    photo: str = Field(description="Id of the second photo.")
    azimuth: float = Field(ge=-360, le=360, description="Degrees around the object, positive to the right.")
    elevation: float | None = Field(None, ge=-90, le=90, description="Elevation of the second camera, if known.")
    azimuth_tolerance: float = Field(5.0, ge=0, le=180, description="Uncertainty of the azimuth in degrees.")
    num_hypotheses: int | None = Field(None, ge=1, description="Number of hypotheses; by default as before.")
    seed: Seed | None = Field(None, description="Seed of the new hypotheses; by default the old seed plus 1.")
    preset: Preset = Field("default", description="Quality of the reconstruction.")


class Export(_Body):
    """Write one object of a finished run in another format."""

    kind: Literal["export"]
    run: str = Field(description="Name of a finished run.")
    hypothesis: int | None = Field(None, ge=0, description="Number of a hypothesis; by default the median shape.")
    format: Format = Field("glb", description="Format of the file.")
    size_mm: float = Field(100.0, gt=0, le=10_000, description="Longest side of a 3D print in millimeters.")


Request = Annotated[Generate | Feedback | Refine | Export, Field(discriminator="kind")]


class JobRecord(BaseModel):
    """A job in the API's answers."""

    id: str
    kind: Kind
    state: State
    run: str | None = Field(description="Name of the run that it fills.")
    request: dict[str, Any]
    stage: str = Field(description="Stage at work: sample, reconstruct, posterior, write or export.")
    done: int
    total: int
    ahead: int = Field(description="Number of jobs that are served earlier, while this one waits.")
    previews: list[int] = Field(description="Number of times that each preview picture was drawn.")
    files: list[str] = Field(description="Files to download, of an export.")
    notes: list[str]
    error: str | None
    created: float
    started: float | None
    ended: float | None
    seconds: dict[str, float] = Field(description="Seconds that each stage took.")

    @staticmethod
    def of(job: Job, ahead: int = 0) -> "JobRecord":
        known = {name: getattr(job, name) for name in JobRecord.model_fields if name != "ahead"}
        return JobRecord(**known, ahead=ahead)


class Matte(BaseModel):
    """Method that separated the object from its background."""

    method: str
    confidence: float = Field(description="0 (a guess) to 1 (the picture's own alpha channel).")
    warnings: list[str]


class PhotoRecord(BaseModel):
    """An uploaded photo."""

    id: str
    name: str
    width: int
    height: int
    matte: Matte
    corrected: bool = Field(description="Whether a user has corrected the matte.")


class RunRecord(BaseModel):
    """A run folder."""

    name: str
    complete: bool
    verb: str = Field(description="Command that made it: generate, refine, feedback, scene …")
    photo: str | None
    parent: str | None = Field(description="Name of the run that it was made from.")
    page: str | None = Field(description="File that shows the run.")
    thumbnail: str | None
    hypotheses: int = Field(description="Number of hypotheses that can be judged.")
    created: float


class RunDetails(RunRecord):
    """A run folder with its results."""

    files: list[str]
    summary: dict[str, Any] = Field(description="summary.json of the run.")


class Worker(BaseModel):
    """One worker process."""

    name: str
    state: Literal["starting", "ready", "working", "broken"]
    device: str | None
    backbone: str | None
    license: str | None
    error: str | None


class Information(BaseModel):
    """Version, workers and limits of this server."""

    version: str
    workers: list[Worker]
    formats: dict[str, str]
    limits: dict[str, float]
    seconds_per_hypothesis: float | None = Field(description="Mean of the latest jobs, where there were any.")


class Error(BaseModel):
    """An error: one sentence that says what to do."""

    error: str
