"""The teacher: a torchvision network trained on labels."""

from pathlib import Path

from cxr_distill.params.teacher import TeacherParams
from cxr_distill.params.training import BalanceParams, TrainerParams, ViewParams
from stages.common import load_params, resume_folder, run


def main() -> None:
    params = load_params("teacher", TeacherParams)
    views = load_params("views", ViewParams)
    balance = load_params("balance", BalanceParams)
    trainer = load_params("trainer", TrainerParams)

    from cxr_distill.artifacts import write_table
    from cxr_distill.models import write_weights
    from cxr_distill.tasks import CrossEntropyTask
    from cxr_distill.teachers import build_teacher
    from cxr_distill.training import fit, read_images

    train, val = (read_images(Path(f"data/tensors/{split}.safetensors")) for split in ("train", "val"))
    task = CrossEntropyTask(build_teacher(params), params)
    history = fit(task, train, val, views, balance, trainer, resume=resume_folder("teacher"), low_memory=True)
    write_weights(task.net, Path("models/teacher.safetensors"))
    write_table(Path("plots/history/teacher.csv"), history)


if __name__ == "__main__":
    run(main)
