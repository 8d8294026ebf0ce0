"""Which network the teacher is, and how it is trained."""

from typing import Annotated, Literal

from pydantic import Field

from cxr_distill.nets.common.params import FitParams


class TeacherParams(FitParams):
    """Section `teacher`.

    image_size: side in pixels of the lungs that it sees; a teacher that sees films sees those of the student.
    """

    arch: str
    sees: Literal["lungs", "film"]
    image_size: Annotated[int, Field(ge=32, le=512)]
    pretrained: bool
