"""How archive images become tensors and splits."""

from typing import Annotated

from pydantic import Field

from cxr_distill.base.params import Number, Params, Seed


class PreprocessParams(Params):
    """Section `preprocess`."""

    image_size: Annotated[int, Field(ge=16, le=1024)]
    validation_fraction: Annotated[Number, Field(gt=0, lt=0.5)]
    seed: Seed
