"""The teacher's logits for the views that students will see."""

from pathlib import Path

from cxr_distill.nets.common.params import SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params, read_section
from stages.running import run

TEACHER = Path("models/teacher.safetensors")


def main() -> None:
    params = load_params("soft_targets", SoftTargetParams)
    teacher = load_params("teacher", TeacherParams)
    views = load_params("views", ViewParams)
    trainer = load_params("trainer", TrainerParams)
    init = read_section("student.init")

    import torch

    from cxr_distill.base.files import file_sha256
    from cxr_distill.base.labels import count_classes
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.distill.targets import target_key, write_soft_targets
    from cxr_distill.nets.common.precision import device_of, processor, resolved
    from cxr_distill.nets.common.validation import auroc_of
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.nets.teacher.soft_targets import make_soft_targets
    from cxr_distill.training.sampling import balanced_order

    device = device_of(trainer)
    precision = resolved(trainer.precision, device)
    path, val_path = (Path(f"data/{teacher.sees}/{split}.safetensors") for split in ("train", "val"))
    train, made_of = read_tensors(path)
    rows = balanced_order(torch.from_numpy(train["labels"]), seed=0, epoch=0)
    print(f"precision: {precision} on {processor(device)}", flush=True)
    net = load_teacher(teacher, TEACHER, classes=count_classes(train["labels"]))
    key = target_key(teacher=TEACHER, films=made_of.get("films") or file_sha256(path), views=views)
    if init == "release":  # a student that has learned already asks how good its teacher is
        val, _ = read_tensors(val_path)
        key["validation_auroc"] = repr(auroc_of(net, val["images"], val["labels"], device=device))
    # After the AUROC: the network then has BatchNorm statistics of views.
    logits = make_soft_targets(
        net,
        train["images"],
        rows,
        views,
        count=params.count,
        boxes=train.get("boxes"),
        precision=precision,
        device=device,
    )
    write_soft_targets(Path("data/soft_targets.safetensors"), logits, key)


if __name__ == "__main__":
    run(main)
