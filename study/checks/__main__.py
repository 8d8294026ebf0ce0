"""Baselines without a network, the effect of small copies, and the overlap of activation maps: study/out/checks/."""

import os
from pathlib import Path

from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params, synthetic_data
from stages.running import run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")
GEOMETRY = Path("study/geometry.csv")
FOLDER = Path("study/out/checks")
EXAMPLES = 2  # test images per outcome in the picture


def main() -> None:
    teacher, student = load_params("teacher", TeacherParams), load_params("student", StudentParams)
    seed = load_params("evaluate", EvaluateParams).seed
    synthetic, at_hand = synthetic_data(), os.environ.get("CXR_ORIGINALS")

    import numpy as np
    import pandas as pd

    from cxr_distill.base.classes import p_pneumonia
    from cxr_distill.base.files import write_bytes, write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.examples import chosen_examples
    from cxr_distill.evaluation.frames import share_in_lungs, variants
    from cxr_distill.evaluation.scores import Scored
    from cxr_distill.nets.common.activation import activation_maps, enlarged
    from cxr_distill.nets.common.layers import load_weights
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.teacher.network import load_teacher
    from study.checks.classes import require_three_classes
    from study.checks.maps import changed_picture, maps_picture, overlap_table
    from study.checks.originals import compare_framings, films_of, squared
    from study.checks.shortcuts import shortcut_table

    index = read_index(Path("data/index.csv"))
    require_three_classes(index["subtype"], what="the study")
    originals = films_of(index, ARCHIVE, Path(at_hand).expanduser() if at_hand else None)
    films = {split: read_tensors(Path(f"data/film/{split}.safetensors"))[0] for split in ("train", "val", "test")}
    geometry = read_csv(GEOMETRY, ["split", "class", "file", "width", "height"])
    write_table(FOLDER / "shortcuts.csv", shortcut_table(index, geometry, films), digits=9)

    nets = {"teacher": load_teacher(teacher, Path("models/teacher.safetensors"))} if teacher.sees == "film" else {}
    for name in ("baseline", "distilled"):
        nets[name] = build_student(student)
        load_weights(nets[name], Path(f"models/{name}.safetensors"))
    copies = squared(originals, index, {split: each["images"] for split, each in films.items()})
    write_table(FOLDER / "originals.csv", compare_framings(originals, copies, nets), digits=9)

    images, test = films["test"]["images"], index[index["split"] == "test"]
    maps = {name: enlarged(activation_maps(net, images)[0], images.shape[-1]) for name, net in nets.items()}
    write_table(FOLDER / "maps.csv", overlap_table(maps, test["file"].to_list()), digits=6)
    everywhere = {"area": np.ones_like(maps["distilled"])}  # whose share in the lungs is their area
    inside = {name: share_in_lungs(each, films["test"]["boxes"]) for name, each in {**maps, **everywhere}.items()}
    write_table(FOLDER / "lungs.csv", pd.DataFrame(inside.items(), columns=["map", "share_in_lungs"]), digits=6)
    probabilities = p_pneumonia(predict_logits(nets["distilled"], images))
    sick = (test["label"] == "PNEUMONIA").to_numpy(np.int64)
    cases = chosen_examples(Scored(sick, probabilities, test["patient"].to_numpy(str)), EXAMPLES)
    synthetic_word = "SYNTHETIC: " if synthetic else ""
    title = f"{synthetic_word}evidence for pneumonia (bright), by outcome of the distilled student"
    write_bytes(FOLDER / "maps.png", maps_picture(images, maps, cases, title=title))
    changed = variants(images, films["test"]["boxes"], films["test"]["labels"], seed=seed)
    shown = {name.replace("_", " "): each for name, each in {"as_it_is": images, **changed}.items()}
    title = f"{synthetic_word}films as they are and changed, by outcome of the distilled student"
    write_bytes(FOLDER / "frames.png", changed_picture(shown, cases, title=title))


if __name__ == "__main__":
    run(main)
