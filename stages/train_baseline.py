"""The student on its own: same start, order, views and schedule as the distilled one, no teacher."""

from pathlib import Path

from cxr_distill.nets.common.params import BalanceParams, SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from stages import load_params, resume_folder, run


def main() -> None:
    params = load_params("student", StudentParams)
    views = load_params("views", ViewParams)
    soft = load_params("soft_targets", SoftTargetParams)
    balance = load_params("balance", BalanceParams)
    trainer = load_params("trainer", TrainerParams)

    from cxr_distill.base.files import write_table
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.training.loop import fit, read_images
    from cxr_distill.training.task import CrossEntropyTask

    train, val = (read_images(Path(f"data/tensors/{split}.safetensors")) for split in ("train", "val"))
    task = CrossEntropyTask(build_student(params), params)
    history = fit(task, train, val, views, balance, trainer, view_count=soft.count, resume=resume_folder("baseline"))
    write_weights(task.net, Path("models/baseline.safetensors"))
    write_table(Path("plots/history/baseline.csv"), history)


if __name__ == "__main__":
    run(main)
