"""Which classes a data set tells apart: three, or two where nobody said what caused a pneumonia."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from cxr_distill.base.classes import CLASSES

UNKNOWN_CAUSE = "pneumonia"
"""Subtype of a pneumonia where bacterial or viral is not known."""
TWO_CLASSES = (CLASSES[0], UNKNOWN_CAUSE)


def class_names(subtypes: Iterable[str]) -> tuple[str, ...]:
    """The classes in the order of labels and logits, from the `subtype` of every film of data/index.csv."""
    return TWO_CLASSES if UNKNOWN_CAUSE in set(subtypes) else CLASSES


def count_classes(labels: NDArray[Any]) -> int:
    """The number of classes, from the labels (N,) of the training or validation films, which have films of each."""
    return max(int(labels.max()) + 1, len(TWO_CLASSES))
