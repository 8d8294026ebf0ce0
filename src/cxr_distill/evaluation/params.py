"""Parameters of the stages `evaluate` and `compare`."""

from typing import Annotated

from pydantic import Field

from cxr_distill.base.params import Number, Params, Seed


class EvaluateParams(Params):
    """Section `evaluate`."""

    bootstrap_resamples: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed
    sensitivity_target: Annotated[Number, Field(gt=0, lt=1)]
