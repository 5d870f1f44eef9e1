"""Hypotheses from meshes of any origin: registered to the photo, weighted by how well they show what it shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.posterior.hypothesis import Hypothesis
from recon.posterior.weighting import weigh_by_photo
from recon.registration import FrameChoice, Placed, Registration, RegistrationConfig, place
from recon.registration.matching import Encoder

#: Overlap of the silhouettes below which a mesh is suspected to show another object. Of 30 scans the right ones reach
#: 0.94 or more; of meshes of other objects 70 % stay below.
LEAST_OVERLAP = 0.85
#: Overlap that at least one mesh must reach.
_REFUSED = 0.7
#: Confidence below which the pose of a mesh counts as ambiguous.
SURE = 0.8
UNCALIBRATED = "Uncalibrated: no calibration is known for meshes that were made elsewhere."


@dataclass(frozen=True)
class MeshHypotheses:
    """Hypotheses in the photo's frame, with their registrations and what a reader must know of them."""

    hypotheses: tuple[Hypothesis, ...]
    placed: Placed
    warnings: tuple[str, ...]


def hypotheses_of_meshes(
    meshes: Sequence[TexturedMesh],
    rgba: Float[Tensor, "4 s s"],
    frame: FrameChoice = "auto",
    names: Sequence[str] | None = None,
    weighting: Literal["photo", "uniform"] = "photo",
    config: RegistrationConfig | None = None,
    encoder: Encoder | None = None,
    done: Callable[[int], None] | None = None,
) -> MeshHypotheses:
    """Register meshes to a photo and weigh them by it.

    Args:
        meshes: Meshes of any size and place, in the axes of their files.
        rgba: The cut-out square photo, sRGB with straight alpha.
        frame: Axes of the meshes: "auto" tries every up axis; "photo" means +Y up and photographed from +Z.
        names: Names of the meshes in warnings and errors.
        weighting: "photo" weighs by the likelihood of silhouette and color, "uniform" gives each mesh the same weight.
        config: Settings of the registration.
        encoder: Features of pictures, compared beside silhouettes and colors.
        done: Called with the number of meshes that are registered.

    Raises:
        InputError: There is no mesh, one has no faces, or none shows the photo's object.
    """
    if not meshes:
        raise InputError("A posterior needs at least one mesh: name one.")
    names = names or [f"mesh {k}" for k in range(len(meshes))]
    placed = place(meshes, rgba, frame, config, encoder, done)
    strange = [k for k, r in enumerate(placed.registrations) if r.overlap < LEAST_OVERLAP]
    best = max(r.overlap for r in placed.registrations)
    if best < _REFUSED:
        raise InputError(
            f"No mesh fits the photo (silhouettes overlap by {best:.0%} at most): give meshes of the object in it."
        )
    elevations = placed.cameras.elevation.tolist()
    found = [
        Hypothesis(mesh, seed=k, elevation=elevation)
        for k, (mesh, elevation) in enumerate(zip(placed.meshes, elevations, strict=True))
    ]
    if weighting == "photo":
        found = weigh_by_photo(found, rgba, placed.cameras.cameras(rgba.shape[-1])).of(found)
    notes = [_strange(names[k], placed.registrations[k]) for k in strange]
    notes += [
        _ambiguous(names[k], r) for k, r in enumerate(placed.registrations) if r.confidence < SURE and k not in strange
    ]
    return MeshHypotheses(tuple(found), placed, (*notes, UNCALIBRATED))


def _strange(name: str, found: Registration) -> str:
    return (
        f"The mesh '{name}' fits the photo badly (silhouettes overlap by {found.overlap:.0%}): is it of another object?"
    )


def _ambiguous(name: str, found: Registration) -> str:
    other = found.to_dict()["runner_up"]
    return (
        f"The direction of '{name}' is not certain ({found.confidence:.0%}): it looks much the same from azimuth "
        f"{other['azimuth']:.0f}°, elevation {other['elevation']:.0f}° with {other['up'].replace('_', ' ')}."
    )
