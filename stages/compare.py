"""Compare all models: every figure in reports/evaluation.json, and the curves."""

import json
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.params import EvaluateParams
from stages.params import load_params, read_section
from stages.running import run


def main() -> None:
    params = load_params("evaluate", EvaluateParams)
    source, sets = read_section("data.source"), read_section("param_sets")

    from cxr_distill.base.files import write_json, write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.compare.curves import precision_recall_curves, roc_curves
    from cxr_distill.compare.differences import (
        CHANGES,
        MODELS,
        SPLITS,
        boxes_only,
        differences,
        geometry_only,
        shown,
        temperature_table,
    )
    from cxr_distill.evaluation.geometry import box_share
    from cxr_distill.evaluation.metrics import confusion_rows, reliability
    from cxr_distill.evaluation.predictions import COLUMNS, scored_draws, scored_split

    names = [*MODELS, *sets]
    if stray := sorted(str(path) for path in Path("evaluation").glob("*.*") if path.stem not in names):
        raise CxrError(f"files of models that params.yaml does not name; delete {', '.join(stray)}")
    tables = {name: read_csv(Path(f"evaluation/{name}.csv"), COLUMNS) for name in names}
    models = {name: scored_split(table, "test") for name, table in tables.items()}
    changed = {name: {change: scored_draws(tables[name], "test", change) for change in CHANGES} for name in MODELS}
    compared = differences(models, changed, resamples=params.bootstrap_resamples, seed=params.seed)
    films = {split: read_tensors(Path(f"data/film/{split}.safetensors"))[0] for split in ("train", "val", "test")}
    compared["boxes_only"] = boxes_only(films)
    compared["box_share"] = {name: box_share(films[split]["boxes"]) for name, split in SPLITS.items()}
    if geometry := geometry_only(read_index(Path("data/index.csv"))):
        compared["geometry_only"] = geometry
    evaluation = {
        "synthetic": source == "phantom",
        "source": json.loads(Path("data/source.json").read_text()),
        "dataset": json.loads(Path("data/dataset.json").read_text()),
        "models": {name: json.loads(Path(f"evaluation/{name}.json").read_text()) for name in names},
        "comparison": compared,
        "lungs": json.loads(Path("data/lungs.json").read_text()),
    }
    write_json(Path("reports/evaluation.json"), evaluation)
    write_json(Path("metrics/gain.json"), shown(compared["gain"]))
    write_json(Path("metrics/gap.json"), shown(compared["gap"]))
    write_table(Path("plots/roc.csv"), roc_curves(models), digits=6)
    write_table(Path("plots/precision_recall.csv"), precision_recall_curves(models), digits=6)
    for name in MODELS:
        write_table(Path(f"plots/reliability/{name}.csv"), reliability(models[name]), digits=6)
        write_table(Path(f"plots/confusion/{name}.csv"), confusion_rows(models[name]))
    write_table(Path("plots/temperature.csv"), temperature_table(tables["teacher"]), digits=6)


if __name__ == "__main__":
    run(main)
