"""The teacher: a torchvision network trained on labels."""

from pathlib import Path

from cxr_distill.nets.common.params import BalanceParams, TrainerParams, ViewParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.resuming import note_finished, resume_folder
from stages.running import run

WEIGHTS = Path("models/teacher.safetensors")


def main() -> None:
    params = load_params("teacher", TeacherParams)
    views = load_params("views", ViewParams)
    balance = load_params("balance", BalanceParams)
    trainer = load_params("trainer", TrainerParams)

    from cxr_distill.base.files import write_table
    from cxr_distill.base.labels import count_classes
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.nets.teacher.network import build_teacher
    from cxr_distill.training.data import read_images
    from cxr_distill.training.loop import fit
    from cxr_distill.training.task import CrossEntropyTask

    train, val = (read_images(Path(f"data/{params.sees}/{split}.safetensors")) for split in ("train", "val"))
    task = CrossEntropyTask(build_teacher(params, classes=count_classes(train.labels)), params)
    history = fit(task, train, val, views, balance, trainer, resume=resume_folder("teacher"), low_memory=True)
    write_weights(task.net, WEIGHTS, trained=trained_with(trainer))
    write_table(Path("plots/history/teacher.csv"), history)
    note_finished("teacher", WEIGHTS)


if __name__ == "__main__":
    run(main)
