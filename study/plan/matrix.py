"""The networks that answer study/params.yaml, each under a name that says which it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cxr_distill.base.errors import CxrError
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.student.params import StudentParams
from study.plan.params import FILE, BlogParams, Study

BASELINE, DISTILLED = "baseline", "distilled"
PIPELINE = ("baseline", "distilled")
"""Students of group `size` that the main pipeline trains: the one of params.yaml at its seed."""
SITE_RELEASE = "site_release"
"""The release of group `site`, whose weights are the first ones of students there."""
SOFT_TARGETS = "soft_targets"
"""The teacher of the main pipeline, by its logits for views."""
WHOLE = "teacher_whole"
"""The same teacher, by its logits for whole images."""

Mode = Literal["eval", "train"]
MODES: tuple[Mode, ...] = ("eval", "train")
"""Whether the teacher's BatchNorm uses its own statistics, or those of each batch, as where nobody called `eval()`."""

Sees = Literal["film", "lungs"]
"""What a teacher sees."""


@dataclass(frozen=True)
class Student:
    """A student: its name in `students`, its seed, and what it changes in params.yaml for the question `group`.

    how: baseline, or its teacher in a word. source: SOFT_TARGETS, or the name of the teacher cell whose `targets` it
    learns from: logits of views, or of whole images in one of MODES. share: of the training patients that have a label.
    blog: its recipe, at `learning_rate`.
    """

    group: Literal["size", "labels", "augmentation", "blog"]
    student: str
    how: str
    seed: int
    distill: DistillParams | None = None
    source: str | None = None
    targets: Literal["views"] | Mode = "views"
    share: float = 1.0
    views: bool = True
    blog: BlogParams | None = None
    learning_rate: float | None = None


@dataclass(frozen=True)
class Teacher:
    """A teacher that the main pipeline does not train: of what it sees, from a share of the training patients."""

    sees: Sees
    share: float = 1.0


@dataclass(frozen=True)
class WholeImages:
    """The main pipeline's teacher on whole training images."""


@dataclass(frozen=True)
class SiteStudent:
    """A student of a second hospital with so many films; 0: SITE_RELEASE, from films of other patients.

    init: its first weights, random or those of SITE_RELEASE.
    """

    films: int
    init: Literal["random", "release"]
    seed: int


Cell = Student | Teacher | WholeImages | SiteStudent
Cells = Mapping[str, Cell]


@dataclass(frozen=True)
class Main:
    """What params.yaml says of the main pipeline's networks; `sees`: its teacher."""

    student: StudentParams
    sees: Sees
    distill: DistillParams


def main_student(study: Study, main: Main) -> str:
    """The name of the student of params.yaml. Raises CxrError unless there is one."""
    wanted = (main.student.arch, main.student.channels)
    found = [name for name, each in study.students.items() if (each.arch, each.channels) == wanted]
    if len(found) != 1:
        raise CxrError(f"{FILE}: students needs one of arch {wanted[0]} and channels {wanted[1]}, as in params.yaml")
    return found[0]


def cells_of(study: Study, main: Main) -> Cells:
    """All networks by name, teachers and those of PIPELINE included.

    Raises CxrError if a question lacks the networks that its answer is compared with.
    """
    _check_comparisons(study, main)
    parts = (_size, _labels, _augmentation, _site, _blog)
    return {WHOLE: WholeImages(), **{name: cell for part in parts for name, cell in part(study, main).items()}}


def _seeds(count: int, main: Main) -> range:
    return range(main.student.seed, main.student.seed + count)


def _size(study: Study, main: Main) -> dict[str, Cell]:
    own, (first,) = main_student(study, main), _seeds(1, main)
    cells: dict[str, Cell] = {}
    for student, asked in study.size.items():
        for seed in _seeds(asked.seeds, main):
            in_pipeline = student == own and seed == first
            name = "baseline" if in_pipeline else f"size_{student}_baseline_{seed}"
            cells[name] = Student("size", student, BASELINE, seed)
            for sees in asked.teachers:
                name = "distilled" if in_pipeline and sees == main.sees else f"size_{student}_{sees}_{seed}"
                source = SOFT_TARGETS if sees == main.sees else f"teacher_{sees}"
                cells[name] = Student("size", student, sees, seed, main.distill, source)
    wanted = {sees for asked in study.size.values() for sees in asked.teachers}
    others = {f"teacher_{sees}": Teacher(sees) for sees in sorted(wanted - {main.sees})}
    return {**cells, **others}


def _labels(study: Study, main: Main) -> dict[str, Cell]:
    student, no_labels = study.labels.student, main.distill.model_copy(update={"alpha": 1.0})
    cells: dict[str, Cell] = {}
    for share in study.labels.shares:
        percent = f"{100 * share:g}"
        teacher = f"teacher_labels_{percent}"
        cells[teacher] = Teacher(main.sees, share)
        for seed in _seeds(study.labels.seeds, main):
            cells[f"labels_{percent}_baseline_{seed}"] = Student("labels", student, BASELINE, seed, share=share)
            cells[f"labels_{percent}_distilled_{seed}"] = Student(
                "labels", student, DISTILLED, seed, no_labels, teacher, share=share
            )
    return cells


def _augmentation(study: Study, main: Main) -> dict[str, Cell]:
    student = study.augmentation.student
    cells: dict[str, Cell] = {}
    for seed in _seeds(study.augmentation.seeds, main):
        cells[f"not_augmented_baseline_{seed}"] = Student("augmentation", student, BASELINE, seed, views=False)
        cells[f"not_augmented_distilled_{seed}"] = Student(
            "augmentation", student, DISTILLED, seed, main.distill, WHOLE, "eval", views=False
        )
    return cells


def _site(study: Study, main: Main) -> dict[str, Cell]:
    cells: dict[str, Cell] = {SITE_RELEASE: SiteStudent(0, "random", main.student.seed)}
    inits: tuple[Literal["random", "release"], ...] = ("random", "release")
    for films in study.site.films:
        for init in inits:
            for seed in _seeds(study.site.seeds, main):
                cells[site_cell(films, init, seed)] = SiteStudent(films, init, seed)
    return cells


def site_cell(films: int, init: str, seed: int) -> str:
    """The name of a student of group `site`."""
    return f"site_{films}_{init}_{seed}"


def _blog(study: Study, main: Main) -> dict[str, Cell]:
    blog, seed = study.blog, main.student.seed
    cells: dict[str, Cell] = {}
    for rate, word in zip(blog.learning_rates, ("low", "high"), strict=True):
        alone = Student("blog", blog.student, BASELINE, seed, views=False, blog=blog, learning_rate=rate)
        cells[f"blog_{word}_baseline"] = alone
        for mode in MODES:
            cells[f"blog_{word}_{mode}"] = replace(alone, how=mode, distill=blog.distill, source=WHOLE, targets=mode)
    return cells


def _check_comparisons(study: Study, main: Main) -> None:
    for student in (main_student(study, main), study.labels.student, study.augmentation.student):
        if student not in study.size or main.sees not in study.size[student].teachers:
            raise CxrError(f"{FILE}: size needs {student} with {main.sees} among its teachers, to compare others with")
    if study.augmentation.seeds > (most := study.size[study.augmentation.student].seeds):
        raise CxrError(
            f"{FILE}: augmentation.seeds: {study.augmentation.student} has {most} seeds in size, which it needs too"
        )
    low, high = study.blog.learning_rates
    if low >= high:
        raise CxrError(f"{FILE}: blog.learning_rates: the lower one comes first")


def by_seed(cells: Cells, group: str, student: str, how: str, *, share: float = 1.0) -> dict[int, str]:
    """Seed -> name of the students of a group that learned in one way."""
    return {
        cell.seed: name
        for name, cell in cells.items()
        if isinstance(cell, Student)
        and (cell.group, cell.student, cell.how, cell.share) == (group, student, how, share)
    }
