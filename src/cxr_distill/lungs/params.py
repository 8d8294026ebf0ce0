"""Parameters of the stage `find_lungs`."""

from typing import Annotated

from pydantic import Field

from cxr_distill.nets.common.params import ScheduleParams


class LungParams(ScheduleParams):
    """Section `lungs`: the network that finds the lungs, and its schedule."""

    # Narrower ones hang or corrupt memory on processors with AVX2 alone, as in nets.student.params.
    channels: Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=1)]
