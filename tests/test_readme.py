"""A page that quotes another run, or names a command that is not there, costs its reader an evening."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml
from conftest import ROOT
from prose import figures, sentences

from cxr_distill.nets.common.layers import count_parameters
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from docs.__main__ import PICTURE, PLACES, filled, pages, values
from docs.architecture import picture

README = ROOT / "README.md"
PAGES = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "reports" / "decisions.md"]
FOLDERS = (ROOT, ROOT / "src" / "cxr_distill", ROOT / "study")
MADE_LATER = ("data/", "models/", "stages/NAME.py", "tests/test_NAME.py",
              "labels.csv", "report.md", "evaluation.png", "site.json", "films.csv", "evaluation.json",
              "films.key")  # fmt: skip
READ = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "release/MODEL_CARD.md", ROOT / "study/reports/study.md"]
TEMPLATES = sorted(PLACES.glob("*.md.j2"))
BANNED = ("other frame", "frame of the other class", "taught by", "teacher of lungs", "teacher of films",
          "not measurably different", "single precision", "evidence in the lungs", "typicality")  # fmt: skip


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return values()


def by_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.S | re.M)


def code(page: Path) -> list[str]:
    """What a page shows as code: lines of its blocks, without comments, and what stands between backticks."""
    text = page.read_text()
    lines = [line.split("#")[0].strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def prose(page: Path) -> str:
    """What a page says outside code and outside the targets of its links, in one line."""
    text = re.sub(r"`[^`\n]+`|\]\([^)]*\)", "", BLOCK.sub("", page.read_text()))
    return " ".join(text.lower().split())


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_every_figure_is_that_of_the_committed_results(page: Path, known: dict[str, Any]) -> None:
    assert filled(page.read_text(), known) == page.read_text(), "run `make readme`"


def test_every_template_fills_one_place() -> None:
    places = [name for page in pages() for name in re.findall(r"<!-- figures: (\w+) -->", page.read_text())]
    assert sorted(places) == [path.name.removesuffix(".md.j2") for path in TEMPLATES]


@pytest.mark.parametrize("page", [*pages(), ROOT / "CONTRIBUTING.md"], ids=by_name)
def test_pages_speak_the_words_of_the_field(page: Path) -> None:
    assert [phrase for phrase in BANNED if phrase in prose(page)] == []


@pytest.mark.parametrize("page", READ, ids=by_name)
def test_sentences_are_short_and_hold_few_figures(page: Path) -> None:
    found = sentences(page.read_text())
    lengths = [len(sentence.split()) for sentence in found]
    assert [sentence for sentence in found if len(sentence.split()) > 28] == []
    assert median(lengths) <= 15
    assert [sentence for sentence in found if len(figures(sentence)) > 2] == []


def test_what_counts_as_a_sentence_and_as_a_figure() -> None:
    page = (
        "# Of 3\n\nIt has 5 *seeds*. [Here](a.md) are 0.9 [0.8, 1.0].\n\n| 1 | 2 |\n\n- One of the\n  `2` items\n- No"
    )
    assert sentences(page) == ["It has 5 seeds.", "Here are 0.9 [0.8, 1.0].", "One of the `2` items"]
    assert [figures(each) for each in sentences(page)] == [["5"], ["0.9"], []]
    assert figures("The 18k student in fp32 by ResNet-18 of 2026-11-30 has 86% and +0.1") == ["86%", "+0.1"]


def test_the_picture_of_the_rooms_is_that_of_the_imports() -> None:
    assert (ROOT / PICTURE).read_bytes() == picture() == picture(), "run `make readme`"


@pytest.mark.parametrize(("page", "most"), [(README, 150), (ROOT / "docs/how-it-works.md", 120)])
def test_what_is_read_first_is_short(page: Path, most: int) -> None:
    assert len(page.read_text().splitlines()) <= most


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", page.read_text())
    for link in {one or other for one, other in links}:
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_make_target_stage_knob_and_file_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    stages = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    knobs = yaml.safe_load((ROOT / "params.yaml").read_text())
    for words in code(page):
        for target in re.findall(r"(?:^|&& |; )make ([a-z-]+)", words):
            assert target in targets, words
        for stage in re.findall(r"dvc repro(?: -\S+)* ([a-z]\w+)", words):
            assert stage in stages, words
        for module in re.findall(r"-m ([\w.]+)", words):
            path = ROOT / module.replace(".", "/")
            assert (
                module in ("pytest", "venv") or path.with_suffix(".py").exists() or (path / "__main__.py").exists()
            ), words
        for knob in re.findall(r"-S '?([a-z_.]+)=", words):
            value = knobs
            for key in knob.split("."):
                assert key in value, words
                value = value[key]
        if re.fullmatch(r"[\w./-]+\.(py|yaml|yml|toml|json|lock|md|csv|txt|svg|png|j2)", words):
            assert words.startswith(MADE_LATER) or any((folder / words).exists() for folder in FOLDERS), words


def test_the_table_of_stages_has_every_stage() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().split("| stage |")[1].split("\n\n")[0]
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]:
        assert re.search(rf"`{stage}[`@]", table), stage


def test_how_it_works_quotes_the_params() -> None:
    page = " ".join((ROOT / "docs" / "how-it-works.md").read_text().split())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    views, epochs = params["soft_targets"]["count"], params["student"]["epochs"]
    student = build_student(StudentParams.model_validate(params["student"]))
    assert f"labels views 0 to {views - 1} once (`soft_targets.count: {views}`)" in page
    assert f"trains for {epochs} epochs. Epoch e uses view e modulo {views}." in page
    assert f"residual network of {count_parameters(student):,} parameters" in page
    assert f"(`operating_point.frames: {params['operating_point']['frames']}`)" in page
