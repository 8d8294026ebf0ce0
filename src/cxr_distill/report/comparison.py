"""The report that a person reads first, and the picture beside it, both from reports/evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cxr_distill.base.templates import render
from cxr_distill.evaluation.figures import COLOURS, png

TEMPLATE = Path(__file__).parent / "templates" / "comparison.md.j2"
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


def comparison_picture(evaluation: Mapping[str, Any], roc: Path) -> bytes:
    """PNG bytes: ROC of every model (`roc`: plots/roc.csv), and metrics with 95% intervals."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    n = evaluation["comparison"]["n"]
    split = "Test patients" if "packed" in evaluation["dataset"] else "Official test split"
    synthetic = evaluation.get("synthetic", False)
    figure.suptitle(f"SYNTHETIC chests, n = {n}" if synthetic else f"{split}, n = {n}, threshold 0.5")
    curve, *metrics = figure.subplots(1, 4, width_ratios=(3, 2, 2, 2))
    curves = np.genfromtxt(roc, delimiter=",", names=True)
    names = list(evaluation["models"])
    for number, name in enumerate(names):
        colour, test = COLOURS[number % len(COLOURS)], evaluation["models"][name]["test"]
        curve.plot(curves["false_positive_rate"], curves[name], label=name, color=colour)
        for axes, metric in zip(metrics, ("auroc", "accuracy", "specificity"), strict=True):
            interval = test["ci95"][metric]
            axes.plot([interval["low"], interval["high"]], [-number, -number], color=colour)
            axes.plot(test[metric], -number, "o", color=colour)
            axes.set_title(f"{NAMES[metric]}, 95% interval", fontsize=10)
            axes.set_yticks([])
    metrics[0].set_yticks([-number for number in range(len(names))], names)
    curve.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC where the models differ")
    curve.legend(fontsize=8)
    return png(figure)
