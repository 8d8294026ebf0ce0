"""The baseline: the student from labels alone, with the first weights and views of the distilled one."""

from pathlib import Path

from cxr_distill.nets.common.params import SoftTargetParams
from cxr_distill.nets.student.params import BaselineParams, StudentParams
from stages import resuming
from stages.params import load_params
from stages.running import run
from stages.settings import load_settings

WEIGHTS = Path("models/baseline.safetensors")


def main() -> None:
    params = load_params("baseline", BaselineParams).of(load_params("student", StudentParams))
    views = load_params("soft_targets", SoftTargetParams).count
    settings = load_settings()

    from cxr_distill.base.files import write_rows
    from cxr_distill.base.labels import count_classes
    from cxr_distill.init import random, release
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.training.data import TrainingData, read_images
    from cxr_distill.training.loop import HISTORY, fit
    from cxr_distill.training.task import CrossEntropyTask

    trained = trained_with(settings.trainer)
    train, val = (read_images(Path(f"data/film/{split}.safetensors")) for split in ("train", "val"))
    init = {"random": random, "release": release}[params.init]
    task = CrossEntropyTask(init.begin(params, classes=count_classes(train.labels)), params)
    more = {"view_count": views, "resume": resuming.start("baseline")}
    history = fit(task, TrainingData(train, val), settings.model_copy(update=more))
    write_weights(task.net, WEIGHTS, trained={**trained, **init.named()})
    write_rows(Path("plots/history/baseline.csv"), HISTORY, history)
    resuming.finish("baseline", WEIGHTS)


if __name__ == "__main__":
    run(main)
