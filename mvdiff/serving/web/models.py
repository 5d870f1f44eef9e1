"""Answers of the API, as its OpenAPI page shows them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from mvdiff.serving.choices import Choice
from mvdiff.serving.jobs import Job, Kind, State


class JobRecord(BaseModel):
    """A job in the API's answers."""

    id: str
    kind: Kind
    state: State
    run: str | None = Field(description="Name of the run that it fills.")
    request: dict[str, Any]
    stage: str = Field(description="Stage: load, sample, reconstruct, posterior, write, export, select or plan.")
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


class Painting(BaseModel):
    """A sampled view that was painted over."""

    id: str


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
    backbone: str | None = Field(description="Backbone that sampled it, where its manifest names one.")
    created: float


class RunDetails(RunRecord):
    """A run folder with its results."""

    files: list[str]
    summary: dict[str, Any] = Field(description="summary.json of the run.")
    next_view: dict[str, Any] | None = Field(description="next_view.json of the run, where it was planned.")


class Worker(BaseModel):
    """One worker process."""

    name: str
    state: Literal["starting", "ready", "working", "broken"]
    device: str | None
    backbone: str | None
    license: str | None
    error: str | None


class Seconds(BaseModel):
    """Expected seconds: per_step x hypotheses x steps x candidates + per_hypothesis[preset] x hypotheses."""

    per_step: float = Field(description="Seconds of one denoising step of one candidate.")
    per_hypothesis: dict[str, float] = Field(description="Seconds of all that follows sampling, by preset.")
    jobs: int = Field(description="Finished jobs behind these numbers; 0 for a stored measurement.")
    source: str = Field(description="Sentence that says where the numbers come from.")


class ChoiceRecord(BaseModel):
    """A backbone, a reconstructor, or the scene mode."""

    name: str
    title: str
    does: str = Field(description="What it can do.")
    license: str = Field(description="License of its weights.")
    mode: Literal["object", "scene"]
    available: bool
    install: str | None = Field(description="Command that makes it available.")
    defaults: dict[str, Any] = Field(description="Settings of sampling that suit it.")

    @staticmethod
    def of(choice: Choice) -> "ChoiceRecord":
        known = {name: getattr(choice, name) for name in ChoiceRecord.model_fields}
        return ChoiceRecord(**{**known, "defaults": dict(choice.defaults)})


class Choices(BaseModel):
    """Backbones, reconstructors and segmenter of a new run, with expected seconds."""

    backbones: list[ChoiceRecord]
    reconstructors: list[ChoiceRecord]
    segmenter: str = Field(description="What a click or a box is followed by: sam2, or color and edges.")
    seconds: dict[str, Seconds] = Field(description="By backbone, or backbone+reconstructor; unknown ones are absent.")


class Information(BaseModel):
    """Version, workers and limits of this server."""

    version: str
    workers: list[Worker]
    formats: dict[str, str]
    limits: dict[str, float]


class Error(BaseModel):
    """An error: one sentence that says what to do."""

    error: str
