"""The table that a person reads first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_distill.metrics import Draw


def comparison_report(
    drawn: Mapping[str, Mapping[str, Draw]], comparison: Mapping[str, Any], dataset: Mapping[str, Any], *,
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
        for name, metrics in drawn.items()
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


def _cell(metric: Draw) -> str:
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
