"""Parts of the report in words and numbers: what statements are worth, where uncertainty comes from, what changed."""

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


def calibration(record: Mapping[str, Any]) -> str:
    """What a stated coverage is worth."""
    shells = (record.get("held_out") or {}).get("shells", [])
    rows = [(f"{row['level']:.0%}", f"{row['coverage']:.1%}", f"{row['coverage_std']:.1%}") for row in shells]
    measured = table(("stated", "held, mean over objects", "standard deviation"), rows) if rows else ""
    return f"<p>{html.escape(record['statement'])}</p>{measured}"


def sources(posterior: Posterior, summary: Mapping[str, Any], novelty: Mapping[str, Any] | None) -> str:
    """Where the uncertainty comes from, as far as it is known."""
    parts, sides, spread = summary["decomposition"], summary["sides"], summary["elevation"]["std"]
    known = {}
    if len(posterior) > 1:
        known["Between hypotheses"] = f"{parts['between']:.4f}: what the photo leaves open"
        if sides and sides["seen"] is not None and sides["unseen"] is not None:
            known["Seen and unseen side"] = f"{sides['seen']:.4f} where the photo looks, {sides['unseen']:.4f} else"
    if parts["within"] is not None:
        known["Within a hypothesis"] = f"{parts['within']:.4f}: how much its own views contradict each other"
    if spread is not None:
        share = parts["elevation_share"]
        told = "" if share is None or len(posterior) < 3 else f"; {share:.0%} of what lies between goes along with it"
        known["Photo's elevation"] = f"± {spread:.1f}°{told}"
    if novelty is not None:
        p = novelty["p_value"]
        meaning = "share of known objects that the model finds at least as strange as this photo; small: unknown to it"
        known["Kind of photo"] = "not compared: there is no calibration" if p is None else f"p = {p:.3f}, the {meaning}"
    return definitions(known)


def changed(record: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """A refined run: what was open before, after weighing the old hypotheses anew, and now."""
    if record is None or after is None:
        return ""
    columns = {
        "effective_size": ("effective hypotheses", "{:.1f}"),
        "index_entropy_bits": ("bits open", "{:.2f}"),
        "ambiguity": ("ambiguity", "{:.0%}"),
        "occupancy_entropy": ("occupancy entropy, bits × volume", "{:.4f}"),
    }
    steps = {"Before": record["before"], "Old hypotheses, newly weighted": record["reweighted"], "Now": after}
    rows = [(name, *(form.format(step[key]) for key, (_, form) in columns.items())) for name, step in steps.items()]
    return (
        "<section><h2>What the further evidence changed</h2>"
        + table(("", *(name for name, _ in columns.values())), rows)
        + "</section>"
    )
