"""What study/params.yaml asks: which students there are, and for every question who is trained how often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import Fraction, Number, Params, ParamsT, PositiveInt, PositiveNumber, parse
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import BalanceParams, OperatingPointParams

FILE = "study/params.yaml"
Seeds = Annotated[int, Field(ge=2, le=100)]
"""How many seeds, from that of params.yaml on."""


class StrataParams(Params):
    """Section `study`: into how many strata of similar geometry the test films are divided."""

    strata: Annotated[int, Field(ge=2, le=100)]


class Architecture(Params):
    """An entry of `students`: what it changes in section `student` of params.yaml."""

    arch: Literal["plain", "residual"]
    channels: list[PositiveInt]


class SizeParams(Params):
    """An entry of `size`: how many seeds of this student, as baseline and distilled by teachers that see these."""

    seeds: Seeds
    teachers: Annotated[list[Literal["film", "lungs"]], Field(min_length=1)]


class LabelParams(Params):
    """Section `labels`: the shares of the training patients whose labels are known. All of them: group `size`."""

    student: str
    shares: Annotated[list[Annotated[Number, Field(gt=0, lt=1)]], Field(min_length=1)]
    seeds: Seeds


class AugmentationParams(Params):
    """Section `augmentation`: the student without augmentation, as baseline and distilled. With it: group `size`."""

    student: str
    seeds: Seeds


class GridParams(Params):
    """Section `grid`: every alpha with every temperature; the point of section `blog` is added."""

    student: str
    alpha: Annotated[list[Fraction], Field(min_length=1)]
    temperature: Annotated[list[PositiveNumber], Field(min_length=1)]


class Change(Params):
    """What one setting of the student alone changes in section `student` of params.yaml; None: nothing."""

    epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    learning_rate: PositiveNumber | None = None
    weight_decay: Number | None = None
    label_smoothing: Fraction | None = None

    def values(self) -> dict[str, float]:
        """The keys that it changes, with their values."""
        return self.model_dump(exclude_none=True)

    def words(self) -> str:
        """E.g. `epochs 48, learning_rate 0.004`."""
        return ", ".join(f"{key} {value:g}" for key, value in self.values().items())


class TuningParams(Params):
    """Section `tuning`: settings of the student alone, one seed each, besides that of params.yaml.

    chosen: one of them; each of `students` is trained with it on all its seeds of group `size`.
    """

    student: str
    settings: Annotated[list[Change], Field(min_length=1)]
    chosen: Change
    students: Annotated[list[str], Field(min_length=1)]


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


@dataclass(frozen=True)
class Study:
    """All of study/params.yaml."""

    strata: int
    students: dict[str, Architecture]
    size: dict[str, SizeParams]
    labels: LabelParams
    augmentation: AugmentationParams
    grid: GridParams
    tuning: TuningParams
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
    if not isinstance(sections, dict):
        raise CxrError(f"{path} has no sections")
    if unknown := sorted(sections.keys() - Study.__dataclass_fields__.keys() - {"study"}, key=str):
        raise CxrError(f"{FILE}: no question has the name {', '.join(map(str, unknown))}")
    study = Study(
        strata=_section(StrataParams, sections, "study").strata,
        students=_entries(Architecture, sections, "students"),
        size=_entries(SizeParams, sections, "size"),
        labels=_section(LabelParams, sections, "labels"),
        augmentation=_section(AugmentationParams, sections, "augmentation"),
        grid=_section(GridParams, sections, "grid"),
        tuning=_section(TuningParams, sections, "tuning"),
        site=_section(SiteParams, sections, "site"),
        blog=_section(BlogParams, sections, "blog"),
    )
    asked = {
        f"{name}.student": getattr(study, name).student for name in ("labels", "augmentation", "grid", "tuning", "blog")
    }
    asked |= {f"size.{name}": name for name in study.size}
    for key, student in asked.items():
        if student not in study.students:
            raise CxrError(f"{FILE}: {key}: no student has the name {student!r}")
    return study


def _section(kind: type[ParamsT], sections: dict[str, Any], name: str) -> ParamsT:
    return _parsed(kind, sections.get(name), name)


def _entries(kind: type[ParamsT], sections: dict[str, Any], name: str) -> dict[str, ParamsT]:
    entries = sections.get(name)
    if not isinstance(entries, dict) or not entries:
        raise CxrError(f"{FILE}: {name} needs an entry for every student")
    return {str(key): _parsed(kind, values, f"{name}.{key}") for key, values in entries.items()}


def _parsed(kind: type[ParamsT], values: Any, section: str) -> ParamsT:
    try:
        return parse(kind, values, section)
    except CxrError as error:
        raise CxrError(f"study/{error}") from None
