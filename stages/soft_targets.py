"""The teacher's logits for the views that students will see."""

from pathlib import Path

from cxr_distill.nets.common.params import SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.running import run

TEACHER = Path("models/teacher.safetensors")


def main() -> None:
    params = load_params("soft_targets", SoftTargetParams)
    teacher = load_params("teacher", TeacherParams)
    views = load_params("views", ViewParams)
    trainer = load_params("trainer", TrainerParams)

    import torch

    from cxr_distill.base.classes import mean_answer, p_pneumonia
    from cxr_distill.base.labels import count_classes
    from cxr_distill.base.probabilities import auroc
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.distill.targets import SoftTargets, target_key, write_soft_targets
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.common.precision import device_of, processor, resolved
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.nets.teacher.soft_targets import make_soft_targets
    from cxr_distill.training.sampling import balanced_order

    device = device_of(trainer)
    precision = resolved(trainer.precision, device)
    print(f"precision: {precision} on {processor(device)}", flush=True)
    of_views, of_val = [], []
    for sees in teacher.sees:
        train, val = (read_tensors(Path(f"data/{sees}/{split}.safetensors"))[0] for split in ("train", "val"))
        net = load_teacher(teacher, TEACHER, classes=count_classes(train["labels"]))
        of_val.append(predict_logits(net, val["images"], device=device))
        # After validation: the network then has BatchNorm statistics of views.
        of_views.append(
            make_soft_targets(
                net,
                train["images"],
                balanced_order(torch.from_numpy(train["labels"]), seed=0, epoch=0),
                views,
                count=params.count,
                boxes=train.get("boxes"),
                precision=precision,
                device=device,
            )
        )
    validation_auroc = auroc(val["labels"] > 0, p_pneumonia(mean_answer(of_val)))
    key = target_key(teacher=TEACHER, films=Path("data/film/train.safetensors"), views=views)
    write_soft_targets(Path("data/soft_targets.safetensors"), SoftTargets(mean_answer(of_views), validation_auroc), key)


if __name__ == "__main__":
    run(main)
