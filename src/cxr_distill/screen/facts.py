"""The facts about a released model, in the metadata of its ONNX file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from cxr_distill.base.errors import CxrError

KEY = "cxr-distill"
FORMAT = 2
PREPROCESSING = (
    "Grey levels 0 to 255 (ITU-R 601 luma of colour; DICOM: rescale, VOI, MONOCHROME1 inverted), squashed to "
    "image_size x image_size by a separable triangle filter whose support grows with the reduction (Pillow's "
    "BILINEAR, release 13 or later), rounded to whole numbers after each direction"
)


@dataclass(frozen=True)
class Facts:
    """Everything that a program needs besides the graph, to screen as evaluation did."""

    image_size: int
    classes: tuple[str, ...]  # order of the graph's `probabilities`
    threshold: float  # P(pneumonia) at or above it means pneumonia
    temperature: float  # p_calibrated = sigmoid(logit(p_pneumonia) / temperature)
    typicality_threshold: float  # a picture with lower typicality (higher out-of-distribution score) is rejected
    chest_threshold: float  # and called no chest film if its typicality is even lower than this
    dataset_sha256: str
    weights_sha256: str
    precision: str  # fp32 or int8
    preprocessing: str = PREPROCESSING
    licence: str = "Apache-2.0"
    format: int = FORMAT

    def to_json(self) -> str:
        """One line, the same for the same facts."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)


def read_facts(text: str) -> Facts:
    """The facts from a line of `to_json`. Raises CxrError if they are damaged or have another format."""
    try:
        values: dict[str, Any] = json.loads(text)
        if values.get("format") != FORMAT:
            raise CxrError(
                f"the model is of format {values.get('format')!r}, this program reads {FORMAT}; update cxr-distill"
            )
        facts = Facts(**{**values, "classes": tuple(values["classes"])})
        numbers = (facts.threshold, facts.temperature, facts.typicality_threshold, facts.chest_threshold)
        if not all(type(number) in (int, float) and isfinite(number) for number in numbers):
            raise ValueError("a limit is not a number")
        return facts
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CxrError(f"the model's metadata is damaged: {error}") from None
