"""report.html: the sampled objects, where they agree and where they differ. One file that needs no network."""

import html
import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from recon.io.folders import write_bytes
from recon.ops.parallel import in_threads
from recon.posterior import Hypothesis, Posterior
from recon.posterior.conditioning import uncertainty_record
from recon.posterior.next_view import NextView, NextViewConfig, next_view
from recon.rendering import Surface
from recon.report import pictures, statements
from recon.report.gallery import facts, figure, gallery, modes_note, table_row
from recon.report.next_view_map import centered_order, information_color, predicted, share_of_range
from recon.report.scenes import linked, scene

#: Coarser than the map of `mvdiff next-view`: every report computes it.
_CANDIDATES = NextViewConfig(azimuths=12, elevations=(0.0, 25.0, 50.0), draws=32)


def write_report(path: str | os.PathLike, posterior: Posterior, hypotheses: Sequence[Hypothesis], **contents) -> Path:
    """Write :func:`render_report`'s page atomically."""
    return write_bytes(path, render_report(posterior, hypotheses, **contents).encode())


def render_report(
    posterior: Posterior,
    hypotheses: Sequence[Hypothesis],
    photos: Mapping[str, Image.Image] | None = None,
    title: str = "Hypotheses",
    settings: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    view: NextView | None = None,
    novelty: Mapping[str, Any] | None = None,
    change: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML.

    Args:
        hypotheses: the posterior's hypotheses, in its order.
        photos: image by caption.
        settings: shown as they are.
        provenance: weights, hash, version; shown as they are.
        view: the best next photo; computed if it is not given.
        novelty: a record with the ``p_value`` of the photo.
        change: for a refined run, :func:`uncertainty_record` of the run ``before`` it and of that run ``reweighted``.
    """
    from plotly.offline import get_plotlyjs

    if len(hypotheses) != len(posterior):
        raise ValueError(f"The posterior is of {len(posterior)} hypotheses, not of these {len(hypotheses)}.")
    hypotheses = [hypothesis.to("cpu") for hypothesis in hypotheses]
    summary = posterior.summary()
    surfaces = in_threads(lambda hypothesis: Surface(hypothesis.mesh), hypotheses)
    *strips, spread = in_threads(
        lambda look: pictures.strip(pictures.render_sides(look)),
        [*surfaces, pictures.paint(posterior.representative)],
    )
    page = Template(resources.files("recon.report").joinpath("template.html").read_text("utf-8"))
    return page.substitute(
        title=html.escape(title),
        count=len(hypotheses),
        subtitle=f"{len(hypotheses)} plausible object{'s' if len(hypotheses) > 1 else ''} for one photo"
        + (" and further evidence." if change else "."),
        photos="".join(_photo(caption, picture) for caption, picture in (photos or {}).items()),
        facts=facts(summary),
        warnings="".join(f'<p class="warning">{html.escape(text)}</p>' for text in posterior.warnings),
        spread=spread,
        representative=posterior.representative_index,
        coverage=f"{posterior.coverage:.0%}",
        mean_spread=f"{summary['representative']['mean_uncertainty']:.4f}",
        top_spread=f"{pictures.scale_of(posterior.representative.attributes['uncertainty']):.3f}",
        max_spread=f"{summary['representative']['max_uncertainty']:.4f}",
        modes_note=modes_note(summary),
        gallery=gallery(posterior, summary, strips),
        probability=statements.probability(posterior),
        next_view=_next_view(posterior, surfaces, view),
        sections="".join(_section(*each) for each in pictures.sections(posterior)),
        views=_views(posterior),
        calibration=statements.calibration(summary["calibration"]),
        sources=statements.sources(posterior, summary, novelty),
        convergence=statements.convergence(summary["convergence"]),
        convergence_data=_script_json(statements.convergence_traces(summary["convergence"])),
        change=statements.changed(change, uncertainty_record(posterior)) if change else "",
        table="".join(table_row(k, posterior, summary) for k in range(len(hypotheses))),
        settings=statements.definitions(settings or {}),
        provenance=statements.definitions(provenance or {}),
        scene=_script_json(scene(posterior)),
        linked=_script_json(linked(posterior, hypotheses)),
        volume=_script_json(_volume(posterior)),
        plotly=get_plotlyjs(),
    )


def _next_view(posterior: Posterior, surfaces: Sequence[Surface], view: NextView | None) -> str:
    """The map as a table, and what each hypothesis predicts from the best direction."""
    if len(surfaces) < 2:
        return ""
    view = view or next_view(surfaces, posterior.weights, config=_CANDIDATES)
    azimuth, elevation = view.best
    order = centered_order(view)
    ranks = {place: rank for rank, place in enumerate(view.chosen, 1)}
    angles = [(float(view.azimuths[column]) + 180) % 360 - 180 for column in order]
    head = "".join(f"<th scope='col'>{'photo' if angle == 0 else f'{angle:+.0f}°'}</th>" for angle in angles)
    rows = []
    for row in sorted(range(len(view.elevations)), key=lambda each: -float(view.elevations[each])):
        cells = []
        for column in order:
            bits = float(view.information[row, column])
            color = information_color(share_of_range(view, bits))
            ink = "#1c1d20" if sum(color) > 380 else "#fff"
            rank = ranks.get((row, column))
            mark = f"<sup>{rank}</sup>" if rank else ""
            style = f"background:rgb{color};color:{ink}".replace(" ", "")
            cells.append(f"<td style='{style}'{' class=chosen' if rank else ''}>{bits:.2f}{mark}</td>")
        rows.append(f"<tr><th scope='row'>{float(view.elevations[row]):.0f}°</th>{''.join(cells)}</tr>")
    tiles = "".join(
        figure(pictures.data_uri(tile), f"#{k}", "tile") for k, tile in enumerate(predicted(view, surfaces))
    )
    return (
        "<section><h2>The best next photo</h2>"
        f"<p>From azimuth <b>{azimuth:.0f}°</b>, elevation <b>{elevation:.0f}°</b> a photo is expected to settle "
        f"{view.cumulative[0]:.2f} of the {view.entropy:.2f} bits that are open about which hypothesis is true; from a "
        f"random direction, {float(view.information.mean()):.2f}. This assumes that one of them is true; otherwise it "
        "carries less information. Azimuths are measured from the photo, positive to the right around the object. "
        "Numbers mark the further photos of the plan.</p>"
        f"<div class='scroll'><table class='map'><caption>Expected bits by elevation and azimuth</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<h3>What each hypothesis predicts there</h3><div class='tiles'>{tiles}</div></section>"
    )


def _volume(posterior: Posterior) -> dict[str, Any]:
    """Data of the sections' slider."""
    return {
        "size": posterior.grid.resolution,
        "probability": pictures.atlas(posterior.probability),
        "ramp": pictures.ramp(np.linspace(0, 1, 65)).tolist(),
    }


def _photo(caption: str, picture: Image.Image) -> str:
    picture = picture.convert("RGBA")
    picture.thumbnail((512, 512))
    return figure(pictures.data_uri(picture), caption, "photo")


def _section(name: str, probability: str, entropy: str) -> str:
    return (
        f"<div class='pair'><h3>{html.escape(name)}</h3><div class='two'>"
        f"{figure(probability, 'probability of inside')}{figure(entropy, 'entropy')}</div></div>"
    )


def _views(posterior: Posterior) -> str:
    if posterior.views is None:
        return ""
    columns = "".join(
        f"<div class='column'>{figure(mean, 'mean')}{figure(shape, 'silhouette')}{figure(color, 'color')}</div>"
        for mean, shape, color in pictures.view_maps(posterior.views)
    )
    return (
        "<section><h2>The sampled views</h2><p>Mean over the hypotheses, and the spread of silhouette and colour, for "
        f"the views that all hypotheses share. The ramp ends at the largest possible spread.</p>"
        f"<div class='scroll columns'>{columns}</div></section>"
    )


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
