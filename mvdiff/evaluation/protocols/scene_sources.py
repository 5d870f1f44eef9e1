"""Held-out procedural scenes as cases with exact truth."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.scenes.frame import PHOTO_DEPTH, photo_frame, photo_median
from mvdiff.data.scenes.make import make_scene
from mvdiff.data.scenes.record import Role, SceneConfig, SceneRecord, record_scene
from mvdiff.data.scenes.render import SceneRenderer
from mvdiff.data.scenes.scene import Scene, Split
from mvdiff.evaluation.protocols.scene_baselines import KnownScene
from mvdiff.evaluation.protocols.scene_case import Hidden, SceneCase, in_photo_frame
from recon.core.cameras import Cameras
from recon.core.views import ViewSet

#: Seeds of the evaluation; those of training and calibration lie elsewhere.
FIRST_SEED = 3_000_000
FIRST_CALIBRATION_SEED = 3_500_000
_ROLES = {Role.PHOTO: "photo", Role.SPHERE: "sphere", Role.PATH: "path"}


@dataclass(frozen=True)
class SceneJob:
    """One scene to be made, cheap to send to a process."""

    kind: str
    seed: int
    stations: int = 1
    split: Split = "held_out"

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.seed}"

    def make(self) -> SceneCase:
        scene = self._scene()
        record = record_scene(scene, self.seed, SceneConfig(places=self.stations + 1))
        case = case_of(record, self.name)
        return replace(case, hidden=self._hidden(scene, record, case.cameras))

    def known(self) -> KnownScene:
        """The same scene as one that can be looked at from anywhere."""
        scene = self._scene()
        record = record_scene(scene, self.seed, SceneConfig(places=1))
        return KnownScene(record.views().rgb[0, 0], _Look.of(scene, record))

    def _scene(self, hidden: str | None = None) -> Scene:
        return make_scene(self.kind, self.seed, self.split, hidden=hidden)

    def _hidden(self, scene: Scene, record: SceneRecord, cameras: Cameras) -> Hidden | None:
        if scene.hidden is None:
            return None
        shares = {str(value): share for value, share in scene.hidden.condition().atoms}
        views = {value: _Look.of(self._scene(value), record)(cameras) for value in shares}
        return Hidden(scene.hidden.name, str(scene.hidden.value), shares, views)


def jobs(
    kinds: tuple[str, ...], count: int, stations: int = 1, first: int = FIRST_SEED, split: Split = "held_out"
) -> list[SceneJob]:
    return [SceneJob(kinds[k % len(kinds)], first + k, stations, split) for k in range(count)]


@dataclass(frozen=True)
class _Look:
    """Views of a scene by cameras of its photo's frame and unit."""

    scene: Scene
    from_photo: Float[Tensor, "4 4"]
    median: float

    @staticmethod
    def of(scene: Scene, record: SceneRecord) -> "_Look":
        views = record.views()
        assert views.depth is not None
        frame = photo_frame(views.cameras.c2w[0, 0])
        return _Look(scene, torch.linalg.inv(frame), float(photo_median(views.depth[0, 0, 0])))

    def __call__(self, cameras: Cameras) -> ViewSet:
        scale = self.median / PHOTO_DEPTH
        c2w = cameras.c2w.clone()
        c2w[:, :3, 3] *= scale
        seen = SceneRenderer(self.scene).views(replace(cameras, c2w=self.from_photo @ c2w))
        rgb, normal = (x.movedim(-1, 1)[None] for x in (seen.rgb, seen.normal @ self.from_photo[:3, :3]))
        alpha, depth = (x[None, :, None] for x in (seen.alpha, seen.depth / scale))
        return ViewSet(rgb, alpha, cameras.reshape(1, -1), normal, depth)


def case_of(record: SceneRecord, name: str) -> SceneCase:
    """The first place's photo, the sphere and path around it, then those of each further place, the photo again."""
    roles = [_ROLES[Role(int(r))] for r in record.role]
    photo = roles.index("photo")
    kept = [k for k, role in enumerate(roles) if k == photo or role != "photo"]
    stations = [int(record.place[k]) for k in kept]
    views = in_photo_frame(record.views(), photo).select_views([*kept, photo])
    last = (*(roles[k] for k in kept), "revisit")
    return SceneCase(
        name=name,
        kind=record.kind,
        truth=views,
        photo=views.rgb[0, 0],
        roles=last,
        stations=(*stations, max(stations) + 1),
        seed=record.seed,
    )
