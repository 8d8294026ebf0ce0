"""The student from labels alone, with the start, views and schedule of the distilled one."""

from pathlib import Path

from cxr_distill.nets.common.params import BalanceParams, SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from stages.params import load_params, start_of_students
from stages.resuming import note_finished, resume_folder
from stages.running import run

WEIGHTS = Path("models/baseline.safetensors")


def main() -> None:
    params = load_params("student", StudentParams)
    views = load_params("views", ViewParams)
    soft = load_params("soft_targets", SoftTargetParams)
    balance = load_params("balance", BalanceParams)
    trainer = load_params("trainer", TrainerParams)
    start = start_of_students()

    from cxr_distill.base.files import write_table
    from cxr_distill.base.labels import count_classes
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.start import nothing, release
    from cxr_distill.training.data import read_images
    from cxr_distill.training.loop import fit
    from cxr_distill.training.task import CrossEntropyTask

    train, val = (read_images(Path(f"data/film/{split}.safetensors")) for split in ("train", "val"))
    begin = {"nothing": nothing.begin, "release": release.begin}[start]
    task = CrossEntropyTask(begin(params, classes=count_classes(train.labels)), params)
    history = fit(task, train, val, views, balance, trainer, view_count=soft.count, resume=resume_folder("baseline"))
    started = {"start": release.SOURCE} if start == "release" else {}
    write_weights(task.net, WEIGHTS, trained={**trained_with(trainer), **started})
    write_table(Path("plots/history/baseline.csv"), history)
    note_finished("baseline", WEIGHTS)


if __name__ == "__main__":
    run(main)
