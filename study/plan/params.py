"""What study/params.yaml asks: which students there are, and for every question who is trained how often."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import Number, Params, PositiveInt, PositiveNumber, parse
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import BalanceParams, OperatingPointParams
from cxr_distill.nets.student.params import StudentParams

FILE = "study/params.yaml"
Seeds = Annotated[int, Field(ge=2, le=100)]
"""How many seeds, from that of params.yaml on."""


class Architecture(Params):
    """An entry of `students`: what it changes in section `student` of params.yaml."""

    arch: Literal["plain", "residual"]
    channels: list[PositiveInt]


class LabelParams(Params):
    """Section `labels`: the shares of the training patients whose labels are known. All of them: group `size`."""

    student: str
    shares: Annotated[list[Annotated[Number, Field(gt=0, lt=1)]], Field(min_length=1)]


class AugmentationParams(Params):
    """Section `augmentation`: the student without augmentation, as baseline and distilled. With it: group `size`."""

    student: str


class SiteParams(Params):
    """Section `site`: a second hospital with so many films, whose students begin with random weights or a release.

    learning_rate: of those that begin with the release.
    """

    films: Annotated[list[Annotated[int, Field(ge=20)]], Field(min_length=1)]
    seeds: Seeds
    learning_rate: PositiveNumber


class BlogParams(Params):
    """Section `blog`: its recipe, with and without a teacher, at the learning rates of its two programs, lower first.

    pool: the student sees means of pool x pool pixels.
    """

    student: str
    learning_rates: Annotated[list[PositiveNumber], Field(min_length=2, max_length=2)]
    distill: DistillParams
    classes: Literal[2, 3]
    pool: PositiveInt
    epochs: PositiveInt
    keep: Literal["last", "best"]
    balance: BalanceParams
    operating_point: OperatingPointParams


class Study(Params):
    """All of study/params.yaml.

    seeds: on both sides of every comparison, but at the site. size: smaller students, as baseline and distilled.
    """

    students: Annotated[dict[str, Architecture], Field(min_length=1)]
    seeds: Seeds
    size: Annotated[list[str], Field(min_length=1)]
    labels: LabelParams
    augmentation: AugmentationParams
    site: SiteParams
    blog: BlogParams


def read_study(path: Path) -> Study:
    """The questions in the file `path`.

    Raises CxrError if it cannot be read, naming each wrong key, or if a question is about a student that it lacks.
    """
    try:
        sections = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CxrError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    try:
        study = parse(Study, sections, "study")
    except CxrError as error:
        raise CxrError(f"study/{error}".replace(" study.", " ")) from None
    asked = {f"{name}.student": getattr(study, name).student for name in ("labels", "augmentation", "blog")}
    asked |= {f"size.{number}": name for number, name in enumerate(study.size)}
    for key, student in asked.items():
        if student not in study.students:
            raise CxrError(f"{FILE}: {key}: no student has the name {student!r}")
    return study


def student_of(study: Study, name: str, student: StudentParams, **changes: Any) -> StudentParams:
    """The entry `name` of `students`, and what else it `changes` in section `student`. Raises CxrError if wrong."""
    merged = {**student.model_dump(), **study.students[name].model_dump(), **changes}
    return parse(StudentParams, merged, f"students.{name}")
