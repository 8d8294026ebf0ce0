"""The study's figures, report and pictures from everything that its other stages made."""

import json
from pathlib import Path

from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params, synthetic_data
from stages.running import run
from study.params import read_study
from study.plan.jobs import student_of
from study.plan.matrix import PIPELINE, Main, SiteStudent, WholeImages, cells_of

FOLDER = Path("study")
LATENCY = FOLDER / "latency.json"  # `make latency` measures it


def main() -> None:
    evaluate, synthetic = load_params("evaluate", EvaluateParams), synthetic_data()
    student, teacher = load_params("student", StudentParams), load_params("teacher", TeacherParams)
    study = read_study(FOLDER / "params.yaml")
    main = Main(student, teacher.sees, load_params("distill", DistillParams))
    cells = cells_of(study, main)

    from cxr_distill.base.files import write_bytes, write_json
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.figures import png
    from cxr_distill.evaluation.predictions import COLUMNS
    from cxr_distill.nets.student.network import build_student
    from study.checks.sizes import released_files
    from study.plan.labels import count_labelled
    from study.report import plots, results
    from study.report.text import Source, study_markdown, study_page
    from study.results.networks import main_network, network_of, resampling, same_images
    from study.results.questions import Asked
    from study.results.site import site

    evaluation = json.loads(Path("reports/evaluation.json").read_text())
    models = {name: evaluation["models"][name] for name in ("teacher", *PIPELINE)}
    predictions = {name: read_csv(Path(f"predictions/{name}.csv"), COLUMNS) for name in models}
    networks = {name: main_network(table, models[name]["parameters"]) for name, table in predictions.items()}
    same_images(networks)
    trained: dict[str, str] = {}
    at_site = {}
    for name, cell in cells.items():
        if isinstance(cell, SiteStudent):
            at_site[name], trained = read_tensors(FOLDER / f"cells/{name}.safetensors")
        elif name not in PIPELINE and not isinstance(cell, WholeImages):
            tensors, trained = read_tensors(FOLDER / f"cells/{name}.safetensors")
            networks[name] = network_of(networks["teacher"], tensors)
    test, index = predictions["teacher"].query("split == 'test'"), read_index(Path("data/index.csv"))
    side = evaluation["dataset"]["image_size"]
    megabytes = {
        name: {
            kind: round(len(content) / 1e6, 4)
            for kind, content in released_files(build_student(student_of(study, name, student)), size=side).items()
        }
        for name in study.size
    }
    seeds = sorted({cell.seed for cell in cells.values() if isinstance(cell, SiteStudent)})
    figures = results.study(
        Asked(study, main, cells, networks, resampling(networks["teacher"], evaluate)),
        labelled={share: count_labelled(index, share) for share in (*study.labels.shares, 1.0)},
        test_subtypes=test["subtype"].to_numpy(str),
        tables={name: read_csv(FOLDER / f"checks/{name}.csv", []) for name in results.TABLES},
        megabytes=megabytes,
        latency=json.loads(LATENCY.read_text()),
        models=models,
        teacher=predictions["teacher"],
        at_site=site(study.site, index, at_site, evaluate, seeds=seeds),
        evaluate=evaluate,
    )
    source = Source(dataset=evaluation["dataset"], models=models, trained=trained, synthetic=synthetic)
    report = study_markdown(figures, source)
    write_json(FOLDER / "results.json", figures)
    write_json(FOLDER / "metrics.json", results.shown(figures))
    write_bytes(FOLDER / "reports/study.md", report.encode())
    write_bytes(FOLDER / "reports/study.html", study_page(figures, source).encode())
    for name in ("size", "reads", "labels", "grid", "site"):
        draw = getattr(plots, f"{name}_figure")
        write_bytes(FOLDER / f"reports/{name}.png", png(draw(figures, synthetic=synthetic)))
    print(report)


if __name__ == "__main__":
    run(main)
