"""The teacher: a large network trained on labels."""

from pathlib import Path

from cxr_distill.nets.teacher.params import TeacherParams
from stages import resuming
from stages.params import load_params
from stages.running import run
from stages.settings import load_settings

WEIGHTS = Path("models/teacher.safetensors")


def main() -> None:
    params = load_params("teacher", TeacherParams)
    settings = load_settings()

    from cxr_distill.base.files import write_rows
    from cxr_distill.base.labels import count_classes
    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.common.precision import trained_with
    from cxr_distill.nets.teacher.network import build_teacher
    from cxr_distill.training.data import read_images, seen_data
    from cxr_distill.training.loop import HISTORY, fit
    from cxr_distill.training.task import CrossEntropyTask

    trained = trained_with(settings.trainer)
    train, val = (
        {str(sees): read_images(Path(f"data/{sees}/{split}.safetensors")) for sees in params.sees}
        for split in ("train", "val")
    )
    data = seen_data(train, val)
    classes, side = count_classes(data.train.labels), data.train.pixels.shape[-1]
    task = CrossEntropyTask(build_teacher(params, classes=classes, side=side), params)
    resume = {"resume": resuming.start("teacher")}
    history = fit(task, data, settings.model_copy(update=resume))
    write_weights(task.net, WEIGHTS, trained=trained)
    write_rows(Path("plots/history/teacher.csv"), HISTORY, history)
    resuming.finish("teacher", WEIGHTS)


if __name__ == "__main__":
    run(main)
