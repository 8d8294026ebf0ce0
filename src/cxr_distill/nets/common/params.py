"""Typed parameters of views, balance and training that teacher and students share."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cxr_distill.base.params import Fraction, Number, Params, PositiveInt, PositiveNumber, Seed


class ViewParams(Params):
    """Section `views`: how strongly a view changes an image."""

    seed: Seed
    rotation_degrees: Annotated[Number, Field(ge=0, le=180)]
    translation: Annotated[Number, Field(ge=0, le=0.5)]
    scale: Annotated[Number, Field(ge=0, lt=1)]
    aspect: Annotated[Number, Field(ge=0, lt=1)]
    flip: Fraction
    contrast: Annotated[Number, Field(ge=0, lt=1)]
    brightness: Fraction
    gamma: Annotated[Number, Field(ge=0, lt=1)]
    detail: Annotated[Number, Field(ge=0, lt=1)]
    erase: Annotated[Number, Field(ge=0, lt=1)]
    frame: Fraction


class BalanceParams(Params):
    """Section `balance`: which images an epoch shows, and of which the BatchNorm statistics are."""

    classes: bool
    batchnorm: Literal["images", "views"]
    film_quality: Fraction

    @model_validator(mode="after")
    def _film_quality_needs_balance(self) -> Self:
        if self.film_quality and not self.classes:
            raise ValueError("film_quality above 0 needs classes: true")
        return self


class OperatingPointParams(Params):
    """Section `operating_point`: the validation films on average over which P(pneumonia) = 0.5 shall be right.

    widths: stretched to each of these; frames: so many times reframed by partners of any class.
    """

    widths: list[Annotated[Number, Field(ge=0.5, le=2)]]
    frames: Annotated[int, Field(ge=0, le=16)]


class SoftTargetParams(Params):
    """Section `soft_targets`."""

    count: PositiveInt


class ScheduleParams(Params):
    """One training schedule: AdamW, linear warm-up, cosine decay to zero."""

    epochs: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveNumber
    weight_decay: Annotated[Number, Field(ge=0)]
    seed: Seed


class FitParams(ScheduleParams):
    """The schedule of a classifier. keep: the weights of the last epoch, or of that with the least validation loss."""

    label_smoothing: Annotated[Number, Field(ge=0, lt=1)]
    keep: Literal["last", "best"]


class TrainerParams(Params):
    """Section `trainer`: handed to lightning.Trainer."""

    accelerator: Literal["auto", "cpu", "gpu", "mps", "tpu"]
    devices: PositiveInt | Literal["auto"]
    num_nodes: PositiveInt
    strategy: str
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"]


class FitSettings(Params):
    """What a training has beside its network, its loss and its schedule.

    view_count: after how many epochs the views repeat; None: never. operating_point: None where the network has none.
    validate_after: which epochs; a run that keeps the best epoch needs each, to others it makes no difference.
    resume: folder in which a killed run leaves what it needs to go on.
    """

    views: ViewParams
    balance: BalanceParams
    operating_point: OperatingPointParams | None
    trainer: TrainerParams
    view_count: PositiveInt | None = None
    validate_after: Literal["each", "last", "never"] = "each"
    resume: Path | None = None
