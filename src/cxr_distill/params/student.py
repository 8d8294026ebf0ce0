"""Which network the student is, and how it is trained."""

from typing import Annotated

from pydantic import Field

from cxr_distill.params.strict import PositiveInt
from cxr_distill.params.training import FitParams


class StudentParams(FitParams):
    """Section `student`: three convolutions of these widths and kernel sizes."""

    channels: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)]
    kernels: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)]
