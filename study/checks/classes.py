"""What the study and the benchmarks cannot do without."""

from __future__ import annotations

from collections.abc import Iterable

from cxr_distill.base.classes import CLASSES
from cxr_distill.base.errors import CxrError
from cxr_distill.base.labels import class_names


def require_three_classes(subtypes: Iterable[str], *, what: str) -> None:
    """Raises CxrError, naming `what` needs them, if the films tell two classes apart."""
    if class_names(subtypes) != CLASSES:
        raise CxrError(f"{what} needs films whose pneumonias are known to be bacterial or viral; these are not")
