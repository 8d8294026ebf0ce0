"""How the three main networks treat originals of small copies, and where they look."""

import os
from pathlib import Path

from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages import load_params, run, synthetic_data

FOLDER = Path("study")
ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")
EXAMPLES = 2  # test images per outcome in the picture


def main() -> None:
    teacher, student = load_params("teacher", TeacherParams), load_params("student", StudentParams)
    synthetic, at_hand = synthetic_data(), os.environ.get("CXR_ORIGINALS")

    import numpy as np

    from cxr_distill.base.classes import p_pneumonia
    from cxr_distill.base.files import write_bytes, write_table
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.examples import chosen_examples
    from cxr_distill.evaluation.metrics import Scored
    from cxr_distill.nets.common.layers import load_weights
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.study.checks.maps import activation_maps, enlarged, maps_picture, overlap_table
    from cxr_distill.study.checks.originals import compare_framings, films_of, squared

    index = read_index(Path("data/index.csv"))
    films = films_of(index, ARCHIVE, Path(at_hand).expanduser() if at_hand else None)
    copies = {s: read_tensors(Path(f"data/tensors/{s}.safetensors"))[0]["images"] for s in ("train", "val", "test")}
    nets = {"teacher": load_teacher(teacher, Path("models/teacher.safetensors"))}
    for name in ("baseline", "distilled"):
        nets[name] = build_student(student)
        load_weights(nets[name], Path(f"models/{name}.safetensors"))
    write_table(FOLDER / "originals.csv", compare_framings(films, squared(films, index, copies), nets), digits=9)

    images, test = copies["test"], index[index["split"] == "test"]
    maps = {name: enlarged(activation_maps(net, images)[0], images.shape[-1]) for name, net in nets.items()}
    probabilities = p_pneumonia(predict_logits(nets["distilled"], images))
    sick = (test["label"] == "PNEUMONIA").to_numpy(np.int64)
    cases = chosen_examples(Scored(sick, probabilities, test["patient"].to_numpy(str)), EXAMPLES)
    title = f"{'SYNTHETIC: ' if synthetic else ''}evidence for pneumonia (bright), by outcome of the distilled student"
    write_table(FOLDER / "maps.csv", overlap_table(maps, test["file"].to_list()), digits=6)
    write_bytes(FOLDER / "maps.png", maps_picture(images, maps, cases, title=title))


if __name__ == "__main__":
    run(main)
