"""What a student of the study changes in params.yaml, and which students answer a question together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import Params, ParamsT, PositiveInt, PositiveNumber, Seed, parse
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import BalanceParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams

FILE = "study/params.yaml"


class AloneCell(Params):
    """An entry of `alone` in study/params.yaml: a student from labels. What it leaves out is as in params.yaml."""

    group: Literal["seeds", "grid", "blog", "ablation"]
    arch: Literal["plain", "residual"]
    channels: list[PositiveInt]
    seed: Seed
    classes: Literal[2, 3] = 3
    pool: PositiveInt = 1
    epochs: PositiveInt | None = None
    learning_rate: PositiveNumber | None = None
    keep: Literal["last", "best"] | None = None
    views: bool = True
    balance: BalanceParams | None = None


class TaughtCell(AloneCell):
    """An entry of `taught`: the same with a teacher.

    teacher_mode: whether the teacher's BatchNorm uses its own statistics (eval) or those of each batch (train). Train
    needs views: false.
    """

    distill: DistillParams
    teacher_mode: Literal["eval", "train"] = "eval"

    @model_validator(mode="after")
    def _train_mode_needs_whole_images(self) -> Self:
        if self.teacher_mode == "train" and self.views:
            raise ValueError("teacher_mode: train needs views: false")
        return self


Cells = Mapping[str, AloneCell | TaughtCell]


class StudyParams(Params):
    """Section `study` of study/params.yaml."""

    strata: Annotated[int, Field(ge=2, le=100)]


class Setting(Params):
    """A cell filled up from params.yaml: all that its training depends on besides data, code and processor.

    teacher: what its soft targets belong to, views or whole images (by mode of the teacher's BatchNorm).
    """

    student: StudentParams
    views: ViewParams
    balance: BalanceParams
    trainer: TrainerParams
    view_count: PositiveInt
    classes: Literal[2, 3]
    pool: PositiveInt
    distill: DistillParams | None = None
    teacher: Literal["views", "eval", "train"] | None = None


def read_sections(path: Path) -> dict[str, Any]:
    """All of study/params.yaml, unchecked. Raises CxrError if the file cannot be read."""
    try:
        sections = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CxrError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(sections, dict):
        raise CxrError(f"{path} has no sections")
    return sections


def section_of(kind: type[ParamsT], values: Any, section: str) -> ParamsT:
    """`values` of `section` of study/params.yaml as `kind`. Raises CxrError naming each wrong key."""
    try:
        return parse(kind, values, section)
    except CxrError as error:
        raise CxrError(f"study/{error}") from None


def cells_of(sections: Mapping[str, Any]) -> Cells:
    """The cells of `alone` and `taught` by name. Raises CxrError if one is wrong, or a name is in both."""
    alone, taught = sections.get("alone") or {}, sections.get("taught") or {}
    if both := sorted(alone.keys() & taught.keys()):
        raise CxrError(f"{FILE}: {', '.join(both)} in both alone and taught; rename one")
    cells: dict[str, AloneCell | TaughtCell] = {}
    cells |= {name: section_of(AloneCell, values, f"alone.{name}") for name, values in alone.items()}
    cells |= {name: section_of(TaughtCell, values, f"taught.{name}") for name, values in taught.items()}
    return cells


class Base(Params):
    """What the cells change: sections of params.yaml, `trainer.precision` and `soft_targets.count`."""

    student: StudentParams
    views: ViewParams
    balance: BalanceParams
    precision: str
    view_count: PositiveInt


def setting_of(name: str, cell: AloneCell | TaughtCell, base: Base) -> Setting:
    """The cell `name` with what it leaves out taken from `base`. Raises CxrError if the two do not fit."""
    changed = {key: getattr(cell, key) for key in ("arch", "channels", "seed", "epochs", "learning_rate", "keep")}
    kept = {key: value for key, value in changed.items() if value is not None}
    taught = isinstance(cell, TaughtCell)
    try:
        return Setting(
            student=parse(StudentParams, {**base.student.model_dump(), **kept}, name),
            views=base.views if cell.views else no_views(base.views),
            balance=cell.balance or base.balance,
            # One process and one thread, wherever it runs: its bytes must not depend on the machine's size.
            trainer=TrainerParams.model_validate(
                {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": base.precision}
            ),
            view_count=base.view_count if cell.views else 1,
            classes=cell.classes,
            pool=cell.pool,
            distill=cell.distill if isinstance(cell, TaughtCell) else None,
            teacher=("views" if cell.views else cell.teacher_mode) if isinstance(cell, TaughtCell) else None,
        )
    except CxrError as error:
        raise CxrError(f"study/{error} in {'taught' if taught else 'alone'}") from None


def no_views(views: ViewParams) -> ViewParams:
    """Views that leave every image as it is."""
    return ViewParams.model_validate(dict.fromkeys(views.model_dump(), 0))


Families = Mapping[str, Mapping[int, str | None]]
"""Student (arch-kind, kind being baseline or distilled) -> seed -> its cell, or None for the main pipeline's own."""


def families_of(cells: Cells, student: StudentParams, distill: DistillParams) -> Families:
    """The students of group `seeds` by seed, alone and taught, those of the main pipeline among them.

    Only seeds that have both. Raises CxrError if one is taught otherwise than `distill`, or if there are fewer than
    two seeds of an architecture.
    """
    found: dict[str, dict[int, str | None]] = {}
    channels: dict[str, list[int]] = {student.arch: student.channels}
    for name, cell in cells.items():
        if cell.group != "seeds":
            continue
        if isinstance(cell, TaughtCell) and cell.distill != distill:
            raise CxrError(f"{FILE}: taught.{name}.distill is not `distill` of params.yaml; make them equal")
        if channels.setdefault(cell.arch, cell.channels) != cell.channels:
            raise CxrError(
                f"{FILE}: {name}.channels is not {channels[cell.arch]}, as of the other {cell.arch} students"
            )
        kind = "distilled" if isinstance(cell, TaughtCell) else "baseline"
        found.setdefault(f"{cell.arch}-{kind}", {})[cell.seed] = name
    for kind in ("baseline", "distilled"):
        found.setdefault(f"{student.arch}-{kind}", {}).setdefault(student.seed, None)
    paired: dict[str, dict[int, str | None]] = {}
    for arch in sorted(channels):
        alone, taught = found.get(f"{arch}-baseline", {}), found.get(f"{arch}-distilled", {})
        both = sorted(alone.keys() & taught.keys())
        if len(both) < 2:
            raise CxrError(f"{FILE}: the {arch} student needs two seeds or more, alone and taught")
        paired[f"{arch}-baseline"] = {seed: alone[seed] for seed in both}
        paired[f"{arch}-distilled"] = {seed: taught[seed] for seed in both}
    return paired


def check_questions(cells: Cells, student: StudentParams, distill: DistillParams) -> None:
    """Raises CxrError if the cells of a group leave its question without an answer: better before the training."""
    families_of(cells, student, distill)
    grid = [cell for cell in cells.values() if cell.group == "grid"]
    if sum(not isinstance(cell, TaughtCell) for cell in grid) != 1:
        raise CxrError(f"{FILE}: group grid needs one student in alone, which is its alpha 0")
    points = [cell.distill.model_dump_json() for cell in grid if isinstance(cell, TaughtCell)]
    if len(set(points)) < len(points):
        raise CxrError(f"{FILE}: group grid has two students of one loss, alpha and temperature")
    rates = [cell.learning_rate for cell in cells.values() if cell.group == "blog"]
    if len(set(rates)) != 2 or None in rates:
        raise CxrError(f"{FILE}: the cells of group blog need learning_rate, two different ones in all")
