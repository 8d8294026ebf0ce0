"""A sentence that its figures no longer bear out misleads whoever repeats it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from cxr_distill.report.claims import Claim, read_claims, said, sentence, untrue
from docs.__main__ import CLAIMS, PLACES, pages, values

QUOTED = {
    "72%": "the blog post",
    "86%": "the blog post",
    "0.54": "10.1007/s10140-021-01954-x",
    "0.95": "10.1007/s10140-021-01954-x",
    "95%": "of intervals",
    "50%": "a prevalence that is assumed",
    "5%": "of the labels, by study/params.yaml",
    "20%": "of the labels, by study/params.yaml",
    "10%": "an example of a prevalence",
    "80%": "an example of a calibrated probability",
    "40%": "the patients of the simulated hospital, by study/plan/site.py",
}
"""Figures that no run of ours gives, and whose they are."""
FIGURE = re.compile(r"(?<![\w.])0?\.\d{2,}|(?<![\w.])\d+(?:\.\d+)?%")
TEMPLATES = [*sorted(PLACES.glob("*.j2")), *sorted((ROOT / "study/report/templates").glob("study*.j2"))]


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return values()


@pytest.fixture(scope="module")
def claims() -> Mapping[str, Claim]:
    return read_claims(CLAIMS)


def lowered(results: Any) -> Any:
    """The same results, had every teacher lowered every figure of its students."""
    if isinstance(results, list):
        return [lowered(each) for each in results]
    if not isinstance(results, dict):
        return results
    return {
        k: below_0(v) if "_minus_baseline" in k or k == "then_distillation" else lowered(v) for k, v in results.items()
    }


def below_0(difference: Mapping[str, Any]) -> dict[str, Any]:
    if "low" in difference:
        return {"value": -0.05, "low": -0.08, "high": -0.02}
    return {key: below_0(each) for key, each in difference.items()}


def test_every_claim_holds_for_the_committed_results(claims: Mapping[str, Claim], known: dict[str, Any]) -> None:
    false = [f"{name}: {sentence(claims[name], known)}" for name in untrue(claims, known)]
    assert not false, "no longer so; rewrite these in study/report/claims.yaml:\n" + "\n".join(false)


def test_each_claim_that_a_harmful_teacher_makes_false_is_named(
    claims: Mapping[str, Claim], known: dict[str, Any]
) -> None:
    named = untrue(claims, {**known, "study": lowered(known["study"])})
    about = [name for name, claim in claims.items() if re.search("_minus_baseline|then_distillation", " ".join(claim))]
    assert about and set(named) == set(about)


def test_a_claim_of_other_results_is_left_out(known: dict[str, Any]) -> None:
    sure = "study.augmentation.without.distilled_minus_baseline.test.auroc.low > 0"
    claims = {
        "sure": Claim(sure, "It helps."),
        "gone": Claim("true", "{{ study.nothing }}"),
        "true": Claim("true", "Yes."),
    }
    other = {**known, "study": lowered(known["study"])}
    assert said(claims, other) == {"sure": "", "gone": "", "true": "Yes."}


def test_every_claim_is_read_somewhere(claims: Mapping[str, Claim]) -> None:
    texts = " ".join(path.read_text() for path in [*TEMPLATES, *(ROOT / "docs/website").glob("*.j2")])
    assert set(re.findall(r"says\.(\w+)", texts)) == set(claims)


@pytest.mark.parametrize("page", [*pages(), *TEMPLATES, CLAIMS], ids=lambda path: path.name)
def test_no_figure_of_a_run_is_typed_by_hand(page: Path) -> None:
    text = " ".join(each.says for each in read_claims(page).values()) if page == CLAIMS else page.read_text()
    text = re.sub(r"(<!-- figures: \w+ -->\n).*?(<!-- /figures -->)", "", text, flags=re.S)
    text = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S)
    for code in (r"```.*?```", r"`[^`\n]+`", r"\]\([^)]*\)", r"\{[{%#].*?[}%#]\}", r"<[^>]*>"):
        text = re.sub(code, "", text, flags=re.S if code[0] in "`\\" else 0)
    assert [figure for figure in FIGURE.findall(text) if figure not in QUOTED] == []
