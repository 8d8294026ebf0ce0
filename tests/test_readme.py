"""README quotes the committed run and nothing else."""

from conftest import ROOT


def test_readme_holds_the_table_that_the_pipeline_wrote() -> None:
    quoted = (ROOT / "README.md").read_text().split("<!-- results -->\n")[1].split("<!-- /results -->")[0]
    written = (ROOT / "reports/comparison.md").read_text().split("\n", 2)[2]
    assert quoted == written, "run `make readme`"


def test_readme_holds_the_answers_that_the_study_wrote() -> None:
    quoted = (ROOT / "README.md").read_text().split("<!-- study -->\n")[1].split("<!-- /study -->")[0]
    report = ROOT / "reports/study.md"
    written = report.read_text().split("## In short\n")[1].split("## ")[0] if report.exists() else ""
    assert quoted == written, "run `make readme`"
