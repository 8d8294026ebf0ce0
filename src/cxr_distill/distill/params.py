"""How much of the teacher a student learns from."""

from typing import Literal

from cxr_distill.base.params import Fraction, Params, PositiveNumber


class DistillParams(Params):
    """Section `distill`, and each entry of `param_sets`."""

    alpha: Fraction
    temperature: PositiveNumber
    loss: Literal["hinton", "blog"]
