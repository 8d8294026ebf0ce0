"""Typed parameters of views, balance and training that teacher and students share."""

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


class FitParams(Params):
    """One training schedule: AdamW, linear warm-up, cosine decay to zero.

    keep: the weights of the last epoch, or of the one with the least validation loss.
    """

    epochs: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveNumber
    weight_decay: Annotated[Number, Field(ge=0)]
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)]
    keep: Literal["last", "best"]
    seed: Seed


class TrainerParams(Params):
    """Section `trainer`: handed to lightning.Trainer."""

    accelerator: Literal["auto", "cpu", "gpu", "mps", "tpu"]
    devices: PositiveInt | Literal["auto"]
    num_nodes: PositiveInt
    strategy: str
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed", "64-true"]
