"""A teacher, by what it sees: a large network trained on labels."""

from pathlib import Path

from cxr_distill.nets.teacher.params import TeacherParams
from stages import resuming
from stages.params import load_params, one_of
from stages.running import run
from stages.settings import load_settings


def main() -> None:
    params = load_params("teacher", TeacherParams)
    settings = load_settings()
    sees = one_of(params.sees)
    name, weights = f"teacher_{sees}", Path(f"models/teachers/{sees}.safetensors")

    from cxr_distill.base.files import write_rows
    from cxr_distill.base.labels import count_classes
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.nets.teacher.network import build_teacher
    from cxr_distill.training.data import TrainingData, read_images
    from cxr_distill.training.loop import HISTORY, fit
    from cxr_distill.training.task import CrossEntropyTask

    trained = trained_with(settings.trainer)
    train, val = (read_images(Path(f"data/{sees}/{split}.safetensors")) for split in ("train", "val"))
    classes, side = count_classes(train.labels), train.pixels.shape[-1]
    task = CrossEntropyTask(build_teacher(params, classes=classes, side=side), params)
    resume = {"resume": resuming.start(name)}
    history = fit(task, TrainingData(train, val), settings.model_copy(update=resume))
    write_weights(task.net, weights, trained=trained)
    write_rows(Path(f"plots/history/{name}.csv"), HISTORY, history)
    resuming.finish(name, weights)


if __name__ == "__main__":
    run(main)
