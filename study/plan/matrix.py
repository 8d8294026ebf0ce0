"""The networks that answer study/params.yaml, each under a name that says which it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cxr_distill.base.errors import CxrError
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.student.params import StudentParams
from study.plan.params import FILE, BlogParams, Study

BASELINE, BOTH = "baseline", "both"
PIPELINE = ("baseline", "distilled")
"""Students of group `size` that the main pipeline trains: the one of params.yaml at its seed."""
SITE_RELEASE = "site_release"
"""The release of group `site`, whose weights are the first ones of students there."""
WHOLE = "whole"
"""The main pipeline's teacher on whole training images, as a source."""
SOFT_TARGETS = "soft_targets"
"""Of the main pipeline's teacher, as a source."""

Mode = Literal["eval", "train"]
"""Whether the teacher's BatchNorm uses its own statistics, or those of each batch, as where nobody called `eval()`."""
Sees = Literal["film", "lungs"]
TEACHERS: Mapping[str, tuple[Sees, ...]] = {"film": ("film",), "lungs": ("lungs",), BOTH: ("film", "lungs")}
"""Who teaches -> what it sees."""


@dataclass(frozen=True)
class Student:
    """A student: its name in `students`, its seed, and what it changes in params.yaml for the question `group`.

    how: baseline, or who teaches; for the blog the learning rate and what it changes. source: SOFT_TARGETS,
    or the name of the teacher cell whose `targets` it learns from: logits of views, or of whole images in a mode.
    share: of the training patients that have a label. blog: its recipe, at `learning_rate`.
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
    """A teacher that the main pipeline does not train: one of TEACHERS, from a share of the training patients."""

    who: str
    share: float = 1.0


@dataclass(frozen=True)
class WholeImages:
    """The teacher of the main pipeline on whole training images."""


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
    sees: Sequence[Sees]
    distill: DistillParams

    @property
    def teacher(self) -> str:
        """Which of TEACHERS it is."""
        return BOTH if len(self.sees) > 1 else self.sees[0]


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
    for student in {study.labels.student, study.augmentation.student} - {*study.size, main_student(study, main)}:
        raise CxrError(f"{FILE}: size needs {student}, to compare others with")
    low, high = study.blog.learning_rates
    if low >= high:
        raise CxrError(f"{FILE}: blog.learning_rates: the lower one comes first")
    parts = (_teachers, _size, _labels, _augmentation, _site, _blog)
    return {name: cell for part in parts for name, cell in part(study, main)}


def _seeds(study: Study, main: Main) -> range:
    return range(main.student.seed, main.student.seed + study.seeds)


def _percent(share: float) -> str:
    return f"{100 * share:g}"


def _teachers(study: Study, main: Main) -> Iterator[tuple[str, Cell]]:
    yield WHOLE, WholeImages()
    for who in TEACHERS:
        if who != main.teacher:
            yield f"teacher_{who}", Teacher(who)
    for share in study.labels.shares:
        yield f"teacher_{main.teacher}_{_percent(share)}", Teacher(main.teacher, share)


def _size(study: Study, main: Main) -> Iterator[tuple[str, Cell]]:
    own = main_student(study, main)
    for student in dict.fromkeys((own, *study.size)):
        for seed in _seeds(study, main):
            in_pipeline = student == own and seed == main.student.seed
            name = "baseline" if in_pipeline else f"{student}_baseline_{seed}"
            yield name, Student("size", student, BASELINE, seed)
            for who in TEACHERS if student == own else (main.teacher,):
                source = SOFT_TARGETS if who == main.teacher else f"teacher_{who}"
                name = "distilled" if in_pipeline and who == main.teacher else f"{student}_{who}_{seed}"
                yield name, Student("size", student, who, seed, main.distill, source)


def _labels(study: Study, main: Main) -> Iterator[tuple[str, Cell]]:
    student, no_labels = study.labels.student, main.distill.model_copy(update={"alpha": 1.0})
    for share in study.labels.shares:
        percent = _percent(share)
        source = f"teacher_{main.teacher}_{percent}"
        for seed in _seeds(study, main):
            alone = Student("labels", student, BASELINE, seed, share=share)
            taught = Student("labels", student, main.teacher, seed, no_labels, source, share=share)
            yield f"labels_{percent}_baseline_{seed}", alone
            yield f"labels_{percent}_{main.teacher}_{seed}", taught


def _augmentation(study: Study, main: Main) -> Iterator[tuple[str, Cell]]:
    student = study.augmentation.student
    for seed in _seeds(study, main):
        alone = Student("augmentation", student, BASELINE, seed, views=False)
        taught = Student("augmentation", student, main.teacher, seed, main.distill, WHOLE, "eval", views=False)
        yield f"not_augmented_baseline_{seed}", alone
        yield f"not_augmented_{main.teacher}_{seed}", taught


def _site(study: Study, main: Main) -> Iterator[tuple[str, Cell]]:
    yield SITE_RELEASE, SiteStudent(0, "random", main.student.seed)
    inits: tuple[Literal["random", "release"], ...] = ("random", "release")
    for films in study.site.films:
        for init in inits:
            for seed in range(main.student.seed, main.student.seed + study.site.seeds):
                yield site_cell(films, init, seed), SiteStudent(films, init, seed)


def site_cell(films: int, init: str, seed: int) -> str:
    """The name of a student of group `site`."""
    return f"site_{films}_{init}_{seed}"


def _blog(study: Study, main: Main) -> Iterator[tuple[str, Cell]]:
    blog, (low, high) = study.blog, study.blog.learning_rates
    conditions: dict[str, tuple[float, Mode | None]] = {
        "low_baseline": (low, None),
        "high_baseline": (high, None),
        "high_eval": (high, "eval"),
        "high_train": (high, "train"),
    }
    for how, (rate, mode) in conditions.items():
        for seed in _seeds(study, main):
            student = Student("blog", blog.student, how, seed, views=False, blog=blog, learning_rate=rate)
            if mode:
                student = replace(student, distill=blog.distill, source=WHOLE, targets=mode)
            yield f"blog_{how}_{seed}", student


def by_seed(cells: Cells, group: str, student: str, how: str, *, share: float = 1.0) -> dict[int, str]:
    """Seed -> name of the students of a group that learned in one way."""
    return {
        cell.seed: name
        for name, cell in cells.items()
        if isinstance(cell, Student)
        and (cell.group, cell.student, cell.how, cell.share) == (group, student, how, share)
    }
