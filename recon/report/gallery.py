"""Report parts about the hypotheses themselves: images from four sides by mode, headline figures, the table."""

import html
import math
from collections.abc import Sequence
from typing import Any

from recon.posterior import Posterior

Summary = dict[str, Any]


def figure(uri: str, caption: str, kind: str = "") -> str:
    """An image with its caption; ``kind`` is a CSS class."""
    text = html.escape(caption)
    return f'<figure class="{kind}"><img src="{uri}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def gallery(posterior: Posterior, summary: Summary, strips: Sequence[str]) -> str:
    """Every hypothesis from four sides, once: under its mode, the medoid first."""
    size = "cards small" if len(strips) > 8 else "cards"

    def cards(members: Sequence[int], medoid: int) -> str:
        shown = sorted(members, key=lambda k: (k != medoid, k))
        return f'<div class="{size}">{"".join(figure(strips[k], _note(k, posterior), "card") for k in shown)}</div>'

    modes = summary["modes"]
    if len(modes) == 1:
        return cards(modes[0]["members"], modes[0]["medoid"])
    shown = []
    for number, mode in enumerate(modes, 1):
        kind = "mode broad" if len(mode["members"]) > 1 else "mode"
        bar = f'<div class="mass"><i style="width:{mode["mass"]:.1%}"></i></div>'
        head = f"<p><b>Mode {number}</b> · {mode['mass']:.0%} of the weight</p>"
        shown.append(f'<div class="{kind}">{bar}{head}{cards(mode["members"], mode["medoid"])}</div>')
    return f'<div class="modes">{"".join(shown)}</div>'


def _note(k: int, posterior: Posterior) -> str:
    representative = " · representative" if k == posterior.representative_index else ""
    return f"#{k} · {float(posterior.weights[k]):.0%} of the weight{representative}"


def modes_note(summary: Summary) -> str:
    """Sentence on the grouping of the hypotheses and its confidence."""
    if summary["num_hypotheses"] < 4:
        return "Fewer than four hypotheses are not grouped into modes."
    grouping, count = summary["grouping"], len(summary["modes"])
    text = (
        f"They fall into {count} modes, each with the hypothesis nearest to its others first. "
        if count > 1
        else "They form one mode: no division into groups is clear enough. "
    )
    text += (
        f"The best division has a mean silhouette width of {grouping['silhouette']:.2f} (0: none, 1: perfect; "
        f"{_READING[grouping['strength']]})."
    )
    if grouping["stability"] is not None:
        text += (
            f" Leaving out any one hypothesis keeps the modes to {grouping['stability']:.2f} "
            f"(mean adjusted Rand index; 1: unchanged)."
        )
    return text


_READING = {
    "strong": "a strong structure",
    "reasonable": "a reasonable structure",
    "weak": "a weak structure, which chance can make",
    "none": "no structure",
}


def facts(summary: Summary) -> str:
    """The headline figures, each with its definition."""
    entropy, volume = summary["entropy"], summary["volume"]
    found = [
        (
            f"{summary['ambiguity']['value']:.0%}",
            "ambiguity",
            "Share of the joint volume on which two hypotheses disagree: expected 1 − IoU of two drawn by weight.",
        ),
        (
            str(len(summary["modes"])),
            "mode" if len(summary["modes"]) == 1 else "modes",
            f"Groups of similar hypotheses. Evidence for groups: {summary['grouping']['strength']}.",
        ),
        (
            f"{entropy['bits_per_voxel']:.2f} bit",
            "entropy",
            "Mean binary entropy of the probability of inside over the voxels that any hypothesis fills, on a grid of "
            f"{entropy['voxels_per_side']}³.",
        ),
        (
            f"{volume['ambiguous'] / max(volume['mean'], 1e-9):.0%}",
            "undecided volume",
            "Space that more than 5 % and less than 95 % of the weight fills, relative to the mean volume.",
        ),
    ]
    if summary["num_hypotheses"] == 1:  # nothing to compare with is not the same as agreement
        found = [("–", name, text) for _, name, text in found]
    mean, std = summary["elevation"]["mean"], summary["elevation"]["std"]
    if mean is not None:
        text = "Elevation of the photo's camera: mean and standard deviation over the hypotheses."
        found.append((f"{mean:.0f}° ± {std:.0f}°", "elevation", text))
    return "".join(f"<div class='fact'><b>{v}</b><span>{n}</span><p>{text}</p></div>" for v, n, text in found)


def table_row(k: int, posterior: Posterior, summary: Summary) -> str:
    """Line of the table of numbers."""
    cells = [
        f"#{k}",
        str(posterior.seeds[k]),
        f"{float(posterior.weights[k]):.3f}",
        str(next(number for number, mode in enumerate(summary["modes"], 1) if k in mode["members"])),
        _number(float(posterior.elevations[k]), "{:.1f}°"),
        _number(float(posterior.residuals[k]), "{:.4f}"),
        f"{float(posterior.distances[k, posterior.representative_index]):.4f}",
        f"{float(posterior.volumes[k]):.4f}",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: float, pattern: str) -> str:
    return "–" if math.isnan(value) else pattern.format(value)
