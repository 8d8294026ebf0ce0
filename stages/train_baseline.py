"""The student from labels alone, with the start, views and schedule of the distilled one."""

from pathlib import Path

from cxr_distill.nets.common.params import BalanceParams, SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from stages import load_params, note_finished, resume_folder, run

WEIGHTS = Path("models/baseline.safetensors")


def main() -> None:
    params = load_params("student", StudentParams)
    views = load_params("views", ViewParams)
    soft = load_params("soft_targets", SoftTargetParams)
    balance = load_params("balance", BalanceParams)
    trainer = load_params("trainer", TrainerParams)

    from cxr_distill.base.files import write_table
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.training.data import read_images
    from cxr_distill.training.loop import fit
    from cxr_distill.training.task import CrossEntropyTask

    train, val = (read_images(Path(f"data/film/{split}.safetensors")) for split in ("train", "val"))
    task = CrossEntropyTask(build_student(params), params)
    history = fit(task, train, val, views, balance, trainer, view_count=soft.count, resume=resume_folder("baseline"))
    write_weights(task.net, WEIGHTS, trained=trained_with(trainer))
    write_table(Path("plots/history/baseline.csv"), history)
    note_finished("baseline", WEIGHTS)


if __name__ == "__main__":
    run(main)
