"""A second hospital, made of the data set: the patients with the highest numbers, whom its release has never seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from study.plan.settings import StudentSetting

SHARE = 0.4
"""Of the patients of each class: those with the highest numbers are the site's."""
JUDGED = 5
"""Of so many patients of a class, one is for validation."""


class SiteSetting(StudentSetting):
    """A student of the site. films: how many the site has; 0: its release, which learns from all other patients.

    `student.init` release means that release.
    """

    films: int


@dataclass(frozen=True)
class SiteRows:
    """Rows (N,) of the train and validation splits, one after the other: to learn from, for validation, to measure."""

    learned: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


def site_rows(index: pd.DataFrame, films: int, *, most: int) -> SiteRows:
    """The rows of a site with about `films` films, or of its release (0). No site of up to `most` films has `held_out`.

    Whole patients, in a seeded order, so that a smaller site is part of a larger one. The test split is not touched.
    Raises CxrError if the data set is too small.
    """
    both = in_order(index)
    # The finest key that a file's name gives may split a patient; this one surely does not.
    patient = both["patient"].str.replace(r"^NORMAL2-|_[a-z]+$", "", regex=True)
    patients = both.groupby(patient, sort=True).agg(label=("label", "first"), films=("label", "size"))
    number = patients.index.str.extract(r"(\d+)$", expand=False).astype(float)
    rank = number.to_series(index=patients.index).groupby(patients["label"]).rank(pct=True, method="first")
    site = patients[rank > 1 - SHARE]
    site = site.iloc[np.random.default_rng(0).permutation(len(site))]
    before = site["films"].cumsum() - site["films"]
    own = site[before < films]
    judged = own[own.groupby("label").cumcount() % JUDGED == 0].index
    at_site, validation = patient.isin(site.index), patient.isin(judged)
    if films == 0:
        validation = ~at_site & (both["split"] == "val")
    learned = (patient.isin(own.index) if films else ~at_site) & ~validation
    held_out = patient.isin(site[before >= most].index)
    if both["label"][held_out].nunique() < 2:
        raise CxrError(
            f"study/params.yaml: site.films: the site has {site['films'].sum()} films; leave more than {most}"
        )
    return SiteRows(learned.to_numpy(), validation.to_numpy(), held_out.to_numpy())


def in_order(index: pd.DataFrame) -> pd.DataFrame:
    """The films that `SiteRows` are about: those of the train split, then those of validation."""
    return pd.concat([index[index["split"] == split] for split in ("train", "val")], ignore_index=True)
