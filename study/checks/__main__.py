"""Baselines without a network, the effect of small copies, sizes of released files, pictures: study/out/checks/."""

import os
from pathlib import Path

import stages  # noqa: F401  # by which cxr_distill is found
from cxr_distill.base.params import parse
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from stages.params import load_params, read_section
from stages.running import run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")
STUDY = Path("study")
FOLDER = STUDY / "out/checks"
EXAMPLES = 2  # test images per outcome in a picture


def main() -> None:
    student = load_params("student", StudentParams)
    seed, synthetic = load_params("evaluate", EvaluateParams).seed, read_section("data.source") == "phantom"
    at_hand, entries = os.environ.get("CXR_ORIGINALS"), read_section("students", path=STUDY / "params.yaml")
    students = {
        name: parse(StudentParams, {**student.model_dump(), **entry}, f"students.{name}")
        for name, entry in entries.items()
    }

    import numpy as np

    from cxr_distill.base.classes import p_pneumonia
    from cxr_distill.base.files import write_bytes, write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.examples import chosen_examples
    from cxr_distill.evaluation.frames import variants
    from cxr_distill.evaluation.scores import Scored
    from cxr_distill.nets.common.activation import activation_maps, enlarged
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.student.network import load_student
    from study.checks.originals import films_of, originals_and_copies, originals_table
    from study.checks.pictures import films_picture
    from study.checks.shortcuts import shortcut_table
    from study.checks.sizes import require_three_classes, size_table

    index = read_index(Path("data/index.csv"))
    require_three_classes(index["subtype"], what="the study")
    originals = films_of(index, ARCHIVE, Path(at_hand).expanduser() if at_hand else None)
    films = {split: read_tensors(Path(f"data/film/{split}.safetensors"))[0] for split in ("train", "val", "test")}
    images, labels, boxes = (films["test"][name] for name in ("images", "labels", "boxes"))
    geometry = read_csv(STUDY / "geometry.csv", ["split", "class", "file", "width", "height"])
    write_table(FOLDER / "shortcuts.csv", shortcut_table(index, geometry, films), digits=9)
    write_table(FOLDER / "sizes.csv", size_table(students, size=images.shape[-1]), digits=4)

    nets = {name: load_student(student, Path(f"models/{name}.safetensors")) for name in ("baseline", "distilled")}
    both = originals_and_copies(originals, index, {split: each["images"] for split, each in films.items()})
    write_table(FOLDER / "originals.csv", originals_table(originals, both, nets), digits=9)

    probabilities = p_pneumonia(predict_logits(nets["distilled"], images))
    patients = index.loc[index["split"] == "test", "patient"].to_numpy(str)
    cases = chosen_examples(Scored((labels > 0).astype(np.int64), probabilities, patients), EXAMPLES)
    drawn = "SYNTHETIC: " if synthetic else ""
    maps = {name: enlarged(activation_maps(net, images)[0], images.shape[-1]) for name, net in nets.items()}
    title = f"{drawn}evidence for pneumonia (bright), by outcome of the distilled student"
    write_bytes(FOLDER / "maps.png", films_picture({"film": images}, cases, title=title, maps=maps))
    changed = {name.replace("_", " "): next(draws) for name, draws in variants(images, boxes, labels, seed=seed)}
    title = f"{drawn}films as they are and changed, by outcome of the distilled student"
    write_bytes(FOLDER / "frames.png", films_picture({"as it is": images, **changed}, cases, title=title))


if __name__ == "__main__":
    run(main)
