"""The interactive 3D figure: light meshes for plotly."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recon.decimate import decimated
from recon.io.atlas import vertex_colors
from recon.io.glb import uncertainty_colors
from recon.mesh import TexturedMesh
from recon.posterior import Hypothesis, Posterior
from recon.report.pictures import scale_of

FACES = 4000
#: Hypotheses beyond this many are in the gallery only: the page stays light.
MAX_HYPOTHESES = 12
_GREY = (0.72, 0.72, 0.72)


def scene(posterior: Posterior, hypotheses: Sequence[Hypothesis]) -> dict[str, Any]:
    """Traces with their labels, all but the first hidden."""
    representative = posterior.representative
    labelled = [
        ("Uncertainty", _spread_trace(representative)),
        ("Representative", _colour_trace(representative)),
    ]
    if len(posterior.median):
        labelled.append(("Median shape", _colour_trace(posterior.median)))
    tail = (1 - posterior.coverage) / 2
    for level in (tail, 1 - tail):  # between them lies the stated share of the surface
        shell = posterior.shell(level)
        if len(shell):
            labelled.append((f"{level:.0%} shell", _colour_trace(shell)))
    labelled += [(f"#{k}", _colour_trace(h.mesh)) for k, h in enumerate(hypotheses[:MAX_HYPOTHESES])]
    for index, (_, trace) in enumerate(labelled):
        trace["visible"] = index == 0
    return {"labels": [label for label, _ in labelled], "traces": [trace for _, trace in labelled]}


def _spread_trace(mesh: TexturedMesh) -> dict[str, Any]:
    light, source = decimated(mesh, FACES)
    values = mesh.attributes["uncertainty"]
    ramp = uncertainty_colors()
    stops = np.linspace(0, 1, 17)
    return _trace(light) | {
        "intensity": _packed(values[source].numpy()),
        "cmin": 0,
        "cmax": scale_of(values),
        "colorscale": [[float(s), "rgb({},{},{})".format(*ramp[round(s * 255)])] for s in stops],
        "colorbar": {
            "title": {"text": "spread"},
            "orientation": "h",
            "y": 0,
            "thickness": 10,
            "len": 0.6,
            "tickformat": ".3~f",
        },
    }


def _colour_trace(mesh: TexturedMesh) -> dict[str, Any]:
    light, source = decimated(mesh, FACES)
    colors = vertex_colors(mesh)
    colors = torch.tensor(_GREY).expand(len(mesh.vertices), 3) if colors is None else colors
    values = (colors[source].clamp(0, 1) * 255).round().byte().numpy()
    return _trace(light) | {"vertexcolor": ["#{:02x}{:02x}{:02x}".format(*color) for color in values]}


def _trace(mesh: TexturedMesh) -> dict[str, Any]:
    x, y, z = (_packed(axis) for axis in mesh.vertices.numpy().T)
    i, j, k = (_packed(axis) for axis in mesh.faces.numpy().T)
    light = {"ambient": 0.55, "diffuse": 0.6, "specular": 0.05, "roughness": 0.9}
    return {
        "type": "mesh3d",
        "x": x,
        "y": y,
        "z": z,
        "i": i,
        "j": j,
        "k": k,
        "hoverinfo": "skip",
        "lighting": light,
        "lightposition": {"x": 2e3, "y": 4e3, "z": 4e3},
    }


def _packed(values: np.ndarray) -> dict[str, str]:
    """plotly.js's base64 form of a typed array."""
    floating = np.issubdtype(values.dtype, np.floating)
    typed = np.ascontiguousarray(values, dtype="<f4" if floating else "<i4")
    return {"dtype": "f4" if floating else "i4", "bdata": base64.b64encode(typed.tobytes()).decode()}
