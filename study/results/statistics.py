"""The study's statistics: a figure over seeds and patients, and how often its interval holds the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from cxr_distill.evaluation.bootstrap import Estimate, Floats, rounded


@dataclass(frozen=True)
class OverSeeds:
    """A figure of networks that differ in the seed: that of each seed (S,), and their mean in resamples of patients."""

    seeds: Floats
    patients: Estimate

    def __sub__(self, other: OverSeeds) -> OverSeeds:
        """The difference, paired by patient and by seed; one network alone is taken from each seed."""
        return OverSeeds(self.seeds - other.seeds, self.patients - other.patients)

    def summary(self) -> dict[str, float]:
        """{mean, sd, low, high, seeds}: sd between seeds, and the 95% interval over seeds and patients; S >= 2."""
        value, low, high = self.difference().values()
        sd = rounded(self.seeds.std(ddof=1))
        return {"mean": value, "sd": sd, "low": low, "high": high, "seeds": len(self.seeds)}

    def difference(self) -> dict[str, float]:
        """{value, low, high}, the same."""
        half = float(half_width(self.seeds, self.patients.resamples.var()))
        value = self.patients.value
        return {"value": rounded(value), "low": rounded(value - half), "high": rounded(value + half)}


def half_width(seeds: Floats, of_patients: float | Floats) -> Floats:
    """Half of the 95% interval (...) of the mean over `seeds` (..., S).

    The variance of the mean is that between seeds, over S, plus `of_patients` (...), its variance over resamples of
    patients. The quantile is Student's t, with the degrees of freedom of such a sum (Satterthwaite, Biometrics Bulletin
    1946); those of the patients are many, and count as infinite. What a seed does on some patients and not on others
    is in both variances, so the interval is rather too wide.
    """
    count = seeds.shape[-1]
    between = seeds.var(axis=-1, ddof=1) / count
    total = np.asarray(between + of_patients)
    larger = np.divide(total, between, out=np.full(total.shape, 1e4), where=between > 0)
    width: Floats = stdtrit((count - 1) * np.square(larger), 0.975) * np.sqrt(total)
    return width


def over_seeds(each: Sequence[Estimate]) -> OverSeeds:
    """The mean over seeds of one figure; `each`: one per seed, all from the same resamples of patients."""
    seeds = np.array([one.value for one in each])
    return OverSeeds(seeds, Estimate(float(seeds.mean()), np.mean([one.resamples for one in each], axis=0)))


def seed_coverage(seeds: int) -> float:
    """How often the interval of `half_width` holds the true mean over so many seeds: by simulation, the worst case.

    Of 20,000 students for each share of the variance that seeds may have; they and patients shift it normally.
    """
    random = np.random.default_rng(0)
    shifted = []
    for share in np.linspace(0, 1, 11):
        figures = np.sqrt(share * seeds) * random.standard_normal((20_000, seeds))
        figures += np.sqrt(1 - share) * random.standard_normal((20_000, 1))
        shifted.append((np.abs(figures.mean(axis=1)) <= half_width(figures, 1 - share)).mean())
    return rounded(min(shifted))
