"""Bodies of requests to the API, as its OpenAPI page shows them."""

from typing import Annotated, Literal, get_args

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mvdiff.reconstructors.names import ReconstructorName
from mvdiff.sampling.generation import Framing, Preset
from mvdiff.sampling.scene_settings import ScenePreset
from recon.io.export import FORMATS

Format = Literal["glb", "obj", "ply", "usdz", "stl", "3mf", "points", "splats", "grid", "views"]
assert {*FORMATS, "views"} == set(get_args(Format)), "a format of recon.io.export is missing here"
Seed = Annotated[int, Field(ge=0, lt=1 << 48)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(_Body):
    """Settings of a generation."""

    num_hypotheses: int = Field(4, ge=1, description="Number of objects to sample.")
    seed: Seed = Field(0, description="Seed of the run.")
    backbone: str = Field("embedded", max_length=100, description="Source of the views, see GET /api/choices.")
    reconstructor: ReconstructorName = Field("fusion", description="Way from views to shapes, see GET /api/choices.")
    num_inference_steps: int | None = Field(None, ge=1, le=200, description="Denoising steps; None is the backbone's.")
    guidance_scale: float | None = Field(None, ge=0, le=50, description="Scale of classifier-free guidance; 1 is none.")
    candidates: int | None = Field(None, ge=1, le=8, description="Candidates per hypothesis; the best one is kept.")
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


class Scene(_Body):
    """Sample scenes of an uploaded photo of a place."""

    kind: Literal["scene"]
    photo: str = Field(description="Id of an uploaded photo.")
    num_hypotheses: int = Field(2, ge=1, description="Number of scenes to sample.")
    stations: int = Field(0, ge=0, le=3, description="Further places from which views are sampled; experimental.")
    seed: Seed = Field(0, description="Seed of the run.")
    fov: float | None = Field(None, ge=5, le=150, description="Horizontal field of view of the photo in degrees.")
    camera_height: float | None = Field(None, ge=0.05, le=500, description="Height of the camera in meters.")
    num_inference_steps: int = Field(6, ge=1, le=200, description="Denoising steps.")
    preset: ScenePreset = Field("fast", description="Detail of meshes, panoramas and videos.")


class Derived(_Body):
    """Settings of a run that is made from a finished one."""

    run: str = Field(description="Name of a finished run.")
    resample: bool = Field(True, description="Sample new hypotheses; else only the weights of the old ones change.")
    num_hypotheses: int | None = Field(None, ge=1, description="Number of hypotheses; by default as before.")
    seed: Seed | None = Field(None, description="Seed of the new hypotheses; by default the old seed plus 1.")
    preset: Preset = Field("default", description="Quality of the reconstruction.")


class Feedback(Derived):
    """Sample more like the hypotheses that were kept."""

    kind: Literal["feedback"]
    keep: list[Annotated[int, Field(ge=0)]] = Field([], max_length=256, description="Hypotheses to keep.")
    reject: list[Annotated[int, Field(ge=0)]] = Field([], max_length=256, description="Hypotheses to reject.")
    strength: float = Field(0.7, gt=0, le=1, description="Strength of the change: near 0 repeats the kept ones.")


class Refine(Derived):
    """Condition a finished run on a second photo."""

    kind: Literal["refine"]
    photo: str = Field(description="Id of the second photo.")
    azimuth: float | None = Field(
        None, ge=-360, le=360, description="Degrees around the object, positive to the right; None estimates it."
    )
    elevation: float | None = Field(None, ge=-90, le=90, description="Elevation of the second camera, if known.")
    azimuth_tolerance: float = Field(5.0, ge=0, le=180, description="Uncertainty of a given azimuth in degrees.")


class Edit(Derived):
    """Condition a finished run on one of its sampled views that was painted over."""

    kind: Literal["edit"]
    hypothesis: int = Field(ge=0, description="Number of the hypothesis whose view it is.")
    view: int = Field(ge=0, description="Number of the view.")
    picture: str = Field(description="Id of the painted picture, see POST /api/runs/{name}/paintings.")


class NextView(_Body):
    """Plan from where the next photo would tell most."""

    kind: Literal["next_view"]
    run: str = Field(description="Name of a finished run.")


class Export(_Body):
    """Write one object of a finished run in another format."""

    kind: Literal["export"]
    run: str = Field(description="Name of a finished run.")
    hypothesis: int | None = Field(None, ge=0, description="Number of a hypothesis; by default the median shape.")
    format: Format = Field("glb", description="Format of the file; views are a zip of pictures and cameras.")
    size_mm: float = Field(100.0, gt=0, le=10_000, description="Longest side of a 3D print in millimeters.")

    @model_validator(mode="after")
    def _has_views(self) -> "Export":
        if self.format == "views" and self.hypothesis is None:
            raise ValueError("the median shape has no views: name a hypothesis")
        return self


class Select(_Body):
    """Find the object of an uploaded photo at a pixel, or in a box; its matte is replaced."""

    kind: Literal["select"]
    photo: str = Field(description="Id of an uploaded photo.")
    point: tuple[float, float] | None = Field(None, description="x and y in pixels from the upper left corner.")
    box: tuple[float, float, float, float] | None = Field(None, description="Left, top, right, bottom in pixels.")

    @model_validator(mode="after")
    def _one_place(self) -> "Select":
        if (self.point is None) == (self.box is None):
            raise ValueError("give either a point or a box")
        return self


#: Requests that name a finished run.
OfRun = Feedback | Refine | Edit | NextView | Export
Request = Annotated[
    Generate | Scene | Feedback | Refine | Edit | NextView | Export | Select, Field(discriminator="kind")
]
