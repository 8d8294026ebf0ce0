"""Files as the commands of November 2026 wrote them. Places keep such files, so that later versions must read them."""

import zipfile
from pathlib import Path

SITE_FILE = """{
  "name": "St. Ann",
  "threshold": 0.3127,
  "sensitivity": 0.95,
  "calibration": {
    "slope": 0.914306,
    "intercept": -0.40266
  },
  "prevalence": 0.412,
  "films": 612,
  "patients": 498,
  "model_sha256": "7d6db2e445076620022ecf5ed5606bc54dca42b53ed2771910dc6495ca33f119",
  "date": "2026-11-27",
  "format": 1
}
"""
"""site.json of `cxr-evaluate`, for the model that was released then."""

MANIFEST = b"""file,patient,subtype,sex
test/PNEUMONIA/c37b51e90a84d26f.png,5d2e8f7a90b1c346,viral,M
train/NORMAL/1f0c9d3a55b7e682.png,e4a7c1b83f65d209,,F
val/PNEUMONIA/8a6e20c4d1f39b75.png,07b9d4e6c2f8a135,bacterial,F
"""


def write_packed(path: Path, png: bytes) -> None:
    """An archive of `cxr-pack --keep sex --about ...`, in which every film is the picture `png`."""
    films = [line.split(",")[0] for line in MANIFEST.decode().splitlines()[1:]]
    with zipfile.ZipFile(path, "w") as archive:
        for film in reversed(films):  # the order says nothing
            archive.writestr(zipfile.ZipInfo(f"chest_xray/{film}"), png)
        archive.writestr(zipfile.ZipInfo("chest_xray/films.csv"), MANIFEST)
        archive.writestr(zipfile.ZipInfo("chest_xray/about.txt"), b"adults, St. Ann, 2019 to 2024")
