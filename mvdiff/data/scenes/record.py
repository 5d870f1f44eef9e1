"""Records of scenes: what a few places of a scene look like, as training reads it."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float16, Float32, Int8, Int64, UInt8

from mvdiff.data.scenes.cameras import SPHERE_VIEWS, Director, Pose, Role, cameras_of, good_photo, sphere_rig
from mvdiff.data.scenes.frame import photo_median
from mvdiff.data.scenes.render import SceneRenderer, SceneViews
from mvdiff.data.scenes.scene import Scene, Split
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet

#: Pixels of the trial pictures that tell whether a camera shows anything.
_TRIAL = 24
_TRIES = 8


@dataclass(frozen=True)
class SceneConfig:
    """Views of a record."""

    size: int = 128
    """Pixels of a picture's side."""
    places: int = 2
    """Places in a scene where a photo is taken; each has its sphere of eight views."""
    photos: int = 1
    """Photos taken at each place."""
    paths: int = 5
    """Views around each place, .3 to 1.5 median depths of its photo away."""

    def __post_init__(self) -> None:
        least = {"size": 16, "places": 1, "photos": 1, "paths": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} of a scene's record is at least {low}, not {getattr(self, name)}.")

    @property
    def views(self) -> int:
        return self.places * (self.photos + SPHERE_VIEWS + self.paths)


@dataclass(frozen=True)
class SceneRecord:
    """Views of one scene: for each place its photos, then its sphere, then its path views."""

    rgba: UInt8[np.ndarray, "v 4 h w"]
    """Lit sRGB; alpha is 255 on surfaces, 0 at the sky, which keeps its color."""
    normal: Int8[np.ndarray, "v 3 h w"]
    """Unit normals in the scene's axes times 127, towards the camera; of the ray through the pixel's center."""
    depth: Float16[np.ndarray, "v h w"]
    """z-depth in meters of that ray, 0 at the sky."""
    c2w: Float32[np.ndarray, "v 4 4"]
    """OpenCV cameras in the scene's world, +Y up."""
    intrinsics: Float32[np.ndarray, "v 3 3"]
    place: Int64[np.ndarray, "v"]
    """Number of the place at which, or around which, the camera stands."""
    role: UInt8[np.ndarray, "v"]
    """:class:`Role` of each view."""
    kind: str
    hidden: dict[str, str] = field(default_factory=dict)
    """Attribute that the photos of place 0 cannot show, and its value."""
    seed: int = 0
    split: Split = "train"

    def __len__(self) -> int:
        return len(self.rgba)

    @property
    def cameras(self) -> Cameras:
        size = self.rgba.shape[-1]
        return Cameras(torch.from_numpy(self.c2w), torch.from_numpy(self.intrinsics), size, size)

    def views(self) -> ViewSet:
        """As one hypothesis [1 v]."""
        rgba, normal = (torch.from_numpy(a).float()[None] for a in (self.rgba, self.normal))
        normal = torch.nn.functional.normalize(normal, dim=2)
        depth = torch.from_numpy(self.depth).float()[None, :, None]
        rgb, alpha = (rgba / 255).split([3, 1], 2)
        return ViewSet(rgb, alpha, self.cameras.reshape(1, len(self)), normal, depth)


def record_scene(scene: Scene, seed: int, config: SceneConfig | None = None) -> SceneRecord:
    """Look at a scene from cameras that depend on ``seed``."""
    config = config or SceneConfig()
    photographer = _Photographer(scene, seed, config)
    poses, places, roles = photographer.poses()
    cameras = cameras_of(poses, config.size)
    seen = photographer.renderer.views(cameras)
    return SceneRecord(
        *_packed(seen),
        c2w=cameras.c2w.numpy(),
        intrinsics=cameras.intrinsics.numpy(),
        place=np.array(places, np.int64),
        role=np.array(roles, np.uint8),
        kind=scene.kind,
        hidden={} if scene.hidden is None else {scene.hidden.name: str(scene.hidden.value)},
        seed=scene.seed,
        split=scene.split,
    )


class _Photographer:
    """Chooses cameras by trial pictures."""

    def __init__(self, scene: Scene, seed: int, config: SceneConfig) -> None:
        self.config, self.renderer = config, SceneRenderer(scene)
        self.director = Director(scene, np.random.default_rng([seed, 11]))

    def poses(self) -> tuple[list[Pose], list[int], list[Role]]:
        poses: list[Pose] = []
        places: list[int] = []
        roles: list[Role] = []
        position, median = None, 0.0
        for place in range(self.config.places):
            photos, own = self._photos(position, median)
            median = own if place == 0 else median
            position = photos[0].position if place == 0 else position
            around = [*photos, *self._sphere(photos[0]), *self._paths(photos[0], own)]
            poses += around
            places += [place] * len(around)
            roles += [Role.PHOTO] * len(photos) + [Role.SPHERE] * SPHERE_VIEWS + [Role.PATH] * self.config.paths
        return poses, places, roles

    def _photos(self, center: tuple[float, float, float] | None, median: float) -> tuple[list[Pose], float]:
        """Photos of a new place, and the first one's median depth: the best of a few tries."""
        best: tuple[float, list[Pose], float] | None = None
        for _ in range(_TRIES):
            position = self.director.first_place() if center is None else self.director.next_place(center, median)
            photos = [self.director.photo(position, center is None) for _ in range(self.config.photos)]
            depth = self.renderer.depth(cameras_of(photos, _TRIAL))
            good = sum(map(good_photo, depth)) / len(photos)
            if best is None or good > best[0]:
                best = good, photos, float(photo_median(depth[0]))
            if good == 1:
                break
        return best[1], best[2]

    def _sphere(self, photo: Pose) -> list[Pose]:
        return sphere_rig(photo.position, float(self.director.rng.uniform(0, 360)))

    def _paths(self, photo: Pose, median: float) -> list[Pose]:
        """Twice as many as needed, those that show something first."""
        wanted = self.config.paths
        if not wanted:
            return []
        poses = self.director.path(photo.position, photo.yaw, median, 2 * wanted)
        depth = self.renderer.depth(cameras_of(poses, _TRIAL))
        order = sorted(range(len(poses)), key=lambda k: not good_photo(depth[k]))
        return [poses[k] for k in sorted(order[:wanted])]


def _packed(
    seen: SceneViews,
) -> tuple[UInt8[np.ndarray, "v 4 h w"], Int8[np.ndarray, "v 3 h w"], Float16[np.ndarray, "v h w"]]:
    rgba = torch.cat([seen.rgb, seen.alpha[..., None]], -1).clamp(0, 1).mul_(255).round_().byte()
    normal = seen.normal.mul(127).round_().to(torch.int8)
    pictures = (a.permute(0, 3, 1, 2).contiguous().numpy() for a in (rgba, normal))
    return (*pictures, seen.depth.half().numpy())


def record_arrays(config: SceneConfig) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Type and shape of each array of a record."""
    v, s = config.views, config.size
    return {
        "rgba": (np.uint8, (v, 4, s, s)), "normal": (np.int8, (v, 3, s, s)), "depth": (np.float16, (v, s, s)),
        "c2w": (np.float32, (v, 4, 4)), "intrinsics": (np.float32, (v, 3, 3)), "place": (np.int64, (v,)),
        "role": (np.uint8, (v,)),
    }  # fmt: skip
