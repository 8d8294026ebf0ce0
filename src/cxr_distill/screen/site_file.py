"""site.json: the operating point that a place chose on its own films, for one model file and no other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.probabilities import log_odds

FORMAT = 1
LEAST = 1e-7  # P is cut to [LEAST, 1 - LEAST], as in app/site.js


@dataclass(frozen=True)
class Calibration:
    """P = sigmoid(slope * logit(p_pneumonia) + intercept), at the prevalence of the place's films."""

    slope: float
    intercept: float

    def __call__(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities, of the same shape."""
        return 1 / (1 + np.exp(-(self.slope * log_odds(probabilities, least=LEAST) + self.intercept)))


@dataclass(frozen=True)
class SiteFile:
    """Whose operating point it is, on which films it was chosen, and for which model. app/site.js reads it too."""

    name: str
    threshold: float  # P(pneumonia) at or above it is called pneumonia
    sensitivity: float  # the one that was asked for
    calibration: Calibration
    prevalence: float  # share of films with pneumonia
    films: int
    patients: int
    model_sha256: str  # of the ONNX file
    date: str  # of the evaluation: YYYY-MM-DD
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """What `read_site` reads."""
        return asdict(self)

    def whose(self) -> str:
        """One line: whose operating point it is."""
        return (
            f"operating point of {self.name}, {self.date}: threshold {self.threshold:g}, chosen for a sensitivity of "
            f"{self.sensitivity:g} on {self.films:,} films of {self.patients:,} patients"
        )


def read_site(path: Path, *, model_sha256: str) -> SiteFile:
    """The operating point in `path`. Raises CxrError if it cannot be read, is damaged, or is of another model."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("format") != FORMAT or isinstance(values["format"], bool):
            raise CxrError(f"{path} is of format {values.get('format')!r}, this program reads {FORMAT}")
        site = SiteFile(**{**values, "calibration": Calibration(**values["calibration"])})
        _check(site)
    except OSError as error:
        raise CxrError(f"cannot read {path}: {error.strerror}") from None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CxrError(f"{path} is not a site file of cxr-evaluate: {' '.join(str(error).split())[:160]}") from None
    if site.model_sha256 != model_sha256:
        raise CxrError(
            f"{path} was made for another model ({site.model_sha256[:12]}, this one is {model_sha256[:12]}); "
            "run cxr-evaluate with this model"
        )
    return site


def _check(site: SiteFile) -> None:
    """Raises ValueError for a value that cannot be meant."""
    numbers = (site.threshold, site.sensitivity, site.prevalence, site.calibration.slope, site.calibration.intercept)
    if not all(type(number) in (int, float) and np.isfinite(number) for number in numbers):
        raise ValueError("a value is not a number")
    if not (all(0 <= number <= 1 for number in numbers[:3]) and site.calibration.slope > 0):
        raise ValueError("a value is out of range")
    if not all(isinstance(text, str) and text.isprintable() for text in (site.name, site.date, site.model_sha256)):
        raise ValueError("a text is not one line of text")
    if not all(type(count) is int and count > 0 for count in (site.films, site.patients)):
        raise ValueError("a count is not a positive whole number")
