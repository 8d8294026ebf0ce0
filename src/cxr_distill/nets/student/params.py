"""Which network the student is, and how it is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cxr_distill.base.params import Number, Params, PositiveInt, PositiveNumber
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


class BaselineParams(Params):
    """Section `baseline`: what the student without a teacher has otherwise than section `student` says; None: nothing.

    A schedule that suits a student with a teacher need not suit one without.
    """

    epochs: PositiveInt | None = None
    learning_rate: PositiveNumber | None = None
    weight_decay: Annotated[Number, Field(ge=0)] | None = None
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] | None = None

    def of(self, student: StudentParams) -> StudentParams:
        """The baseline of this student."""
        return student.model_copy(update=self.model_dump(exclude_none=True))
