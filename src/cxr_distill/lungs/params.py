"""Parameters of the stage `find_lungs`."""

from typing import Annotated

from pydantic import Field

from cxr_distill.base.params import Params, PositiveInt, PositiveNumber, Seed


class LungParams(Params):
    """Section `lungs`: the network that finds the lungs."""

    channels: Annotated[list[PositiveInt], Field(min_length=1)]
    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveNumber
    weight_decay: PositiveNumber
    seed: Seed
