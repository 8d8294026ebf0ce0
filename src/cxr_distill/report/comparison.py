"""The report that a person reads first, and the picture beside it, both from reports/evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cxr_distill.base.templates import render
from cxr_distill.evaluation.figures import COLOURS, png

TEMPLATE = Path(__file__).parent / "templates" / "comparison.md.j2"
DIFFERENCES = {
    "auroc": "AUROC",
    "auroc_reframed": "AUROC, reframed",
    "auroc_reframed_any": "AUROC, reframed by any class",
    "accuracy": "accuracy",
    "accuracy_reframed": "accuracy, reframed",
}
NAMES = {"auroc": "AUROC", "accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity"}


def comparison_report(evaluation: Mapping[str, Any]) -> str:
    """Markdown: the answer, a row per model with 95% intervals, paired differences, and what the models are."""
    models = evaluation["models"]
    trained: dict[str, list[str]] = {}
    for name, model in models.items():
        trained.setdefault("precision {precision}, {processor}".format(**model["trained"]), []).append(name)
    return render(
        TEMPLATE,
        names=NAMES,
        trained=trained,
        size_ratio=models["teacher"]["parameters"] / models["distilled"]["parameters"],
        **{"synthetic": False, "source": None, **evaluation},
    )


def comparison_picture(evaluation: Mapping[str, Any]) -> bytes:
    """PNG bytes: paired differences, and the metrics of every model, with 95% intervals."""
    compared, models = evaluation["comparison"], evaluation["models"]
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    split = "Test patients" if "packed" in evaluation["dataset"] else "Official test split"
    what = "SYNTHETIC chests" if evaluation.get("synthetic") else split
    figure.suptitle(f"{what}, n = {compared['n']}, threshold 0.5, 95% intervals over patients")
    pairs, *panels = figure.subplots(1, 4, width_ratios=(3, 2, 2, 2))
    changes = [key for key in DIFFERENCES if key in compared["gain"]]
    for number, (of, words) in enumerate((("gain", "minus baseline"), ("gap", "minus teacher"))):
        rows = [-row - 0.2 * number for row in range(len(changes))]
        each = [compared[of][key] for key in changes]
        pairs.hlines(rows, [d["low"] for d in each], [d["high"] for d in each], color=COLOURS[number])
        pairs.plot([d["value"] for d in each], rows, "os"[number], color=COLOURS[number], label=words)
    pairs.axvline(0, color="0.5", linewidth=1)
    pairs.set_yticks([-row - 0.1 for row in range(len(changes))], [DIFFERENCES[key] for key in changes])
    pairs.set_title("distilled student: right of 0 it is better", fontsize=10)
    pairs.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    for axes, metric in zip(panels, ("auroc", "accuracy", "specificity"), strict=True):
        for row, model in enumerate(models.values()):
            test, interval = model["test"], model["test"]["ci95"][metric]
            axes.hlines(-row, interval["low"], interval["high"], color=COLOURS[2])
            axes.plot(test[metric], -row, "o", color=COLOURS[2])
        axes.set_title(NAMES[metric], fontsize=10)
        axes.set_yticks([-row for row in range(len(models))], list(models) if metric == "auroc" else [])
    for axes in (pairs, *panels):
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
    return png(figure)
