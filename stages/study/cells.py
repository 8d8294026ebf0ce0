"""The networks of the study, trained by Dask: `python -m stages.study.cells [--scheduler ADDRESS] [--store DIR]`."""

import argparse
import os
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import BalanceParams, SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.study.params import Base, cells_of, check_questions, read_sections, setting_of
from stages import load_params, run

FOLDER = Path("study")
TEACHER = Path("models/teacher.safetensors")
TENSORS = Path("data/tensors")
SOFT_TARGETS = Path("data/soft_targets.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    scheduler = os.environ.get("DASK_SCHEDULER_ADDRESS")
    parser.add_argument("--scheduler", default=scheduler, help="address of a Dask scheduler, e.g. tcp://node:8786")
    parser.add_argument("--store", type=Path, help="where finished cells lie; default: in the user's cache folder")
    options = parser.parse_args()
    student, views = load_params("student", StudentParams), load_params("views", ViewParams)
    balance, soft = load_params("balance", BalanceParams), load_params("soft_targets", SoftTargetParams)
    trainer, teacher = load_params("trainer", TrainerParams), load_params("teacher", TeacherParams)
    cells = cells_of(read_sections(FOLDER / "params.yaml"))
    check_questions(cells, student, load_params("distill", DistillParams))
    base = Base(student=student, views=views, balance=balance, precision=trainer.precision, view_count=soft.count)
    settings = {name: setting_of(name, cell, base) for name, cell in cells.items()}

    from cxr_distill.distill.targets import read_soft_targets, target_key
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.study.cells.cluster import SPLITS, Inputs, input_of, train_cells
    from cxr_distill.study.cells.network import cell_images
    from cxr_distill.study.cells.store import default_store, open_store, write_folder
    from cxr_distill.training.data import read_images

    splits = {split: TENSORS / f"{split}.safetensors" for split in SPLITS}
    val = read_images(splits["val"])
    for name, setting in settings.items():  # before an hour of training
        try:
            build_student(setting.student, classes=setting.classes)
            cell_images(val, pool=setting.pool, classes=setting.classes)
        except CxrError as error:
            raise CxrError(f"study/params.yaml: {name}: {error}") from None
    read_soft_targets(SOFT_TARGETS, target_key(teacher=TEACHER, train=splits["train"], views=views), count=soft.count)
    files = {split: input_of(path) for split, path in splits.items()}
    inputs = Inputs(files, input_of(SOFT_TARGETS), input_of(TEACHER), teacher)
    store = open_store(options.store or default_store())
    done, trained = train_cells(settings, inputs, store, scheduler=options.scheduler)
    write_folder(FOLDER / "cells", done, trained)


if __name__ == "__main__":
    run(main)
