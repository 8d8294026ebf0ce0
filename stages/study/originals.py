"""What a model makes of an original against its small copy, and of other ways to make it square."""

import os
from pathlib import Path

from cxr_distill.params.student import StudentParams
from cxr_distill.params.teacher import TeacherParams
from stages.common import load_params, run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")


def main() -> None:
    teacher, student = load_params("teacher", TeacherParams), load_params("student", StudentParams)
    at_hand = os.environ.get("CXR_ORIGINALS")

    from cxr_distill.artifacts import read_tensors, write_table
    from cxr_distill.models import load_weights
    from cxr_distill.originals import compare_framings, films_of, squared
    from cxr_distill.predictions import read_index
    from cxr_distill.students import build_student
    from cxr_distill.teachers import load_teacher

    index = read_index(Path("data/index.csv"))
    films = films_of(index, ARCHIVE, Path(at_hand).expanduser() if at_hand else None)
    copies = {s: read_tensors(Path(f"data/tensors/{s}.safetensors"))[0]["images"] for s in ("train", "val", "test")}
    nets = {"teacher": load_teacher(teacher, Path("models/teacher.safetensors"))}
    for name in ("baseline", "distilled"):
        nets[name] = build_student(student)
        load_weights(nets[name], Path(f"models/{name}.safetensors"))
    images = squared(films, index, copies)
    write_table(Path("study/originals.csv"), compare_framings(films, images, nets), digits=9)


if __name__ == "__main__":
    run(main)
