"""Which training films have a label where only a share of the patients has one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def labelled_films(index: pd.DataFrame, share: float) -> NDArray[np.bool_]:
    """(N,) True where the training film has a label, in the order of `index`; share: of the patients, rounded up.

    Whole patients, as many of every subtype (that of a patient's first film). Those of a smaller share are among those
    of a larger one.
    """
    films = index[index["split"] == "train"]
    patients = films.drop_duplicates("patient").sort_values("patient")
    shuffled = patients.iloc[np.random.default_rng(0).permutation(len(patients))]
    groups = shuffled.groupby("subtype")["patient"]
    chosen = shuffled["patient"][groups.cumcount() < np.ceil(share * groups.transform("size") - 1e-9)]
    return films["patient"].isin(chosen).to_numpy()


def count_labelled(index: pd.DataFrame, share: float) -> dict[str, int]:
    """How many training `patients` and `films` of `index` have a label, share being that of `labelled_films`."""
    chosen = index[index["split"] == "train"][labelled_films(index, share)]
    return {"patients": int(chosen["patient"].nunique()), "films": len(chosen)}
