"""Settings of training on scenes: pool, groups of views, noise, loss."""

from dataclasses import dataclass, field

from mvdiff.data.scenes.augment import PhotoDefects


@dataclass
class SceneDataConfig:
    """The pool of recorded scenes that groups of views are drawn from."""

    capacity: int = 1500
    """Scenes in the pool at a time; workers replace the oldest while training runs."""
    first: int = 150
    """Scenes in the pool before training begins; the rest come while it runs."""
    held_out: int = 32
    """Scenes of held-out seeds, for validation."""
    workers: int = 0
    """Processes that build and record scenes; 0 records the whole pool before training and replaces nothing."""
    keep: str | None = None
    """File of safetensors that the pool begins with, where it is there, and is written to at the end; {process} in
    its name is the number of the process."""
    packs: list[str] = field(default_factory=list)
    """Mesh packs (glob patterns) whose furniture stands in the scenes, beside the procedural families."""
    seed: int = 1
    """Seed of the first scene; every process and every run of another seed sees other scenes."""


@dataclass
class SceneMixture:
    """Shares of the tasks that one network learns."""

    sphere: float = 0.5
    """A photo; its own geometry and all views around it are unknown."""
    station: float = 0.35
    """A photo with its geometry and known views, warped into new views."""
    known_rgb: float = 0.1
    """Colors of all views are known (panorama, video): geometry alone is learned."""
    two_photos: float = 0.05
    """Like a sphere, with a second photo."""


@dataclass
class SceneBatchConfig:
    """Composition of the groups of views that are drawn from the pool."""

    views: int = 8
    """Views of a group beside the photo."""
    memory: int = 5
    """Largest number of known views at a station; each of them and the photo is warped into the new views."""
    mixture: SceneMixture = field(default_factory=SceneMixture)
    path_views: float = 0.3
    """Share of spheres of which some views are replaced by views from a walk."""
    stations_on_spheres: float = 0.6
    """Share of stations whose new views are the sphere of another place; the rest are views from a walk."""
    stations_here: float = 0.3
    """Share of stations whose new views are the photo's own sphere, with the photo as the only known view."""
    mirror: float = 0.5
    """Share of groups that are mirrored, left to right."""
    exposure: float = 0.15
    """Spread of the log exponent (gamma) of a group's colors; gain and tint vary half as much."""
    augment_photo: float = 0.5
    """Share of photos with defects that the other views do not have."""
    defects: PhotoDefects = field(default_factory=PhotoDefects)


@dataclass
class WarpAugmentConfig:
    """Faults of the warp that sampling has and true depth has not."""

    drop: float = 0.1
    """Share of stations without any warp."""
    depth_scale: float = 0.03
    """Spread of the factor on each source view's depth."""
    shift: float = 0.3
    """Share of stations whose warp is shifted by a pixel."""
    erode: float = 0.4
    """Share of stations whose holes grow by a pixel."""


@dataclass
class SceneLossConfig:
    """Noise levels and weights of the objective."""

    sphere_shift: float = 6.0
    """Moves noise levels towards noise where a whole scene is invented."""
    sphere_std: float = 1.4
    """Spread of the logit-normal noise level of spheres."""
    station_shift: float = 3.0
    """Moves noise levels towards noise for stations, whose holes are small and local."""
    station_std: float = 1.0
    """Spread of the logit-normal noise level of stations."""
    drop_photo: float = 0.1
    """Share of groups whose photo is pure noise, for classifier-free guidance."""
    memory_exact: float = 0.5
    """Share of stations whose known views are given without noise; the others are lognormal(-3, 1.5) noisy."""
    memory_most: float = 0.3
    """Greatest noise level at which known views are given."""
    self_augment: float = 0.4
    """Share of stations whose known views are the network's own predictions from a noise level of at most .5."""
    alpha_weight: float = 1.0
    """Weight of the error of alpha, beside 1 of each color channel."""
    depth_weight: float = 2.0
    """Weight of the error of the depth code."""
    normal_weight: float = 0.5
    """Weight of the error of normals."""
    sky_depth_weight: float = 0.2
    """Factor on the depth's error at pixels of the sky."""
    warp: WarpAugmentConfig = field(default_factory=WarpAugmentConfig)


@dataclass
class SceneTrainingConfig:
    data: SceneDataConfig = field(default_factory=SceneDataConfig)
    batch: SceneBatchConfig = field(default_factory=SceneBatchConfig)
    loss: SceneLossConfig = field(default_factory=SceneLossConfig)
