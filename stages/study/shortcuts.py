"""P(pneumonia) without a network: from image size alone, from thumbnails, from histograms of oriented gradients."""

from pathlib import Path

from stages import run

FOLDER = Path("study")
SPLITS = ("train", "val", "test")


def main() -> None:
    import numpy as np

    from cxr_distill.base.files import write_table
    from cxr_distill.base.tables import read_csv, read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.geometry import geometry_model
    from cxr_distill.study.checks.shortcuts import classical_model, known_sizes, oriented_gradients, thumbnails

    index = read_index(Path("data/index.csv"))
    geometry = read_csv(FOLDER / "geometry.csv", ["split", "class", "file", "width", "height"])
    sizes = known_sizes(index, geometry)
    sick = (index.label == "PNEUMONIA").to_numpy("int64")
    fitted = np.isfinite(sizes).all(axis=1) & index.split.isin(["train", "val"]).to_numpy()
    table = index[["split", "file"]].assign(fitted=fitted.astype(int), geometry=geometry_model(sizes, sick, fitted))
    images = {split: read_tensors(Path(f"data/tensors/{split}.safetensors"))[0]["images"] for split in SPLITS}
    for name, features in (("thumbnail", thumbnails), ("gradients", oriented_gradients)):
        found = {split: features(pixels) for split, pixels in images.items()}
        rows = {split: (index.split == split).to_numpy() for split in SPLITS}
        model = classical_model(found["train"], sick[rows["train"]], found["val"], sick[rows["val"]])
        table[name] = float("nan")
        for split in ("val", "test"):
            table.loc[rows[split], name] = model.predict_proba(found[split])[:, 1]
    write_table(FOLDER / "shortcuts.csv", table, digits=9)


if __name__ == "__main__":
    run(main)
