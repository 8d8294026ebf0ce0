"""Compare all models: every figure in reports/evaluation.json, the report, its picture, and the curves."""

import json
from pathlib import Path

import yaml

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.params import EvaluateParams
from stages.params import load_params, synthetic_data
from stages.running import run


def main() -> None:
    params = load_params("evaluate", EvaluateParams)
    synthetic = synthetic_data()
    sets = yaml.safe_load(Path("params.yaml").read_text())["param_sets"]

    from cxr_distill.base.files import write_bytes, write_json, write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.geometry import box_share
    from cxr_distill.evaluation.metrics import confusion_rows, reliability
    from cxr_distill.evaluation.predictions import COLUMNS, REFRAMED, scored_split
    from cxr_distill.report.comparison import comparison_picture, comparison_report
    from cxr_distill.report.curves import precision_recall_curves, roc_curves
    from cxr_distill.report.differences import (
        MODELS,
        SPLITS,
        boxes_only,
        differences,
        geometry_only,
        shown,
        temperature_table,
    )

    names = [*MODELS, *sets]
    made = [*Path("predictions").glob("*.csv"), *Path("evaluation").glob("*.json")]
    if stray := sorted(str(path) for path in made if path.stem not in names):
        raise CxrError(f"files of models that params.yaml does not name; delete {', '.join(stray)}")
    tables = {name: read_csv(Path(f"predictions/{name}.csv"), COLUMNS) for name in names}
    models = {name: scored_split(table, "test") for name, table in tables.items()}
    reframed = {name: scored_split(tables[name], "test", REFRAMED) for name in MODELS}
    compared = differences(models, reframed, resamples=params.bootstrap_resamples, seed=params.seed)
    films = {split: read_tensors(Path(f"data/film/{split}.safetensors"))[0] for split in ("train", "val", "test")}
    compared["boxes_only"] = boxes_only(films)
    compared["box_share"] = {name: box_share(films[split]["boxes"]) for name, split in SPLITS.items()}
    if geometry := geometry_only(read_index(Path("data/index.csv"))):
        compared["geometry_only"] = geometry
    evaluation = {
        "dataset": json.loads(Path("data/dataset.json").read_text()),
        "models": {name: json.loads(Path(f"evaluation/{name}.json").read_text()) for name in names},
        "comparison": compared,
        "lungs": json.loads(Path("data/lungs.json").read_text()),
    }
    report = comparison_report(evaluation, synthetic=synthetic)
    roc = roc_curves(models)
    write_json(Path("reports/evaluation.json"), evaluation)
    write_json(Path("metrics/gain.json"), shown(compared["gain"]))
    write_json(Path("metrics/gap.json"), shown(compared["gap"]))
    write_table(Path("plots/roc.csv"), roc, digits=6)
    write_table(Path("plots/precision_recall.csv"), precision_recall_curves(models), digits=6)
    for name in MODELS:
        write_table(Path(f"plots/reliability/{name}.csv"), reliability(models[name]), digits=6)
        write_table(Path(f"plots/confusion/{name}.csv"), confusion_rows(models[name]))
    write_table(Path("plots/temperature.csv"), temperature_table(tables["teacher"]), digits=6)
    write_bytes(Path("reports/comparison.md"), report.encode())
    write_bytes(Path("reports/comparison.png"), comparison_picture(evaluation, roc, synthetic=synthetic))
    print(report)


if __name__ == "__main__":
    run(main)
