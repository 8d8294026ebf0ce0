"""The table that a person reads first, and the picture beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from cxr_distill.evaluation.bootstrap import Estimate
from cxr_distill.evaluation.figures import COLOURS, png
from cxr_distill.evaluation.metrics import Scored, roc_points


def comparison_report(
    estimated: Mapping[str, Mapping[str, Estimate]], comparison: Mapping[str, Any], dataset: Mapping[str, Any], *,
    synthetic: bool,
) -> str:  # fmt: skip
    """Markdown: where the data came from, one row per model with 95% intervals, paired differences in words."""
    size = dataset["width"]["median"], dataset["height"]["median"]
    title = "# SYNTHETIC: models on drawn chests" if synthetic else "# Models on the official test split"
    source = "Drawn phantoms: the figures say nothing about pneumonia." if synthetic else "Archive"
    rows = [
        f"| {name} | {comparison['parameters'].get(name, comparison['parameters']['distilled']):,} | "
        + " | ".join(_cell(metrics[metric]) for metric in ("accuracy", "auroc", "sensitivity", "specificity"))
        + " |"
        for name, metrics in estimated.items()
    ]
    lines = [
        title,
        "",
        f"{source} `{dataset['archive_sha256'][:12]}`, median image {size[0]} x {size[1]} pixels, resized to "
        f"{dataset['image_size']} x {dataset['image_size']}. n = {comparison['n']} test images of "
        f"{comparison['patients']} patients; threshold 0.5; in brackets 95% intervals (bootstrap over patients); "
        "one training run each, so differences between seeds are not in the intervals.",
        "",
        f"| model{' (SYNTHETIC)' if synthetic else ''} | parameters | accuracy | AUROC | sensitivity | specificity |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"- The student is {comparison['size_ratio']:.0f} times smaller than the teacher.",
        f"- Distilled minus baseline: {_differences(comparison['gain_over_baseline'])}.",
        f"- Distilled minus teacher: {_differences(comparison['difference_to_teacher'])}.",
        *[
            f"- Share of the gap between baseline and teacher closed, in {metric}: {share:.0%} (a point estimate)."
            for metric, share in comparison["gap_closed"].items()
        ],
        f"- The distilled student decides as the teacher does on "
        f"{comparison['agreement_with_teacher']['distilled']['same_decision']:.1%} of the images.",
        _geometry(comparison.get("geometry_only")),
        "",
    ]
    return "\n".join(lines)


def comparison_picture(
    models: Mapping[str, Scored], estimated: Mapping[str, Mapping[str, Estimate]], *, synthetic: bool
) -> bytes:
    """PNG bytes: ROC of every model, and its metrics with 95% intervals."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    n = len(next(iter(models.values())).labels)
    figure.suptitle(f"SYNTHETIC chests, n = {n}" if synthetic else f"Official test split, n = {n}, threshold 0.5")
    curve, *metrics = figure.subplots(1, 4, width_ratios=(3, 2, 2, 2))
    for number, (name, scored) in enumerate(models.items()):
        colour, points = COLOURS[number % len(COLOURS)], roc_points(scored)
        curve.plot(points.false_positive_rate, points.true_positive_rate, label=name, color=colour)
        for axes, metric in zip(metrics, ("auroc", "accuracy", "specificity"), strict=True):
            found, interval = estimated[name][metric], estimated[name][metric].interval()
            axes.plot([interval["low"], interval["high"]], [-number, -number], color=colour)
            axes.plot(found.value, -number, "o", color=colour)
            axes.set_title(f"{metric.replace('auroc', 'AUROC')}, 95% interval", fontsize=10)
            axes.set_yticks([])
    metrics[0].set_yticks([-number for number in range(len(models))], list(models))
    curve.plot([0, 1], [0, 1], color="0.8", zorder=0)
    curve.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC", aspect="equal")
    curve.legend(fontsize=8)
    return png(figure)


def _cell(metric: Estimate) -> str:
    interval = metric.interval()
    return f"{metric.value:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _differences(differences: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(
        f"{metric} {d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]" for metric, d in differences.items()
    )


def _geometry(figures: Mapping[str, float] | None) -> str:
    if not figures:
        return "- Image size alone cannot be scored here: all images of this archive have the same size."
    return (
        "- Logistic regression on image width and height alone, no pixels: "
        f"accuracy {figures['accuracy']:.3f}, AUROC {figures['auroc']:.3f}."
    )
