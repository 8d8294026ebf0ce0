"""What every figure of the study is computed from, as files that Git keeps, none over 3 MB for a hundred networks."""

from pathlib import Path

import stages  # noqa: F401  # by which cxr_distill is found
from stages.running import run

STUDY = Path("study")
CELLS, CHECKS, FOLDER = STUDY / "out/cells", STUDY / "out/checks", STUDY / "gathered"
SCORES = ("val", "test", "held_out", "parameters")  # of what a cell holds


def main() -> None:
    from cxr_distill.base.files import write_bytes, write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors, write_tensors
    from study.gather.gathered import films_table, of_pipeline

    films = films_table(read_index(Path("data/index.csv")))
    networks = {
        name: of_pipeline(name, read_csv(Path(f"evaluation/{name}.csv"), ["split", "file", "p_pneumonia"]), films)
        for name in ("teacher", "baseline", "distilled")
    }
    trained: dict[str, str] = {}
    for file in sorted(CELLS.glob("*.safetensors")):
        cell, trained = read_tensors(file)
        networks[file.stem] = {place: each for place, each in cell.items() if place.startswith(SCORES)}
    scores = {f"{name}/{place}": each for name, tensors in networks.items() for place, each in tensors.items()}
    draws = {
        key: each for key, each in scores.items() if key.endswith("_any")
    }  # several of each film: most of the bytes
    write_tensors(FOLDER / "reframed_any.safetensors", draws, trained)
    write_tensors(FOLDER / "scores.safetensors", {key: scores[key] for key in scores.keys() - draws.keys()}, trained)
    write_table(FOLDER / "films.csv", films)
    for name in ("originals", "shortcuts", "sizes"):
        write_bytes(FOLDER / f"{name}.csv", (CHECKS / f"{name}.csv").read_bytes())


if __name__ == "__main__":
    run(main)
