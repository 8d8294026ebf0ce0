"""The answers of one teacher, by what it sees, to the views that students will see and to validation films."""

from pathlib import Path

from cxr_distill.nets.common.params import SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params, one_of
from stages.running import run


def main() -> None:
    params = load_params("soft_targets", SoftTargetParams)
    teacher = load_params("teacher", TeacherParams)
    views = load_params("views", ViewParams)
    trainer = load_params("trainer", TrainerParams)
    sees = one_of(teacher.sees)
    weights = Path(f"models/teachers/{sees}.safetensors")

    import torch

    from cxr_distill.base.files import file_sha256
    from cxr_distill.base.labels import count_classes
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.distill.targets import Answers, target_key, write_answers
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.common.precision import device_of, processor, resolved
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.nets.teacher.soft_targets import make_soft_targets
    from cxr_distill.training.sampling import balanced_order

    device = device_of(trainer)
    precision = resolved(trainer.precision, device)
    path, val_path = (Path(f"data/{sees}/{split}.safetensors") for split in ("train", "val"))
    train, made_of = read_tensors(path)
    rows = balanced_order(torch.from_numpy(train["labels"]), seed=0, epoch=0)
    print(f"precision: {precision} on {processor(device)}", flush=True)
    net = load_teacher(teacher, weights, classes=count_classes(train["labels"]))
    val = predict_logits(net, read_tensors(val_path)[0]["images"], device=device)
    # After validation: the network then has BatchNorm statistics of views.
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
    key = target_key(films=made_of.get("films") or file_sha256(path), views=views)
    write_answers(Path(f"data/answers/{sees}.safetensors"), Answers(logits, val), key, teacher=weights)


if __name__ == "__main__":
    run(main)
