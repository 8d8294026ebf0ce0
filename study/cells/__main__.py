"""The networks of the study, trained by Dask: `python -m study.cells [--scheduler ADDRESS] [--store DIR]`."""

import argparse
import os
from pathlib import Path

import stages  # noqa: F401  # by which cxr_distill is found
from cxr_distill.base.errors import CxrError
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.common.params import SoftTargetParams
from cxr_distill.nets.student.params import BaselineParams, StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.running import run
from stages.settings import load_settings
from study.plan.jobs import Base, jobs_of
from study.plan.matrix import Main, cells_of
from study.plan.params import FILE, read_study
from study.plan.settings import StudentSetting

FOLDER = Path("study")
SOFT_TARGETS, TEACHER = Path("data/soft_targets.safetensors"), Path("models/teacher.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    scheduler = os.environ.get("DASK_SCHEDULER_ADDRESS")
    parser.add_argument("--scheduler", default=scheduler, help="address of a Dask scheduler, e.g. tcp://node:8786")
    parser.add_argument("--store", type=Path, help="where finished cells lie; default: in the user's cache folder")
    options = parser.parse_args()
    student, teacher = load_params("student", StudentParams), load_params("teacher", TeacherParams)
    soft, settings = load_params("soft_targets", SoftTargetParams), load_settings()
    distill, evaluate = load_params("distill", DistillParams), load_params("evaluate", EvaluateParams)
    study = read_study(FOLDER / "params.yaml")
    if student.init != "random":
        raise CxrError("student.init: the study compares students whose first weights are random; set it to random")
    alone, more = load_params("baseline", BaselineParams).of(student), {"view_count": soft.count}
    base = Base(student=student, baseline=alone, teacher=teacher, fit=settings, frame_seed=evaluate.seed, **more)
    jobs = jobs_of(cells_of(study, Main(student, teacher.sees, distill)), study, base)

    from cxr_distill.base.tables import read_index
    from cxr_distill.distill.targets import read_soft_targets, target_key
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.training.data import read_images
    from study.cells.cluster import SPLITS, Inputs, input_of, train_cells
    from study.cells.network import pooled
    from study.cells.store import default_store, open_store, write_folder
    from study.plan.labels import labelled_films
    from study.plan.site import site_rows

    images = {sees: {split: Path(f"data/{sees}/{split}.safetensors") for split in SPLITS} for sees in ("film", "lungs")}
    val = read_images(images["film"]["val"])
    for name, job in jobs.items():  # before hours of training
        if isinstance(job.setting, StudentSetting):
            try:
                build_student(job.setting.student, classes=job.setting.classes)
                pooled(val.pixels, job.setting.pool)
            except CxrError as error:
                raise CxrError(f"{FILE}: {name}: {error}") from None
    key = target_key(teacher=TEACHER, films=images["film"]["train"], views=settings.views)
    read_soft_targets(SOFT_TARGETS, key, count=soft.count)
    index = read_index(Path("data/index.csv"))
    inputs = Inputs(
        images={sees: {split: input_of(path) for split, path in files.items()} for sees, files in images.items()},
        soft_targets=input_of(SOFT_TARGETS),
        weights=input_of(TEACHER),
        labelled={share: labelled_films(index, share) for share in study.labels.shares},
        site={films: site_rows(index, films, most=max(study.site.films)) for films in (0, *study.site.films)},
    )
    store = open_store(options.store or default_store())
    done, trained = train_cells(jobs, inputs, store, scheduler=options.scheduler)
    write_folder(FOLDER / "out/cells", done, trained)


if __name__ == "__main__":
    run(main)
