"""What a network of the study changes in params.yaml, and the study's own knobs."""

from typing import Annotated, Literal

from pydantic import Field

from cxr_distill.base.params import Params, PositiveInt, PositiveNumber, Seed
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import BalanceParams


class AloneCell(Params):
    """An entry of `alone` in study/params.yaml: a student from labels. What it leaves out is as in params.yaml."""

    group: Literal["seeds", "grid", "blog", "ablation"]
    arch: Literal["plain", "residual"]
    channels: list[PositiveInt]
    seed: Seed
    classes: Literal[2, 3] = 3
    pool: PositiveInt = 1
    epochs: PositiveInt | None = None
    learning_rate: PositiveNumber | None = None
    keep: Literal["last", "best"] | None = None
    views: bool = True
    balance: BalanceParams | None = None


class TaughtCell(AloneCell):
    """An entry of `taught`: the same with a teacher, whose soft targets belong to what the student sees.

    teacher_mode: whether the teacher's BatchNorm goes by its own statistics (eval) or those of the batch (train);
    without views only.
    """

    distill: DistillParams
    teacher_mode: Literal["eval", "train"] = "eval"


class StudyParams(Params):
    """Section `study` of study/params.yaml."""

    strata: Annotated[int, Field(ge=2, le=100)]
    examples: Annotated[int, Field(ge=1, le=50)]
