"""From objects to one table."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from recon.metrics.probabilistic import Reliability, best_of

#: What every results.json has, null where it was not computed.
KEYS = (
    *("cd_mean", "cd_best", "iou_mean", "iou_best", "fscore_mean", "fscore_best", "cd_hidden_mean", "cd_visible_mean"),
    *("psnr", "ssim", "mask_iou", "diversity", "energy_score", "energy_score_single", "energy_score_medoid"),
    *("ece", "brier", "nll", "coverage_50", "coverage_90", "width_90", "ause", "spearman", "seconds_per_object"),
)
#: What p2 has beyond: statements without their calibration, those at vertices, and what they are compared with.
DISTRIBUTION = (
    *("ece_overall", "brier_overall", "nll_overall", "brier_single", "brier_reduction"),
    *("raw_ece", "raw_brier", "raw_nll", "raw_ece_overall", "raw_brier_overall", "raw_nll_overall"),
    *("coverage_50_std", "coverage_90_std", "width_50", "raw_coverage_50", "raw_coverage_90", "raw_width_90"),
    *("interval_coverage_50", "interval_coverage_90", "interval_coverage_90_std", "interval_width_90"),
    *("ause_if_right", "spearman_if_right"),
    *("raw_interval_coverage_90", "raw_interval_width_90", "cd_mean_of_views", "cd_one_step", "novelty_below_05"),
)
Entry = dict[str, Any]


def summarise(objects: Sequence[Entry]) -> dict[str, Any]:
    """Means over objects; lists of one value per hypothesis are reduced first."""

    def mean(value: Callable[[Entry], float | None]) -> float | None:
        return mean_of([value(entry) for entry in objects])

    def hypotheses(key: str, reduce: Callable[[list[float]], float | None]) -> float | None:
        return mean(lambda entry: reduce([x for x in entry[key] if x is not None]) if entry.get(key) else None)

    def best(values: list[float], count: int) -> float | None:
        return best_of(torch.tensor(values, dtype=torch.float64), count) if len(values) >= count else None

    summary: dict[str, Any] = dict.fromkeys(KEYS)
    summary |= {
        "cd_mean": hypotheses("cd", mean_of),
        "cd_best": hypotheses("cd", min),
        "iou_mean": hypotheses("iou", mean_of),
        "iou_best": hypotheses("iou", max),
        "fscore_mean": hypotheses("fscore", mean_of),
        "fscore_best": hypotheses("fscore", max),
        "cd_hidden_mean": hypotheses("cd_hidden", mean_of),
        "cd_visible_mean": hypotheses("cd_visible", mean_of),
        "psnr": hypotheses("psnr", mean_of),
        "ssim": hypotheses("ssim", mean_of),
        "mask_iou": hypotheses("mask_iou", mean_of),
        "seconds_per_object": mean(lambda entry: sum(entry["seconds"].values())),
        # Beyond the agreed keys.
        "objects": len(objects),
        "cd_mean_standard_error": standard_error([mean_of(entry["cd"]) for entry in objects]),
        "seed_spread": {key: _seed_spread([entry[own] for entry in objects]) for key, own in _SAMPLED.items()},
        "cd_aligned_mean": hypotheses("cd_aligned", mean_of),
        "normal_consistency": hypotheses("normal_consistency", mean_of),
        "view_psnr": hypotheses("view_psnr", mean_of),
        "elevation_error": mean(
            lambda entry: mean_of([abs(e - entry["elevation"]) for e in entry["drawn_elevation"] if e is not None])
        ),
        "empty_hypotheses": sum(entry["empty"] for entry in objects),
    }
    most = max((len(entry["cd"]) for entry in objects), default=0)
    for key, sign in (("cd", 1), ("iou", -1)):
        summary[f"{key}_best_of"] = {
            str(count): _scaled(hypotheses(key, lambda x, c=count, s=sign: best([s * v for v in x], c)), sign)
            for count in (1, 2, 4, 8, 16, 32)
            if count <= most
        }
    judged = [entry["distribution"] for entry in objects if entry.get("distribution")]
    if judged:
        summary |= {key: mean_of([entry.get(key) for entry in judged]) for key in _AVERAGED}
        for prefix in ("", "raw_"):
            for part, suffix in (("undecided", ""), ("overall", "_overall")):
                pooled = _pooled([entry[prefix + part] for entry in judged])
                summary |= {f"{prefix}{key}{suffix}": value for key, value in pooled.items()}
        summary |= {f"{key}_std": _std([entry[key] for entry in judged]) for key in _SPREAD}
        single, stated = summary["brier_single"], summary["brier_overall"]
        summary["brier_reduction"] = 1 - stated / single if single and stated is not None else None
        summary["novelty_below_05"] = mean(
            lambda e: None if e.get("novelty_p") is None else float(e["novelty_p"] < 0.05)
        )
        for name in ("mean_of_views", "one_step"):
            summary[f"cd_{name}"] = mean(lambda e, n=name: (e.get("baselines") or {}).get(n))
    return summary


#: Means over hypotheses, and where an entry has the values.
_SAMPLED = {"cd_mean": "cd", "iou_mean": "iou", "fscore_mean": "fscore", "psnr": "psnr", "mask_iou": "mask_iou"}
_AVERAGED = (
    *("diversity", "energy_score", "energy_score_single", "energy_score_medoid"),
    *("coverage_50", "coverage_90", "width_50", "width_90", "ause", "spearman"),
    *("ause_if_right", "spearman_if_right", "brier_single"),
    *("raw_coverage_50", "raw_coverage_90", "raw_width_50", "raw_width_90"),
    *(f"{raw}interval_{what}_{p}" for raw in ("", "raw_") for what in ("coverage", "width") for p in (50, 90)),
)
_SPREAD = ("coverage_50", "coverage_90", "interval_coverage_50", "interval_coverage_90")


def _pooled(fields: Sequence[Entry]) -> dict[str, Any]:
    """Occupancy scores over the voxels of all objects together: bins of single objects are too thin to be judged."""
    count, predicted, observed = (torch.tensor([f[key] for f in fields]).double().sum(0) for key in _BINS)
    voxels = float(count.sum())
    if not voxels:
        return {"ece": None, "brier": None, "nll": None}
    curve = Reliability(predicted / count, observed / count, count)
    return {
        "ece": curve.error,
        "brier": sum(f["brier"] * f["voxels"] for f in fields if f["voxels"]) / voxels,
        "nll": sum(f["nll"] * f["voxels"] for f in fields if f["voxels"]) / voxels,
        "reliability": [
            [round(float(p), 4), round(float(o), 4), int(c)]
            for p, o, c in zip(curve.predicted, curve.observed, count, strict=True)
            if c
        ],
    }


_BINS = ("count", "predicted_sum", "observed_sum")


def mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def standard_error(values: Sequence[float | None]) -> float | None:
    known = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    return float(known.std() / math.sqrt(len(known))) if len(known) > 1 else None


def _seed_spread(values: Sequence[Sequence[float | None]]) -> float | None:
    """Standard deviation of a mean over objects of means over hypotheses [o n], had these been drawn with other seeds
    from the same pictures."""
    known = [torch.tensor([v for v in own if v is not None], dtype=torch.float64) for own in values]
    known = [own for own in known if len(own) > 1]
    if not known:
        return None
    return math.sqrt(sum(float(own.var()) / len(own) for own in known)) / len(known)


def _std(values: Sequence[float | None]) -> float | None:
    known = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    return float(known.std()) if len(known) > 1 else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def table(summary: dict[str, Any], objects: Sequence[Entry], title: str, command: str) -> str:
    """Markdown: the summary, best-of-N, then one row for each object."""

    def shown(value: Any, digits: int = 4) -> str:
        return "–" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)

    single = ("objects", "cd_mean_standard_error", "cd_aligned_mean", "normal_consistency", "view_psnr")
    names = [*KEYS, *single, "elevation_error", "empty_hypotheses", *(k for k in DISTRIBUTION if k in summary)]
    spread = summary["seed_spread"]
    rows = [f"| {k} | {shown(summary[k])}{f' ± {spread[k]:.4f}' if spread.get(k) else ''} |" for k in names]
    text = [f"# {title}", "", f"`{command}`", "", "± is what other seeds change for the same pictures.", ""]
    text += ["| measure | value |", "|---|---|", *rows, ""]
    counts = list(summary["cd_best_of"])
    text += ["| best of | " + " | ".join(counts) + " |", "|---" * (len(counts) + 1) + "|"]
    text += [f"| {k} | " + " | ".join(shown(v) for v in summary[f"{k}_best_of"].values()) + " |" for k in ("cd", "iou")]
    text += ["", "| object | azimuth | elevation | CD mean | CD best | IoU mean | F@0.05 | PSNR | mask IoU |"]
    text += ["|---|---|---|---|---|---|---|---|---|"]
    for entry in objects:
        cells = [entry["name"], shown(entry["azimuth"], 1), shown(entry["elevation"], 1)]
        cells += [shown(mean_of(entry["cd"])), shown(min(entry["cd"]))]
        cells += [shown(mean_of(entry[key]), 3) for key in ("iou", "fscore", "psnr", "mask_iou")]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"
