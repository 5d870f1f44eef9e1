"""The interactive 3D figures: light meshes for plotly."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.io.meshes.atlas import vertex_colors
from recon.io.meshes.glb import uncertainty_colors
from recon.ops.parallel import in_threads
from recon.posterior import Hypothesis, Posterior
from recon.report.pictures import ramp, scale_of
from recon.surface.decimate import decimate_with_index

FACES = 4000
#: Shared by all hypotheses of the linked figure: many hypotheses are each shown more coarsely.
ALL_FACES = 32_000
_LEAST_FACES = 800
_GRAY = (0.72, 0.72, 0.72)


def scene(posterior: Posterior) -> dict[str, Any]:
    """Traces of the representative, the median and the band with their labels, all but the first hidden."""
    shapes = {"Representative": lambda: posterior.representative, "Median shape": lambda: posterior.median}
    for side, field in zip(("outer", "inner"), posterior.band_distances(posterior.coverage), strict=True):
        shapes[f"{posterior.coverage:.0%} band, {side} side"] = partial(posterior.grid.surface, field)
    lights = in_threads(lambda shape: _light(shape(), FACES), list(shapes.values()))
    shown = {label: light for label, light in zip(shapes, lights, strict=True) if len(light.mesh)}
    traces = [_spread_trace(shown["Representative"]), *map(_color_trace, shown.values())]
    for index, trace in enumerate(traces):
        trace["visible"] = index == 0
    return {"labels": ["Uncertainty", *shown], "traces": traces}


def linked(posterior: Posterior, hypotheses: Sequence[Hypothesis]) -> dict[str, Any]:
    """All hypotheses to be turned together: traces with the colors of the mesh and, beside them, of its spread."""
    faces = max(min(ALL_FACES // len(hypotheses), FACES), _LEAST_FACES)
    most = scale_of(posterior.representative.attributes["uncertainty"])

    def drawn(index: int) -> tuple[dict[str, Any], list[str]]:
        light = _light(hypotheses[index].mesh, faces)
        share = posterior.uncertainty_of(light.full, index)[light.source] / most
        return _color_trace(light), _hexed(ramp(share.clamp(0, 1).numpy()))

    traces, spreads = (list(each) for each in zip(*in_threads(drawn, range(len(hypotheses))), strict=True))
    labels = [f"#{k} · {float(weight):.0%}" for k, weight in enumerate(posterior.weights)]
    return {"labels": labels, "traces": traces, "spreads": spreads}


def colorscale() -> list[list[float | str]]:
    """The ramp of spreads, as plotly takes it."""
    ramp = uncertainty_colors()
    return [[float(stop), "rgb({},{},{})".format(*ramp[round(stop * 255)])] for stop in np.linspace(0, 1, 17)]


@dataclass(frozen=True)
class _Light:
    """A mesh as plotly draws it."""

    full: TexturedMesh
    mesh: TexturedMesh
    source: Int[Tensor, "k"]
    """For each vertex, the vertex of ``full`` whose values it takes."""


def _light(mesh: TexturedMesh, faces: int) -> _Light:
    return _Light(mesh, *decimate_with_index(mesh, faces))


def _spread_trace(light: _Light) -> dict[str, Any]:
    values = light.full.attributes["uncertainty"]
    return _geometry(light.mesh) | {
        "intensity": _packed(values[light.source].numpy()),
        "cmin": 0,
        "cmax": scale_of(values),
        "colorscale": colorscale(),
        "colorbar": {
            "title": {"text": "spread"},
            "orientation": "h",
            "y": 0,
            "thickness": 10,
            "len": 0.6,
            "tickformat": ".3~f",
        },
    }


def _color_trace(light: _Light) -> dict[str, Any]:
    return _geometry(light.mesh) | {"vertexcolor": _hexed(_colors(light.full)[light.source.numpy()])}


def _geometry(mesh: TexturedMesh) -> dict[str, Any]:
    x, y, z = (_packed(axis) for axis in mesh.vertices.numpy().T)
    i, j, k = (_packed(axis) for axis in mesh.faces.numpy().T)
    return {
        "type": "mesh3d",
        "x": x,
        "y": y,
        "z": z,
        "i": i,
        "j": j,
        "k": k,
        "hoverinfo": "skip",
        "lighting": {"ambient": 0.55, "diffuse": 0.6, "specular": 0.05, "roughness": 0.9},
        "lightposition": {"x": 2e3, "y": 4e3, "z": 4e3},
    }


def _colors(mesh: TexturedMesh) -> UInt8[np.ndarray, "k 3"]:
    colors = vertex_colors(mesh)
    colors = torch.tensor(_GRAY).expand(len(mesh.vertices), 3) if colors is None else colors
    return (colors.clamp(0, 1) * 255).round().byte().numpy()


def _hexed(colors: UInt8[np.ndarray, "k 3"]) -> list[str]:
    digits = colors.tobytes().hex()
    return [f"#{digits[start : start + 6]}" for start in range(0, len(digits), 6)]


def _packed(values: np.ndarray) -> dict[str, str]:
    """plotly.js's base64 form of a typed array."""
    if np.issubdtype(values.dtype, np.floating):
        kind = "f4"
    else:
        kind = "u2" if len(values) == 0 or values.max() < 1 << 16 else "i4"
    typed = np.ascontiguousarray(values, dtype=f"<{kind}")
    return {"dtype": kind, "bdata": base64.b64encode(typed.tobytes()).decode()}
