"""A student of the study from labels alone: `python -m stages.study.alone NAME`, a name of `alone`."""

import shutil
from pathlib import Path

from cxr_distill.study.params import AloneCell
from stages import resume_folder, run
from stages.study.common import cell_name, load_cell, load_settings


def main() -> None:
    name = cell_name("alone")
    cell = load_cell(AloneCell, "alone", name)
    base, views, soft, balance, trainer = load_settings()

    from cxr_distill.nets.common.layers import write_weights
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.study.cells import cell_images, fit_cell, student_of, write_cell
    from cxr_distill.training.loop import read_images
    from cxr_distill.training.task import CrossEntropyTask

    params, resume = student_of(cell, base, name=name), resume_folder(f"study/{name}")
    train, val = (
        cell_images(read_images(Path(f"data/tensors/{split}.safetensors")), cell) for split in ("train", "val")
    )
    task = CrossEntropyTask(build_student(params, classes=cell.classes), params)
    fit_cell(task, cell, train, val, views, balance, trainer, view_count=soft.count, resume=resume)
    # Trained: from here on it is evaluation.
    test = cell_images(read_images(Path("data/tensors/test.safetensors")), cell)
    write_weights(task.net, Path(f"study/models/{name}.safetensors"))
    write_cell(Path(f"study/cells/{name}.safetensors"), task.net, {"val": val, "test": test})
    shutil.rmtree(resume, ignore_errors=True)


if __name__ == "__main__":
    run(main)
