"""The study's figures, report and pictures from everything that its other stages made."""

import json
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.data.params import DataParams
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.study.params import AloneCell, StudyParams, TaughtCell
from stages import load_params, run
from stages.study.common import checked, load_sections

CELLS = Path("study/cells")


def main() -> None:
    evaluate, student = load_params("evaluate", EvaluateParams), load_params("student", StudentParams)
    distill, source = load_params("distill", DistillParams), load_params("data", DataParams).source
    sections = load_sections()
    params = checked(StudyParams, sections.get("study"), "study")
    settings = {n: checked(AloneCell, cell, f"alone.{n}") for n, cell in (sections.get("alone") or {}).items()}
    settings |= {n: checked(TaughtCell, cell, f"taught.{n}") for n, cell in (sections.get("taught") or {}).items()}
    stray = {path.stem for path in CELLS.glob("*.safetensors")} - set(settings)
    if stray:
        raise CxrError(f"study/cells holds networks that study/params.yaml lacks; delete {', '.join(sorted(stray))}")

    from cxr_distill.base.files import write_bytes, write_json
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.predictions import COLUMNS, LOGITS, scored_split
    from cxr_distill.study.collapse import collapse
    from cxr_distill.study.plots import grid_picture, seeds_picture
    from cxr_distill.study.report import study_markdown, study_page
    from cxr_distill.study.results import Network, more_seeds, network_of, study

    index = read_index(Path("data/index.csv"))
    cells = {n: network_of(index, read_tensors(CELLS / f"{n}.safetensors")[0], cell) for n, cell in settings.items()}
    main = {}
    for name in ("teacher", "baseline", "distilled"):
        table = read_csv(Path(f"predictions/{name}.csv"), COLUMNS)
        logits = table.loc[table.split == "val", LOGITS].to_numpy(float)
        size = json.loads(Path(f"metrics/{name}.json").read_text())["parameters"]
        main[name] = Network(scored_split(table, "val"), scored_split(table, "test"), logits, parameters=size)
    figures = study(
        cells=cells,
        main=main,
        test_subtypes=index.loc[index.split == "test", "subtype"].to_numpy(str),
        teacher_val=collapse(main["teacher"].val_logits, classes=2),
        tables={name: read_csv(Path(f"study/{name}.csv"), ["file"]) for name in ("shortcuts", "originals", "maps")},
        student=student,
        distill=distill,
        params=params,
        evaluate=evaluate,
    )
    dataset = json.loads(Path("data/dataset.json").read_text())
    synthetic = source == "phantom"
    write_json(Path("metrics/study.json"), figures)
    report = study_markdown(figures, dataset, synthetic=synthetic)
    write_bytes(Path("reports/study.md"), report.encode())
    write_bytes(Path("reports/study.html"), study_page(figures, dataset, synthetic=synthetic).encode())
    write_bytes(Path("reports/study_seeds.png"), seeds_picture(figures, synthetic=synthetic))
    write_bytes(Path("reports/study_grid.png"), grid_picture(figures, synthetic=synthetic))
    print(report)
    if lines := more_seeds(figures["grid"], cells):
        print("Points of the grid within noise of the best; for more seeds add to study/params.yaml:", *lines, sep="\n")


if __name__ == "__main__":
    run(main)
