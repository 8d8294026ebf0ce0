"""Where teacher and students look on the test images, and how far that overlaps."""

from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.data.params import DataParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.study.params import AloneCell, StudyParams, TaughtCell
from stages import load_params, run
from stages.study.common import checked, load_cell, load_sections


def main() -> None:
    teacher, student = load_params("teacher", TeacherParams), load_params("student", StudentParams)
    sections = load_sections()
    params, others = checked(StudyParams, sections.get("study"), "study"), sections["maps"]
    synthetic = load_params("data", DataParams).source == "phantom"
    cells = {
        "baseline": load_cell(AloneCell, "alone", others["baseline"]),
        "distilled": load_cell(TaughtCell, "taught", others["distilled"]),
    }

    from cxr_distill.base.files import write_bytes, write_table
    from cxr_distill.base.tables import read_csv
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.examples import chosen_examples
    from cxr_distill.evaluation.predictions import COLUMNS, scored_split
    from cxr_distill.nets.common.layers import load_weights
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.study.activation_maps import activation_maps, enlarged, maps_picture, overlap_table
    from cxr_distill.study.cells import student_of

    nets = {"teacher": load_teacher(teacher, Path("models/teacher.safetensors"))}
    for kind, cell in cells.items():
        first, second = f"{student.arch}-{kind}", f"{cell.arch}-{kind}"
        if first == second:
            raise CxrError(f"study/params.yaml: maps.{kind} has the architecture of params.yaml; name one of the other")
        nets[first] = build_student(student)
        load_weights(nets[first], Path(f"models/{kind}.safetensors"))
        nets[second] = build_student(student_of(cell, student, name=others[kind]), classes=cell.classes)
        load_weights(nets[second], Path(f"study/models/{others[kind]}.safetensors"))
    images = read_tensors(Path("data/tensors/test.safetensors"))[0]["images"]
    predictions = read_csv(Path("predictions/distilled.csv"), COLUMNS)
    files = predictions.loc[predictions.split == "test", "file"]
    maps = {name: enlarged(activation_maps(net, images)[0], images.shape[-1]) for name, net in nets.items()}
    cases = chosen_examples(scored_split(predictions, "test"), params.examples)
    title = f"{'SYNTHETIC: ' if synthetic else ''}evidence for pneumonia (bright), by outcome of the distilled student"
    write_table(Path("study/maps.csv"), overlap_table(maps, files.to_list()), digits=6)
    write_bytes(Path("study/maps.png"), maps_picture(images, maps, cases, title=title))


if __name__ == "__main__":
    run(main)
