"""The study's figures, report and pictures from everything that its other stages made."""

import json
from pathlib import Path

from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.study.params import StudyParams, cells_of, families_of, read_sections, section_of
from stages import load_params, run, synthetic_data

FOLDER = Path("study")


def main() -> None:
    evaluate, student = load_params("evaluate", EvaluateParams), load_params("student", StudentParams)
    sections, synthetic = read_sections(FOLDER / "params.yaml"), synthetic_data()
    params, settings = section_of(StudyParams, sections.get("study"), "study"), cells_of(sections)
    families = families_of(settings, student, load_params("distill", DistillParams))

    from cxr_distill.base.files import write_bytes, write_json
    from cxr_distill.base.tables import read_csv
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.predictions import COLUMNS, scored_split
    from cxr_distill.study.answers.plots import grid_picture, seeds_picture
    from cxr_distill.study.answers.report import Source, study_markdown, study_page
    from cxr_distill.study.answers.results import MAIN, shown, study
    from cxr_distill.study.answers.students import Network, network_of

    tables = {name: read_csv(Path(f"predictions/{name}.csv"), COLUMNS) for name in MAIN}
    evaluation = json.loads(Path("reports/evaluation.json").read_text())
    models = {name: evaluation["models"][name] for name in MAIN}
    main = {
        name: Network(scored_split(table, "val"), scored_split(table, "test"), models[name]["parameters"])
        for name, table in tables.items()
    }
    files = {name: read_tensors(FOLDER / f"cells/{name}.safetensors") for name in settings}
    cells = {name: network_of(tables["teacher"], files[name][0], cell) for name, cell in settings.items()}
    test = tables["teacher"][tables["teacher"].split == "test"]
    figures = study(
        cells=cells,
        main=main,
        families=families,
        test_subtypes=test["subtype"].to_numpy(str),
        tables={name: read_csv(FOLDER / f"{name}.csv", ["file"]) for name in ("shortcuts", "originals", "maps")},
        params=params,
        evaluate=evaluate,
    )
    source = Source(
        dataset=evaluation["dataset"],
        arch=student.arch,
        models=models,
        trained=next(iter(files.values()))[1],
        synthetic=synthetic,
    )
    report = study_markdown(figures, source)
    write_json(FOLDER / "results.json", figures)
    write_json(FOLDER / "metrics.json", shown(figures, student.arch))
    write_bytes(FOLDER / "reports/study.md", report.encode())
    write_bytes(FOLDER / "reports/study.html", study_page(figures, source).encode())
    write_bytes(FOLDER / "reports/seeds.png", seeds_picture(figures, synthetic=synthetic))
    write_bytes(FOLDER / "reports/grid.png", grid_picture(figures, synthetic=synthetic))
    print(report)


if __name__ == "__main__":
    run(main)
