"""Report parts in words and numbers: calibration, sources of uncertainty, convergence, changes by refinement."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from recon.posterior import Posterior


def definitions(values: Mapping[str, Any]) -> str:
    rows = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append(f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(text)}</dd>")
    return "".join(rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def probability(posterior: Posterior) -> str:
    """Definition of the probability that the sections show."""
    if posterior.calibration is None:
        return "the share of the hypotheses' weight that is solid there (not calibrated)"
    return (
        "calibrated on known objects: the share of places like these, by the votes of the hypotheses and the depth in "
        "or outside of them, that were solid"
    )


def calibration(record: Mapping[str, Any]) -> str:
    """Stated coverage against the coverage that was measured on held-out objects."""
    bands = (record.get("held_out") or {}).get("band", [])
    rows = [(f"{row['level']:.0%}", f"{row['coverage']:.1%}", f"{row['coverage_std']:.1%}") for row in bands]
    measured = table(("stated", "held, mean over objects", "standard deviation"), rows) if rows else ""
    return f"<p>{html.escape(record['statement'])}</p>{measured}"


def convergence(steps: Sequence[Mapping[str, float]]) -> str:
    """Whether there are enough hypotheses; empty for a single one."""
    if not steps:
        return ""
    last = steps[-1]
    return (
        "<h3>Are these hypotheses enough?</h3>"
        f"<p>After {last['count']} hypotheses the share that fills a place is known to ± {last['occupancy_error']:.2f} "
        f"(standard error, root mean square over the places that any of them fills), and the ambiguity is "
        f"{last['ambiguity']:.1%} ± {last['ambiguity_error']:.1%}. Once both curves are flat, further hypotheses would "
        "change little. They cannot tell whether the model itself is right.</p>"
        "<div class='frame'><div id='convergence' role='img' aria-label='Standard error of the share of hypotheses "
        "that fill a place, and the ambiguity, by the number of hypotheses'></div></div>"
    )


def convergence_traces(steps: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Traces for plotly; the page sets their colors."""
    x = [step["count"] for step in steps]
    error = [step["occupancy_error"] for step in steps]
    ambiguity = [step["ambiguity"] for step in steps]
    spread = {"type": "data", "array": [step["ambiguity_error"] for step in steps], "thickness": 1}
    line = {"type": "scatter", "mode": "lines+markers", "x": x}
    return [
        {**line, "name": "standard error of the share", "y": error},
        {**line, "name": "ambiguity and its standard error", "y": ambiguity, "error_y": spread},
    ]


def sources(posterior: Posterior, summary: Mapping[str, Any], novelty: Mapping[str, Any] | None) -> str:
    """Known sources of the uncertainty."""
    parts, sides, spread = summary["decomposition"], summary["sides"], summary["elevation"]["std"]
    known = {}
    if len(posterior) > 1:
        known["Between hypotheses"] = f"{parts['between']:.4f}: left open by the photo"
        if sides and sides["seen"] is not None and sides["unseen"] is not None:
            known["Seen and unseen side"] = f"{sides['seen']:.4f} where the photo looks, {sides['unseen']:.4f} else"
    if parts["within"] is not None:
        known["Within a hypothesis"] = f"{parts['within']:.4f}: contradiction of its own sampled views"
    if spread is not None:
        share = parts["elevation_share"]
        told = "" if share is None or len(posterior) < 3 else f"; it explains {share:.0%} of that spread"
        known["Photo's elevation"] = f"± {spread:.1f}°{told}"
    if novelty is not None:
        p = novelty["p_value"]
        meaning = "share of known objects that are at least as unusual to the model as this photo; small: unfamiliar"
        known["Kind of photo"] = "not compared: there is no calibration" if p is None else f"p = {p:.3f}, the {meaning}"
    return definitions(known)


def changed(record: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Open questions of a refined run: before, after reweighting the old hypotheses, and now."""
    columns = {
        "effective_size": ("effective hypotheses", "{:.1f}"),
        "index_entropy_bits": ("bits open", "{:.2f}"),
        "ambiguity": ("ambiguity", "{:.0%}"),
        "occupancy_entropy": ("occupancy entropy, bits × volume", "{:.4f}"),
    }
    steps = {"Before": record["before"], "Reweighted, nothing sampled": record["reweighted"], "Now": after}
    rows = [(name, *(form.format(step[key]) for key, (_, form) in columns.items())) for name, step in steps.items()]
    return (
        "<section><h2>What the further evidence changed</h2>"
        + table(("", *(name for name, _ in columns.values())), rows)
        + "</section>"
    )
