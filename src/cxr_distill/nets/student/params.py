"""Which network the student is, and how it is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cxr_distill.base.params import PositiveInt
from cxr_distill.nets.common.params import FitParams


class StudentParams(FitParams):
    """Section `student`.

    channels: the widths of three convolutions (plain) or of the stages (residual). init: the first weights.
    """

    arch: Literal["plain", "residual"]
    channels: Annotated[list[PositiveInt], Field(min_length=1, max_length=8)]
    init: Literal["random", "release"]

    @model_validator(mode="after")
    def _channels_fit_the_arch(self) -> Self:
        if self.arch == "plain" and len(self.channels) != 3:
            raise ValueError("arch plain needs exactly three channels")
        # With fewer, the gradient of PyTorch 2.15's strided 1 x 1 convolution hangs or corrupts memory on processors
        # with AVX2 alone.
        if self.arch == "residual" and min(self.channels) < 8:
            raise ValueError("arch residual needs at least 8 channels in every stage")
        return self
