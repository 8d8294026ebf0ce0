"""The evaluation as a picture: ROC, reliability, and P(pneumonia) of both classes. Needs Matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cxr_distill.evaluation.bootstrap import Floats
from cxr_distill.evaluation.figures import COLOURS, png
from cxr_distill.evaluation.scores import CALIBRATION_BINS, Ints


def evaluation_picture(labels: Ints, probabilities: Floats, result: dict[str, Any]) -> bytes:
    """PNG bytes. labels: (N,) 0 or 1; probabilities: (N,) P(pneumonia) of the readable films."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    each, point = result["all"], result["operating_point"]
    figure.suptitle(f"{each['films']:,} films of {each['patients']:,} patients, {result['date']}")
    roc, reliability, spread = figure.subplots(1, 3)
    order = np.argsort(-probabilities, kind="stable")
    last = np.append(np.diff(probabilities[order]) != 0, True)  # of films with equal P
    found, wrong = (np.cumsum(labels[order] == label)[last] for label in (1, 0))
    roc.plot([0, *wrong / wrong[-1]], [0, *found / found[-1]], color=COLOURS[0])
    roc.plot([0, 1], [0, 1], ":", color="grey")
    thresholds = {"threshold of the model": result["threshold"]}
    if point:
        thresholds["threshold of site.json"] = point["threshold"]
    for colour, (words, threshold) in zip(COLOURS[1:], thresholds.items(), strict=False):
        called = probabilities >= threshold
        roc.plot(called[labels == 0].mean(), called[labels == 1].mean(), "o", color=colour, label=words)
        spread.axvline(threshold, color=colour, label=words)
    auroc = f"AUROC {each['auroc']['value']:.3f}" if each["auroc"] else "ROC"
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title=auroc)
    roc.legend(fontsize=8, loc="lower right")
    tenth = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = [tenth == number for number in range(CALIBRATION_BINS) if (tenth == number).any()]
    reliability.plot([0, 1], [0, 1], ":", color="grey")
    reliability.plot(
        [probabilities[rows].mean() for rows in bins], [labels[rows].mean() for rows in bins], "o-", color=COLOURS[0]
    )
    reliability.set(xlabel="P(pneumonia)", ylabel="share with pneumonia", title="Reliability, in tenths of P")
    for label, words, colour in ((0, "normal", COLOURS[2]), (1, "pneumonia", COLOURS[5])):
        spread.hist(probabilities[labels == label], bins=20, range=(0, 1), alpha=0.6, color=colour, label=words)
    spread.set(xlabel="P(pneumonia)", ylabel="films", title="P(pneumonia) by label")
    spread.legend(fontsize=8, loc="upper center")
    return png(figure)
