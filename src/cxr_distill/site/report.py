"""The evaluation in words: a Markdown report, and the few lines that the command prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_distill.base.templates import interval, render
from cxr_distill.screen.site_file import SiteFile
from cxr_distill.site.labels import printable
from cxr_distill.site.measure import FEW, Figure

TEMPLATE = Path(__file__).parent / "templates" / "evaluation.md.j2"
NAMES = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "ece": "ECE",
    "brier": "Brier score",
}
SHORT = ("auroc", "accuracy", "sensitivity", "specificity")


def report(result: Mapping[str, Any], site: SiteFile | None, *, own_prevalence: bool) -> str:
    """Markdown. own_prevalence: whether the user named the prevalence."""
    return render(
        TEMPLATE,
        result=result,
        site=site,
        point=result["operating_point"],
        own_prevalence=own_prevalence,
        lead=_lead(result["all"]),
        names=NAMES,
        few=FEW,
        printable=printable,
    )


def summary(result: Mapping[str, Any], site: SiteFile | None) -> str:
    """Lines for a terminal: counts, the main figures, and the operating point."""
    each = result["all"]
    lines = [
        f"{result['films']:,} films: {each['films']:,} readable, {_rejected(result):,} of them rejected; "
        f"{each['patients']:,} patients",
        *(f"  {NAMES[key]:<12} {_words(each[key])}" for key in SHORT),
    ]
    if site is None:
        return "\n".join([*lines, f"no operating point: {result['no_operating_point']}"])
    point = result["operating_point"]
    lines.append(
        f"threshold {site.threshold:g} for a sensitivity of {site.sensitivity:g}: specificity "
        f"{_words(point['specificity'])}"
    )
    return "\n".join(lines)


def _rejected(result: Mapping[str, Any]) -> int:
    return sum(each["films"] for each in result["rejected"].values())


def _lead(each: Mapping[str, Any]) -> str:
    return (
        f"**AUROC {_words(each['auroc'])} on {each['films']:,} films of {each['patients']:,} patients; sensitivity "
        f"{_words(each['sensitivity'])}, specificity {_words(each['specificity'])}.**"
    )


def _words(figure: Figure | None) -> str:
    return interval(figure) if figure else "(too few patients)"
