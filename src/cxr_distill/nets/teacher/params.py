"""Which network the teacher is, and how it is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cxr_distill.nets.common.params import FitParams


class TeacherParams(FitParams):
    """Section `teacher`.

    sees: kinds of picture that the one network learns from, and is asked about. image_size: side in pixels of the
    lungs; films have that of the student.
    """

    arch: str
    sees: Annotated[list[Literal["film", "lungs"]], Field(min_length=1)]
    image_size: Annotated[int, Field(ge=32, le=512)]
    pretrained: bool

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.sees)) < len(self.sees):
            raise ValueError("sees names one of them twice")
        return self
