"""The study's statistics: seeds and patients resampled together, and how far few seeds can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_distill.evaluation.bootstrap import Estimate, Floats, rounded


@dataclass(frozen=True)
class OverSeeds:
    """A figure of one student over its seeds: per seed, and with its resamples of seeds and patients."""

    seeds: Floats  # (S,)
    draw: Estimate

    def summary(self) -> dict[str, float]:
        """{mean, sd, low, high, seeds}: sd between seeds, and the 95% interval over seeds and patients."""
        return {
            "mean": rounded(self.draw.value),
            "sd": rounded(self.seeds.std(ddof=1)),
            **self.draw.interval(),
            "seeds": len(self.seeds),
        }


def seed_picks(seeds: int, *, resamples: int, seed: int) -> Floats:
    """The share of each seed when `seeds` of them are drawn with replacement: (resamples, seeds), rows sum to one."""
    return np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds


def over_seeds(draws: Sequence[Estimate], picks: Floats) -> OverSeeds:
    """The mean over seeds of one figure, in resamples of seeds and of patients at once (a hierarchical bootstrap).

    `draws`: one per seed, all from the same resamples of patients; `picks` (B, S) from `seed_picks`. With the same
    picks for two students whose seeds belong together, the difference of the results is paired in both.
    """
    mixed = np.einsum("bs,sb->b", picks, np.stack([draw.resamples for draw in draws]))
    seeds = np.array([draw.value for draw in draws])
    return OverSeeds(seeds, Estimate(float(seeds.mean()), mixed))


def seed_coverage(seeds: int) -> float:
    """How often a 95% interval of `over_seeds` holds the true mean where nothing but seeds differ: by simulation.

    Of 4,000 students, whose figure is normally distributed over `seeds` seeds.
    """
    figures = np.random.default_rng(0).standard_normal((4000, seeds))
    low, high = np.percentile(figures @ seed_picks(seeds, resamples=1000, seed=0).T, [2.5, 97.5], axis=1)
    return rounded(float(((low <= 0) & (high >= 0)).mean()))
