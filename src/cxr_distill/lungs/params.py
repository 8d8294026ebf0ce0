"""Parameters of the stage `find_lungs`."""

from typing import Annotated

from pydantic import Field

from cxr_distill.base.params import Params, PositiveInt, PositiveNumber, Seed


class LungParams(Params):
    """Section `lungs`: the network that finds the lungs."""

    # Narrower ones hang or corrupt memory on processors with AVX2 alone, as in nets.student.params.
    channels: Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=1)]
    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveNumber
    weight_decay: PositiveNumber
    seed: Seed
