"""Where the archive comes from and what it must hold."""

from typing import Annotated, Literal

from pydantic import Field

from cxr_distill.base.params import Params, PositiveInt, Seed


class ClassCounts(Params):
    """Images per class folder."""

    NORMAL: PositiveInt
    PNEUMONIA: PositiveInt


class SplitCounts(Params):
    """Images per official folder of the archive."""

    train: ClassCounts
    val: ClassCounts
    test: ClassCounts


class DataParams(Params):
    """Section `data`."""

    source: Literal["kaggle", "phantom"]
    dataset: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]
    version: PositiveInt
    phantom_seed: Seed
    expected_counts: SplitCounts
