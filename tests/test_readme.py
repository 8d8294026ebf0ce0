"""README quotes the committed run and nothing else."""

from conftest import ROOT


def test_readme_holds_the_table_that_the_pipeline_wrote() -> None:
    quoted = (ROOT / "README.md").read_text().split("<!-- results -->\n")[1].split("<!-- /results -->")[0]
    written = (ROOT / "reports/comparison.md").read_text().split("\n", 2)[2]
    assert quoted == written, "run `make readme`"
