"""Preprocessing compared with a plain Pillow loop in one process: `python -m benchmarks.preprocess ARCHIVE.zip`.

Both read, decode and resize the same images in turn. Each ratio is taken within one round.
"""

import time
from io import BytesIO

import numpy as np
from PIL import Image

from benchmarks import archive_argument, heading, progress, run
from cxr_distill.data.archive import convert_images, list_images, open_archive
from cxr_distill.films.pixels import decode


def main() -> None:
    path = archive_argument()
    with open_archive(path) as archive:
        entries = list_images(archive, {})
    ratios = []
    for _ in range(5):
        begun = time.perf_counter()
        with open_archive(path) as archive:
            for entry in entries:
                with Image.open(BytesIO(archive.read(entry.info))) as image:
                    np.asarray(image.convert("L").resize((96, 96), Image.Resampling.BILINEAR))
        plain = time.perf_counter() - begun
        begun = time.perf_counter()
        convert_images(path, entries, lambda data, _: decode(data, size=96), desc="ours")
        ours = time.perf_counter() - begun
        ratios.append(plain / ours)
        progress(f"plain {len(entries) / plain:.0f} images/s, ours {len(entries) / ours:.0f}, ratio {plain / ours:.2f}")
    print(heading(f"Preprocessing compared with a plain Pillow loop, {path.name}"))
    print(f"{len(entries)} images: {np.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f}).\n")


if __name__ == "__main__":
    run(main)
