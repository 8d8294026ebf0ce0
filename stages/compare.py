"""All models side by side: comparison.json, the report, and what temperature does to the teacher."""

import json
from pathlib import Path

import yaml

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.params import EvaluateParams
from stages import load_params, run, synthetic_data


def main() -> None:
    params = load_params("evaluate", EvaluateParams)
    synthetic = synthetic_data()
    sets = yaml.safe_load(Path("params.yaml").read_text())["param_sets"]

    from cxr_distill.base.files import write_bytes, write_json, write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.evaluation.predictions import COLUMNS, scored_split
    from cxr_distill.report.compare import MODELS, compare, estimate_all, geometry_only, temperature_table
    from cxr_distill.report.comparison import comparison_picture, comparison_report

    names = [*MODELS, *sets]
    stray = {path.stem for path in Path("predictions").glob("*.csv")} - set(names)
    if stray:
        raise CxrError(f"predictions/ holds files of no model in params.yaml; delete {', '.join(sorted(stray))}")
    tables = {name: read_csv(Path(f"predictions/{name}.csv"), COLUMNS) for name in names}
    models = {name: scored_split(table, "test") for name, table in tables.items()}
    estimated = estimate_all(models, resamples=params.bootstrap_resamples, seed=params.seed)
    parameters = {name: json.loads(Path(f"metrics/{name}.json").read_text())["parameters"] for name in MODELS}
    dataset = json.loads(Path("data/dataset.json").read_text())
    comparison = compare(models, estimated, parameters=parameters)
    if geometry := geometry_only(read_index(Path("data/index.csv"))):
        comparison["geometry_only"] = geometry
    report = comparison_report(estimated, comparison, dataset, synthetic=synthetic)
    write_json(Path("metrics/comparison.json"), comparison)
    write_table(Path("plots/temperature.csv"), temperature_table(tables["teacher"]), digits=6)
    write_bytes(Path("reports/comparison.md"), report.encode())
    write_bytes(Path("reports/comparison.png"), comparison_picture(models, estimated, synthetic=synthetic))
    print(report)


if __name__ == "__main__":
    run(main)
