"""From scored scenes to one table."""

from collections.abc import Mapping, Sequence
from typing import Any

from mvdiff.evaluation.protocols.scene_hidden import hidden_scores
from mvdiff.evaluation.summary import mean_of, standard_error

Entry = Mapping[str, Any]

#: Measures of which more is better; of all others less is.
_HIGHER = (
    *("psnr", "photo_psnr", "revisit_psnr", "ssim", "gms", "photo_delta", "sky_iou"),
    *("precision", "recall", "f1", "auc"),
)
#: Rows of the table of goals: name, key of the summary.
GOALS = (
    ("photo depth AbsRel", "photo_abs_rel"),
    ("photo depth AbsRel, median-aligned", "photo_abs_rel_aligned"),
    ("photo depth delta < 1.25", "photo_delta"),
    ("photo normals, degrees", "photo_normal_degrees"),
    ("PSNR seen, dB", "psnr_seen"),
    ("PSNR seen + warped, dB", "psnr_known"),
    ("PSNR unseen, mean, dB", "psnr_unseen"),
    ("PSNR unseen, best of N, dB", "psnr_unseen_best"),
    ("SSIM seen", "ssim_seen"),
    ("SSIM unseen", "ssim_unseen"),
    ("depth AbsRel seen", "abs_rel_seen"),
    ("depth AbsRel hidden", "abs_rel_hidden"),
    ("F1@5 % seen", "f1_seen"),
    ("F1@5 % unseen, mean", "f1_unseen"),
    ("F1@5 % unseen, best of N", "f1_unseen_best"),
    ("AUC 1-10 %", "auc"),
    ("camera rotation, degrees", "rotation_error"),
    ("camera translation, % of the median depth", "translation_error"),
    ("revisit PSNR, dB", "revisit_psnr"),
    ("PSNR lost over the stations, dB", "drift_psnr_lost"),
    ("energy score, unseen depth", "energy_unseen"),
    ("energy score below one guess", "energy_reduction_unseen"),
    ("CRPS, unseen log-depth", "crps_unseen"),
    ("90 % intervals hold, seen", "coverage_90_seen"),
    ("90 % intervals hold, unseen", "coverage_90_unseen"),
    ("raw 90 % quantiles hold, unseen", "raw_coverage_90_unseen"),
    ("called free at .95 that is free", "free_right"),
    ("share of free space called so", "free_called"),
    ("Brier score of free space", "brier"),
    ("the same of one hypothesis", "brier_one"),
    ("view agreement, median relative depth", "agreement_depth"),
)


def summarize(entries: Sequence[Entry]) -> dict[str, Any]:
    """Means over scenes of means and of the best over hypotheses, all kinds together and one by one."""
    kinds = sorted({entry["kind"] for entry in entries})
    found = _summary(entries) | hidden_scores(entries)
    found["by_kind"] = {kind: _summary([e for e in entries if e["kind"] == kind]) for kind in kinds}
    return found


def _summary(entries: Sequence[Entry]) -> dict[str, Any]:
    found: dict[str, Any] = {"scenes": len(entries)}
    for key in _numeric(entries):
        values = [entry.get(key) for entry in entries]
        if any(isinstance(value, list) for value in values):
            known = [[x for x in value if x is not None] if isinstance(value, list) else [] for value in values]
            means = [mean_of(value) for value in known]
            found[key] = mean_of(means)
            found[f"{key}_se"] = standard_error(means)
            choose = max if _higher(key) else min
            found[f"{key}_best"] = mean_of([choose(value) if value else None for value in known])
        else:
            found[key] = mean_of(values)
    for part in ("seen", "unseen"):
        for score in ("energy", "crps"):
            own, one = found.get(f"{score}_{part}"), found.get(f"{score}_one_{part}")
            found[f"{score}_reduction_{part}"] = 1 - own / one if own is not None and one else None
    return found | _drift(entries)


def _numeric(entries: Sequence[Entry]) -> list[str]:
    """Keys of numbers, or of lists with one number a hypothesis, in the order of their first appearance."""
    free = ("name", "kind", "seed", "stations")
    found = {
        key: None
        for entry in entries
        for key, value in entry.items()
        if key not in free and not key.startswith("drift_") and (value is None or _is_numeric(value))
    }
    return list(found)


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(x is None or isinstance(x, int | float) for x in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _higher(key: str) -> bool:
    return key.startswith(_HIGHER)


def _drift(entries: Sequence[Entry]) -> dict[str, Any]:
    """Rows of drift by station, means over scenes and hypotheses; and what PSNR loses from first to last station."""
    found: dict[str, Any] = {}
    for name in ("psnr", "color", "scale"):
        rows = [entry[f"drift_{name}"] for entry in entries if entry.get(f"drift_{name}")]
        count = max(map(len, rows), default=0)
        found[f"drift_{name}"] = [
            mean_of([mean_of(row[k]) if k < len(row) and row[k] else None for row in rows]) for k in range(count)
        ]
    psnr = [value for value in found["drift_psnr"] if value is not None]
    found["drift_psnr_lost"] = psnr[0] - psnr[-1] if len(psnr) > 1 else None
    return found


def scene_table(summary: Mapping[str, Any], entries: Sequence[Entry], title: str, command: str) -> str:
    """Markdown: goals by kind, every measure, then one row a scene."""
    kinds = list(summary["by_kind"])
    columns = [summary, *(summary["by_kind"][kind] for kind in kinds)]
    text = [f"# {title}", "", f"`{command}`", ""]
    heads = [f"{name} ({own['scenes']})" for name, own in zip(["all", *kinds], columns, strict=True)]
    text += [f"| measure | {' | '.join(heads)} |"]
    text += ["|---" * (len(columns) + 1) + "|"]
    text += [f"| {name} | {' | '.join(_shown(c.get(key)) for c in columns)} |" for name, key in GOALS]
    text += [f"| total variation, {k[3:]} | {_shown(v)} |" for k, v in summary.items() if k.startswith("tv_")]
    text += ["", "| every measure | mean | best of N | standard error |", "|---|---|---|---|"]
    for key, value in summary.items():
        if isinstance(value, int | float) and not key.endswith(("_best", "_se")) and not key.startswith("tv_"):
            best, error = summary.get(f"{key}_best"), summary.get(f"{key}_se")
            text.append(f"| {key} | {_shown(value)} | {_shown(best)} | {_shown(error)} |")
    text += ["", "| station | " + " | ".join(str(k) for k in range(len(summary["drift_psnr"]))) + " |"]
    text += ["|---" * (len(summary["drift_psnr"]) + 1) + "|"]
    text += [f"| {n} | {' | '.join(map(_shown, summary[f'drift_{n}']))} |" for n in ("psnr", "color", "scale")]
    own = ("photo_abs_rel", "psnr_seen", "psnr_unseen", "abs_rel_hidden", "f1_seen", "f1_unseen", "energy_unseen")
    text += ["", f"| scene | {' | '.join(own)} |", "|---" * (len(own) + 1) + "|"]
    text += [f"| {e['name']} | {' | '.join(_shown(_mean(e.get(key))) for key in own)} |" for e in entries]
    return "\n".join(text) + "\n"


def _mean(value: Any) -> float | None:
    return mean_of(value) if isinstance(value, list) else value


def _shown(value: float | int | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"
