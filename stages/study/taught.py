"""A student of the study with a teacher: `python -m stages.study.taught NAME`, a name of `taught`."""

import shutil
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.study.params import TaughtCell
from stages import resume_folder, run
from stages.study.common import cell_name, load_cell, load_settings

TEACHER = Path("models/teacher.safetensors")
TRAIN = Path("data/tensors/train.safetensors")


def main() -> None:
    name = cell_name("taught")
    cell = load_cell(TaughtCell, "taught", name)
    if cell.views and cell.teacher_mode == "train":
        raise CxrError(f"study/params.yaml: taught.{name}.teacher_mode: train needs views: false")
    base, views, soft, balance, trainer = load_settings()

    import numpy as np

    from cxr_distill.distill.targets import read_soft_targets, target_key
    from cxr_distill.distill.task import DistillationTask
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.views import draw_view
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.study.cells import cell_images, fit_cell, no_views, student_of, write_cell
    from cxr_distill.study.collapse import collapse
    from cxr_distill.study.whole_targets import kl_gradient_share, read_whole_targets, whole_key
    from cxr_distill.training.loop import read_images

    params, resume = student_of(cell, base, name=name), resume_folder(f"study/{name}")
    train, val = (
        cell_images(read_images(Path(f"data/tensors/{split}.safetensors")), cell) for split in ("train", "val")
    )
    if cell.views:
        # A view's draws know no pixels, so that a pooled image under view e is what the teacher labelled, pooled.
        key = target_key(teacher=TEACHER, train=TRAIN, views=views)
        targets = read_soft_targets(Path("data/soft_targets.safetensors"), key, count=soft.count)
    else:
        key = whole_key(teacher=TEACHER, train=TRAIN)
        targets = read_whole_targets(Path("study/targets.safetensors"), key, mode=cell.teacher_mode)
    targets = collapse(targets, classes=cell.classes)
    task = DistillationTask(build_student(params, classes=cell.classes), params, cell.distill)
    view = draw_view(len(train.labels), views if cell.views else no_views(views), number=0)
    share = kl_gradient_share(task, train, targets[0], view)
    fit_cell(task, cell, train, val, views, balance, trainer, view_count=soft.count, teacher=targets, resume=resume)
    # Trained: from here on it is evaluation.
    test = cell_images(read_images(Path("data/tensors/test.safetensors")), cell)
    write_weights(task.net, Path(f"study/models/{name}.safetensors"))
    more = {"kl_gradient_share": np.array([share])}
    write_cell(Path(f"study/cells/{name}.safetensors"), task.net, {"val": val, "test": test}, more)
    shutil.rmtree(resume, ignore_errors=True)


if __name__ == "__main__":
    run(main)
