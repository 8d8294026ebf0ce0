"""Parameters of the stage `release`."""

from typing import Annotated

from pydantic import Field

from cxr_distill.base.params import Number, Params, PositiveInt, Seed


class ReleaseParams(Params):
    """Section `release`."""

    rejected: Annotated[Number, Field(gt=0, lt=0.02)]
    calibration_images: PositiveInt
    strangers: PositiveInt
    seed: Seed
