"""The study's statistics: seeds and patients resampled together, effective alpha, calibration, similar geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cxr_distill.base.probabilities import EPSILON, log_odds, weighted_auroc
from cxr_distill.evaluation.bootstrap import DIGITS, Estimate, Floats, rounded
from cxr_distill.evaluation.scores import Scored, Statistic


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
    draws = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    return draws / seeds


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


def effective_alpha(alpha: float, temperature: float, *, classes: int) -> float:
    """The alpha at which Hinton's loss weighs labels and teacher as the blog's does at (`alpha`, `temperature`).

    (1 - alpha) CE + alpha KL / K is, but for a factor, (1 - a') CE + a' T^2 KL with
    a' = w / (1 - alpha + w), w = alpha / (K T^2).
    """
    weight = alpha / (classes * temperature**2)
    return weight / (1 - alpha + weight)


def balanced_log_loss(scored: Scored, weights: Floats) -> Floats:
    """Mean log-loss in nats (B,) under weights (B, N), normal and pneumonia counting alike."""
    p = np.where(scored.labels == 1, scored.probabilities, 1 - scored.probabilities)
    losses = -np.log(np.maximum(p, EPSILON))
    halves = [(weights @ (losses * group)) / (weights @ group) for group in (scored.labels == 0, scored.labels == 1)]
    mean: Floats = (halves[0] + halves[1]) / 2
    return mean


def called_share(group: NDArray[np.bool_], threshold: float) -> Statistic:
    """The share of the images of `group` (N,) that are called pneumonia: sensitivity, if they have it."""

    def share(scored: Scored, weights: Floats) -> Floats:
        called = (scored.probabilities >= threshold) & group
        result: Floats = (weights @ called) / np.maximum(weights @ group, EPSILON)
        return result

    return share


def threshold_for_prevalence(scored: Scored) -> float:
    """The highest threshold, in steps of 1e-6, that calls at least as many images pneumonia as have it."""
    ranked = np.sort(scored.probabilities)[::-1]
    return float(np.floor(ranked[int(scored.labels.sum()) - 1] * 10**DIGITS) / 10**DIGITS)


def scaled(scored: Scored, temperature: float) -> Scored:
    """The same images with the log-odds of pneumonia divided by `temperature`."""
    return Scored(scored.labels, expit(log_odds(scored.probabilities) / temperature), scored.patients)


def strata_of(score: Floats, *, strata: int) -> NDArray[np.int64]:
    """The stratum (N,) of each image, 0 to `strata` - 1: quantiles of `score`, equal scores together."""
    edges = np.quantile(score, np.arange(1, strata) / strata)
    return np.digitize(score, edges).astype(np.int64)


def auroc_within(strata: NDArray[np.int64]) -> Statistic:
    """AUROC over the pairs of a pneumonia and a normal image of one stratum: the ranking that the strata do not give.

    A mean of the strata's AUROC, each weighted by its pairs; strata with one class have none.
    """

    def within(scored: Scored, weights: Floats) -> Floats:
        total, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for stratum in np.unique(strata):
            rows = strata == stratum
            labels, part = scored.labels[rows], weights[:, rows]
            count = (part @ labels) * (part @ (1 - labels))
            with np.errstate(invalid="ignore"):
                auroc = weighted_auroc(labels, scored.probabilities[rows], part)
            total += np.where(count > 0, count * np.nan_to_num(auroc), 0)
            pairs += count
        result: Floats = total / np.maximum(pairs, EPSILON)
        return result

    return within
