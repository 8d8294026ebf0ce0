"""What a model makes of an original against its small copy, and of other ways to make it square."""

import os
from pathlib import Path

from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages import load_params, run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")


def main() -> None:
    teacher, student = load_params("teacher", TeacherParams), load_params("student", StudentParams)
    at_hand = os.environ.get("CXR_ORIGINALS")

    from cxr_distill.base.files import write_table
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.nets.common.layers import load_weights
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.study.originals import compare_framings, films_of, squared

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
