"""Where the archive comes from and what it must hold."""

from typing import Any, Literal

from cxr_distill.base.params import Params, PositiveInt


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
    """Section `data`. The module of each source checks the knobs of that source."""

    source: Literal["kaggle", "phantom"]
    kaggle: dict[str, Any]
    phantom: dict[str, Any]
    expected_counts: SplitCounts
