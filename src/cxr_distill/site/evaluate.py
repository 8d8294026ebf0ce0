"""From labelled films and a model's verdicts to every figure of the report, and to an operating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import rounded
from cxr_distill.evaluation.scores import Scored
from cxr_distill.screen.session import Model
from cxr_distill.screen.site_file import SiteFile
from cxr_distill.screen.verdicts import UNLIKE_FILMS, Verdict
from cxr_distill.site.labels import Labelled
from cxr_distill.site.measure import count_patients, measure, measure_groups, measure_share, statistics
from cxr_distill.site.operating_point import choose_threshold, cross_validated, fit_calibration


def evaluate_films(
    films: Sequence[Labelled],
    verdicts: Sequence[Verdict],
    model: Model,
    *,
    by: Sequence[str],
    sensitivity: float,
    prevalence: float | None,
    name: str,
    date: str,
) -> tuple[dict[str, Any], SiteFile | None]:
    """Every figure, and the operating point if there are patients enough for one.

    verdicts: of `screen_files` with reject=False, in the order of `films`. Figures are of all readable films, and again
    of those that `cxr-screen` does not reject, if both classes are among them. The operating point is chosen on the
    latter. Raises CxrError if no film can be read, or all are of one class.
    """
    read = np.array([not verdict.unreadable for verdict in verdicts])
    typical = np.array([verdict.reason is None for verdict in verdicts])
    unlike = np.array([not v.unreadable and (v.reason or "").startswith(UNLIKE_FILMS) for v in verdicts])
    readable = _scored(films, verdicts, read)
    both = len({film.label for film, keep in zip(films, typical, strict=True) if keep}) == 2
    accepted = _scored(films, verdicts, typical) if both else None
    named = statistics(threshold=model.facts.threshold, prevalence=prevalence)
    columns = {column: [film.columns[column] for film, keep in zip(films, read, strict=True) if keep] for column in by}
    result: dict[str, Any] = {
        "date": date,
        "model_sha256": model.sha256,
        "threshold": model.facts.threshold,
        "films": len(films),
        "unreadable": {str(f.file): str(v.reason) for f, v in zip(films, verdicts, strict=True) if v.unreadable},
        "rejected": {
            "unlike": measure_share(unlike[read], readable.patients),
            "no_chest_film": measure_share((~typical & ~unlike)[read], readable.patients),
        },
        "patients_named": all(film.patient is not None for film in films),
        "prevalence": rounded(readable.labels.mean()) if prevalence is None else prevalence,
        "all": {**count_patients(readable), **measure(readable, named, prevalence=prevalence)},
        "accepted": {**count_patients(accepted), **measure(accepted, named, prevalence=prevalence)}
        if accepted
        else None,
        "groups": measure_groups(readable, named, columns, threshold=model.facts.threshold, prevalence=prevalence),
        "operating_point": None,
    }
    if accepted is None:
        return {**result, "no_operating_point": "all films of a class, or of both, are rejected"}, None
    try:
        site = _operating_point(accepted, model, sensitivity=sensitivity, name=name, date=date)
    except CxrError as error:
        return {**result, "no_operating_point": str(error)}, None
    chosen = statistics(threshold=site.threshold, prevalence=prevalence)
    calibrated = Scored(accepted.labels, site.calibration(accepted.probabilities), accepted.patients)
    result["operating_point"] = {
        "threshold": site.threshold,
        "wanted_sensitivity": sensitivity,
        **measure(
            accepted, {key: chosen[key] for key in ("sensitivity", "specificity", "ppv", "npv")}, prevalence=prevalence
        ),
        "cross_validated": {key: rounded(value) for key, value in cross_validated(accepted, sensitivity).items()},
        "calibrated": measure(calibrated, {key: named[key] for key in ("ece", "brier")}),
    }
    return result, site


def _scored(films: Sequence[Labelled], verdicts: Sequence[Verdict], rows: NDArray[np.bool_]) -> Scored:
    """The films of `rows`; a film of which no patient is named is a patient of its own."""
    kept = [(f, v) for f, v, keep in zip(films, verdicts, rows, strict=True) if keep]
    if not kept:
        raise CxrError("no film can be read; cxr-screen says why for each file")
    return Scored(
        np.array([film.label for film, _ in kept], np.int64),
        np.array([verdict.p_pneumonia for _, verdict in kept], np.float64),
        np.array([f"patient {f.patient}" if f.patient is not None else f"film {f.file}" for f, _ in kept]),
    )


def _operating_point(accepted: Scored, model: Model, *, sensitivity: float, name: str, date: str) -> SiteFile:
    return SiteFile(
        name=name,
        threshold=choose_threshold(accepted, sensitivity),
        sensitivity=sensitivity,
        calibration=fit_calibration(accepted),
        prevalence=rounded(accepted.labels.mean()),
        films=len(accepted.labels),
        patients=len(np.unique(accepted.patients)),
        model_sha256=model.sha256,
        date=date,
    )
