"""What all trainings read of params.yaml, besides the network, its schedule and its loss."""

from __future__ import annotations

from cxr_distill.nets.common.params import BalanceParams, FitSettings, OperatingPointParams, TrainerParams, ViewParams
from stages.params import load_params


def load_settings() -> FitSettings:
    """The sections views, balance, operating_point and trainer. Raises CxrError as `load_params` does."""
    return FitSettings(
        views=load_params("views", ViewParams),
        balance=load_params("balance", BalanceParams),
        operating_point=load_params("operating_point", OperatingPointParams),
        trainer=load_params("trainer", TrainerParams),
    )
