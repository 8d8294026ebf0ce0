"""The networks of the study filled up from params.yaml, ready to be trained."""

from __future__ import annotations

from typing import Any

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import Params, PositiveInt, Seed
from cxr_distill.nets.common.params import FitSettings, ViewParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from study.plan.matrix import BASELINE, PIPELINE, SITE_RELEASE, TEACHERS, Cell, Cells, SiteStudent, Student, Teacher
from study.plan.params import FILE, Study, student_of
from study.plan.settings import Job, StudentSetting, TeacherSetting, WholeSetting
from study.plan.site import SiteSetting

LONGEST = 4
"""A teacher from few labels has at most so many times the epochs."""


class Base(Params):
    """What the cells change: sections of params.yaml, and single values of others."""

    student: StudentParams
    baseline: StudentParams
    teacher: TeacherParams
    fit: FitSettings
    view_count: PositiveInt
    frame_seed: Seed


def jobs_of(cells: Cells, study: Study, base: Base) -> dict[str, Job]:
    """The jobs of all cells but PIPELINE. Raises CxrError naming a cell whose values do not fit."""
    jobs = {}
    for name, cell in cells.items():
        if name in PIPELINE:
            continue
        try:
            jobs[name] = _job_of(cell, study, base)
        except CxrError as error:
            raise CxrError(f"{FILE}: {name}: {str(error).removeprefix('params.yaml: ')}") from None
    return jobs


def _job_of(cell: Cell, study: Study, base: Base) -> Job:
    if isinstance(cell, Student):
        return Job(_student(cell, study, base), cell.source)
    if isinstance(cell, SiteStudent):
        return Job(_at_site(cell, study, base), SITE_RELEASE if cell.init == "release" else None)
    fit = _fit(base)
    if isinstance(cell, Teacher):
        epochs = round(base.teacher.epochs * min(1 / cell.share, LONGEST))
        teacher = base.teacher.model_copy(update={"sees": list(TEACHERS[cell.who]), "epochs": epochs})
        more: dict[str, Any] = {"views": base.view_count, "labelled": cell.share, "frame_seed": base.frame_seed}
        return Job(TeacherSetting(teacher=teacher, fit=fit, **more))
    return Job(WholeSetting(teacher=base.teacher, trainer=fit.trainer))


def _fit(base: Base, **changes: Any) -> FitSettings:
    # One process and one thread, wherever it runs: its bytes must not depend on the machine's size.
    here = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    trainer = base.fit.trainer.model_copy(update=here)
    return base.fit.model_copy(update={"trainer": trainer, "validate_after": "last", **changes})


def _at_site(cell: SiteStudent, study: Study, base: Base) -> SiteSetting:
    changes: dict[str, Any] = {"seed": cell.seed, "init": cell.init}
    few = cell.films > 0 and cell.init == "random"
    if few:  # with random weights, fewer films need more epochs
        changes["epochs"] = round(base.student.epochs * max(study.site.films) / cell.films)
    if cell.init == "release":
        changes["learning_rate"] = study.site.learning_rate
    return SiteSetting(
        student=base.student.model_copy(update=changes),
        fit=_fit(base, view_count=None if few else base.view_count),
        labelled=1.0,
        frame_seed=base.frame_seed,
        films=cell.films,
    )


def _student(cell: Student, study: Study, base: Base) -> StudentSetting:
    blog, base_student = cell.blog, base.baseline if cell.how == BASELINE else base.student
    changes: dict[str, Any] = {"seed": cell.seed}
    if blog:
        changes |= {"epochs": blog.epochs, "keep": blog.keep, "learning_rate": cell.learning_rate}
    # From labels alone it sees none of the other films: it gets about as many steps of the labelled ones.
    few = cell.how == BASELINE and cell.share < 1
    if few:
        changes["epochs"] = round(base_student.epochs / cell.share)
    fit: dict[str, Any] = {"view_count": None if few else base.view_count if cell.views else 1}
    if not cell.views:
        fit["views"] = no_views(base.fit.views)
    if blog:
        fit |= {"balance": blog.balance, "operating_point": blog.operating_point}
    return StudentSetting(
        student=student_of(study, cell.student, base_student, **changes),
        fit=_fit(base, **fit),
        labelled=cell.share,
        frame_seed=base.frame_seed,
        classes=blog.classes if blog else 3,
        pool=blog.pool if blog else 1,
        distill=cell.distill,
        targets=cell.targets if cell.source else None,
    )


def no_views(views: ViewParams) -> ViewParams:
    """Views that leave every image as it is."""
    return ViewParams.model_validate(dict.fromkeys(views.model_dump(), 0))
