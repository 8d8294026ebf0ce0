"""All that the training of a network depends on besides data, code and processor: the types that its key covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_distill.base.params import Fraction, Params, PositiveInt, Seed
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import FitSettings, TrainerParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams


class StudentSetting(Params):
    """A student. labelled: share of the training patients that have a label. targets: which of its teacher's logits.

    frame_seed: chooses the partners of `evaluation.frames`.
    """

    student: StudentParams
    fit: FitSettings
    labelled: Fraction
    frame_seed: Seed
    classes: Literal[2, 3] = 3
    pool: PositiveInt = 1
    distill: DistillParams | None = None
    targets: Literal["views", "eval", "train"] | None = None


class TeacherSetting(Params):
    """A teacher, and how many views it labels."""

    teacher: TeacherParams
    fit: FitSettings
    views: PositiveInt
    labelled: Fraction
    frame_seed: Seed


class WholeSetting(Params):
    """The teacher of the main pipeline on whole images."""

    teacher: TeacherParams
    trainer: TrainerParams


Setting = StudentSetting | TeacherSetting | WholeSetting


@dataclass(frozen=True)
class Job:
    """What a worker does: a setting, and where its soft targets come from (see `matrix.Student`)."""

    setting: Setting
    source: str | None = None
