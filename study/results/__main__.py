"""Every figure of the study, from committed files alone: study/results.json, and the few of study/metrics.json."""

import json
from pathlib import Path

import stages  # noqa: F401  # by which cxr_distill is found
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.running import run
from study.plan.matrix import BASELINE, Main, cells_of, main_student
from study.plan.params import read_study

STUDY = Path("study")
GATHERED = STUDY / "gathered"


def main() -> None:
    evaluate, distill = load_params("evaluate", EvaluateParams), load_params("distill", DistillParams)
    student, teacher = load_params("student", StudentParams), load_params("teacher", TeacherParams)
    study, main = read_study(STUDY / "params.yaml"), Main(student, teacher.sees, distill)
    cells = cells_of(study, main)

    import numpy as np

    from cxr_distill.base.files import write_json
    from cxr_distill.base.tables import read_csv
    from cxr_distill.base.tensors import read_tensors
    from study.plan.labels import count_labelled
    from study.results import checks, questions, reads
    from study.results.networks import Asked, networks_of, resampling
    from study.results.site import held_out, site
    from study.results.statistics import seed_coverage

    evaluation = json.loads(Path("reports/evaluation.json").read_text())
    films = read_csv(GATHERED / "films.csv", ["split", "file", "patient", "label", "subtype"])
    tables = {name: read_csv(GATHERED / f"{name}.csv", []) for name in ("originals", "shortcuts", "sizes")}
    (scores, trained), (reframed_any, _) = (
        read_tensors(GATHERED / f"{name}.safetensors") for name in ("scores", "reframed_any")
    )
    tensors = scores | reframed_any
    of_split = {name: films[films["split"] == split] for name, split in (("validation", "val"), ("test", "test"))}
    of_split["held_out"] = held_out(films, most=max(study.site.films))
    networks = networks_of(tensors, of_split, {k: each["parameters"] for k, each in evaluation["models"].items()})
    first, name, draws = networks["teacher"], main_student(study, main), resampling(networks.values(), evaluate)
    asked = Asked(study, main, cells, networks, draws)
    main_networks = {
        "teacher": [first],
        "baseline": asked.seeds("size", name, BASELINE),
        "distilled": asked.seeds("size", name, main.teacher),
    }
    megabytes = tables["sizes"].set_index("student").to_dict("index")
    figures = {
        "n": len(first.on("test").labels),
        "patients": len(np.unique(first.on("test").patients)),
        "trained": trained,
        "student": name,
        "teacher_sees": main.teacher,
        "teachers": questions.teachers(asked),
        "size": questions.size(asked, megabytes, json.loads((STUDY / "latency.json").read_text())),
        "labels": questions.labels(asked, {each: count_labelled(films, each) for each in (*study.labels.shares, 1.0)}),
        "augmentation": questions.augmentation(asked),
        "site": site(asked, films),
        "blog": questions.blog(asked),
        "reads": reads.reads(evaluation),
        "share_in_lungs": reads.share_in_lungs(evaluation),
        "soft_targets": reads.soft_targets(tensors["teacher/val_logits"], films),
        "calibration": checks.calibration(main_networks, draws),
        "shortcuts": checks.shortcuts(tables["shortcuts"], main_networks, draws),
        "originals": checks.originals(tables["originals"], evaluate),
        "seed_coverage": {str(seeds): seed_coverage(seeds) for seeds in sorted({study.site.seeds, study.seeds})},
    }
    write_json(STUDY / "results.json", figures)
    write_json(STUDY / "metrics.json", questions.shown(figures))


if __name__ == "__main__":
    run(main)
