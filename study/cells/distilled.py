"""A student of the study with a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cxr_distill.distill.task import DistillationTask
from cxr_distill.nets.student.network import build_student
from cxr_distill.training.data import Images
from study.cells.network import Rows, Splits, Tensors, fit_student
from study.plan.settings import StudentSetting


def train_distilled(
    setting: StudentSetting, films: Splits, teacher: Mapping[str, NDArray[np.float32]], labelled: Rows | None
) -> Tensors:
    """A student from its teacher's logits: `views` (V, N, 3), or for whole images `eval` or `train` (N, 3).

    Films that are not `labelled`, if given, have the class that the teacher calls. A view's random draws do not depend
    on the pixels, so a pooled film under view e is what the teacher labelled, pooled.
    """
    assert setting.distill is not None and setting.targets is not None
    task = DistillationTask(build_student(setting.student, classes=setting.classes), setting.student, setting.distill)
    logits = teacher[setting.targets]
    logits = logits[: setting.fit.view_count] if setting.targets == "views" else logits[None]
    train = films["train"]
    if labelled is not None:
        called = teacher["eval"].argmax(axis=1).astype(train.labels.dtype)
        train = Images(train.pixels, np.where(labelled, train.labels, called), train.boxes)
    return fit_student(task, setting, {**films, "train": train}, collapse(logits, classes=setting.classes))


def collapse(logits: NDArray[Any], *, classes: int) -> NDArray[Any]:
    """Logits (..., 3) as they are, or as (..., 2) that give the same P(normal): both pneumonias become one."""
    if classes == logits.shape[-1]:
        return logits
    return np.stack([logits[..., 0], logsumexp(logits[..., 1:], axis=-1)], axis=-1).astype(logits.dtype)
