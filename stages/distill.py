"""A student taught by labels and soft targets: `distill` of params.yaml, or the param set named as argument."""

import sys
from pathlib import Path

from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import BalanceParams, SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from stages.params import load_params, start_of_students
from stages.resuming import note_finished, resume_folder
from stages.running import run

TRAIN = Path("data/film/train.safetensors")
SOFT_TARGETS = Path("data/soft_targets.safetensors")


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else None
    distill = load_params(f"param_sets.{name}" if name else "distill", DistillParams)
    params = load_params("student", StudentParams)
    views = load_params("views", ViewParams)
    soft = load_params("soft_targets", SoftTargetParams)
    balance = load_params("balance", BalanceParams)
    trainer = load_params("trainer", TrainerParams)
    start = start_of_students()

    from copy import deepcopy

    from cxr_distill.base.files import file_sha256, write_table
    from cxr_distill.base.labels import count_classes
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.distill.targets import read_soft_targets, target_key
    from cxr_distill.distill.task import DistillationTask
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.nets.common.validation import auroc
    from cxr_distill.start import nothing, release
    from cxr_distill.training.data import read_images
    from cxr_distill.training.loop import fit

    train, val = read_images(TRAIN), read_images(Path("data/film/val.safetensors"))
    key = target_key(films=file_sha256(TRAIN), views=views)
    targets = read_soft_targets(SOFT_TARGETS, key, count=soft.count)
    begin = {"nothing": nothing.begin, "release": release.begin}[start]
    net = begin(params, classes=count_classes(train.labels))
    trained = trained_with(trainer)
    if start == "release":
        trained["start"] = release.SOURCE
        teacher = float(read_tensors(SOFT_TARGETS)[1]["validation_auroc"])
        # Of a copy, because it leaves a network in eval mode, in which it would be trained.
        if teacher <= (own := auroc(deepcopy(net), val.pixels, val.labels)):
            distill = distill.model_copy(update={"alpha": 0.0})
            trained["alpha"] = (
                f"0, because the teacher is not better: its AUROC on validation is {teacher:.4f}, that of the released "
                f"student {own:.4f}"
            )
            print(f"alpha: {trained['alpha']}", flush=True)
    task = DistillationTask(net, params, distill)
    run_name = name or "distilled"
    history = fit(
        task,
        train,
        val,
        views,
        balance,
        trainer,
        view_count=soft.count,
        teacher=targets,
        resume=resume_folder(run_name),
    )
    weights = Path(f"models/sets/{name}.safetensors" if name else "models/distilled.safetensors")
    write_weights(task.net, weights, trained=trained)
    write_table(Path(f"plots/history/{run_name}.csv"), history)
    note_finished(run_name, weights)


if __name__ == "__main__":
    run(main)
