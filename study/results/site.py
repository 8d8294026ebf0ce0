"""The answer for a hospital with films of its own: what a student gains from the release's weights."""

from __future__ import annotations

import pandas as pd

from study.plan.matrix import SITE_RELEASE, site_cell
from study.plan.site import in_order, site_rows
from study.results.networks import Asked, Figures, difference, one_network, summaries


def held_out(films: pd.DataFrame, *, most: int) -> pd.DataFrame:
    """The films of the hospital that no student has; films: of study/gathered/films.csv."""
    return in_order(films)[site_rows(films, most, most=most).held_out]


def site(asked: Asked, films: pd.DataFrame) -> Figures:
    """Section `site`: by number of films, students from random weights and from the release; and the release as it is.

    films: of study/gathered/films.csv.
    """
    wanted, first = asked.study.site, asked.main.student.seed
    most, seeds = max(wanted.films), range(first, first + wanted.seeds)
    measured_on, release = held_out(films, most=most), asked.networks[SITE_RELEASE]
    figures: Figures = {
        "release_learned_from": int(site_rows(films, 0, most=most).learned.sum()),
        "held_out": {"films": len(measured_on), "patients": int(measured_on["patient"].nunique())},
        "learning_rate": wanted.learning_rate,
        "release": one_network(release, asked.draws),
        "sizes": {},
    }
    as_it_is = asked.measured([release])
    for count in sorted(wanted.films):
        random, begun = (
            asked.measured([asked.networks[site_cell(count, init, seed)] for seed in seeds])
            for init in ("random", "release")
        )
        rows = site_rows(films, count, most=most)
        used = in_order(films)[rows.learned | rows.judged]
        figures["sizes"][str(count)] = {
            "films": len(used),
            "patients": int(used["patient"].nunique()),
            "random": summaries(random),
            "release": summaries(begun),
            "release_minus_random": difference(begun, random),
            "trained_minus_release": difference(begun, as_it_is),
        }
    return figures
