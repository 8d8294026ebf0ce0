"""A student of labels and soft targets: `distill` of params.yaml, or the param set named as argument."""

import sys
from pathlib import Path

from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import SoftTargetParams
from cxr_distill.nets.student.params import StudentParams
from stages import resuming
from stages.params import load_params
from stages.running import run
from stages.settings import load_settings

TRAIN, VAL = Path("data/film/train.safetensors"), Path("data/film/val.safetensors")
SOFT_TARGETS = Path("data/soft_targets.safetensors")


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else None
    distill = load_params(f"param_sets.{name}" if name else "distill", DistillParams)
    params = load_params("student", StudentParams)
    views = load_params("soft_targets", SoftTargetParams).count
    settings = load_settings()

    from cxr_distill.base.files import write_rows
    from cxr_distill.base.labels import count_classes
    from cxr_distill.distill.targets import read_soft_targets, target_key
    from cxr_distill.distill.task import DistillationTask
    from cxr_distill.distill.weak_teacher import without_a_weaker_teacher
    from cxr_distill.init import random, release
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import device_of, trained_with
    from cxr_distill.training.data import TrainingData, read_images
    from cxr_distill.training.loop import HISTORY, fit

    trained = trained_with(settings.trainer)
    key = target_key(films=TRAIN, views=settings.views)
    targets = read_soft_targets(SOFT_TARGETS, key, count=views)
    data = TrainingData(read_images(TRAIN), read_images(VAL), targets.logits)
    init = {"random": random, "release": release}[params.init]
    net = init.begin(params, classes=count_classes(data.train.labels))
    trained |= init.named()
    if params.init == "release":  # a student that has learned already asks how good its teacher is
        device = device_of(settings.trainer)
        distill, reason = without_a_weaker_teacher(distill, targets.validation_auroc, net, data.val, device=device)
        trained |= reason
    task = DistillationTask(net, params, distill)
    run_name = name or "distilled"
    more = {"view_count": views, "resume": resuming.start(run_name)}
    history = fit(task, data, settings.model_copy(update=more))
    weights = Path(f"models/{run_name}.safetensors")
    write_weights(task.net, weights, trained=trained)
    write_rows(Path(f"plots/history/{run_name}.csv"), HISTORY, history)
    resuming.finish(run_name, weights)


if __name__ == "__main__":
    run(main)
