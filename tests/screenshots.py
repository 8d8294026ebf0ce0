"""`make screenshots`: pictures and printed lines that README.md and docs/ show, of synthetic films and the real thing.

It runs the demo and an experiment in it, and opens the page with the demo's release in Chromium.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from browser import Page
from PIL import Image, ImageOps

from app.build import build
from cxr_distill.data.phantom import draw_film
from cxr_distill.films.pixels import decode
from cxr_distill.screen.session import load_model
from docs.__main__ import CAPTURED, ROOT
from docs.frames import frames_picture

DEMO = ROOT / ".demo"
KINDS = {"NORMAL": "IM-1.jpeg", "PNEUMONIA": "person1_bacteria_1.jpeg"}
FILMS = 60  # of each class, for the site's operating point


def printed(*command: str, where: Path = ROOT) -> str:
    return subprocess.run(command, cwd=where, check=True, stdout=subprocess.PIPE, text=True).stdout


def draw_films(folder: Path) -> list[Path]:
    """FILMS synthetic films of each class, in class folders; the first of them are the ones to look at."""
    opacity = yaml.safe_load((ROOT / "demo/demo.yaml").read_text())["data"]["phantom"]["opacity"]
    files = []
    for label, name in KINDS.items():
        (folder / label).mkdir(parents=True)
        for number in range(FILMS):
            files.append(folder / label / f"film {number + 1}.jpeg")
            film = draw_film(name, np.random.default_rng([11, len(files)]), opacity=opacity)
            files[-1].write_bytes(film.jpeg)
    return files


def with_most_to_see(files: list[Path], release: Path) -> Path:
    """The film with pneumonia whose activation map differs most from place to place, and which is found."""
    model = load_model(release / "cxr-distill.onnx")
    ill = [file for file in files if file.parent.name == "PNEUMONIA"]
    pixels = np.stack([decode(file.read_bytes(), size=model.facts.image_size).pixels for file in ill])
    answers = model(pixels)
    spread = np.ptp(answers.activation, axis=(1, 2)) * (answers.p_pneumonia > 0.5)
    return ill[int(spread.argmax())]


def take(page: Page, target: Path, *, width: int, height: int) -> None:
    page.driver.set_window_size(width, height)
    page.driver.save_screenshot(str(target))
    with Image.open(target) as shot:
        shot.convert("RGB").quantize(128).save(target, optimize=True)


def main() -> int:
    CAPTURED.mkdir(exist_ok=True)
    said = printed(sys.executable, "-m", "demo")
    (CAPTURED / "demo.txt").write_text(said[said.index("SYNTHETIC: test") : said.index("\nWhy a teacher")])
    (ROOT / "study/report/frames.png").write_bytes(frames_picture())
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        files = draw_films(place / "films")
        command = (sys.executable, "-m", "cxr_distill.site.command", str(place / "films"), "-o", str(place / "site"))
        of_demo = ("--model", str(DEMO / "release/cxr-distill.onnx"))
        printed(*command, *of_demo, "--sensitivity", "0.95", "--name", "St. Ann")
        (ROOT / "docs/evaluation.png").write_bytes((place / "site/evaluation.png").read_bytes())
        build(DEMO / "release", place / "dist")
        shown = with_most_to_see(files, DEMO / "release")
        with Image.open(shown) as film:
            ImageOps.invert(film.convert("L")).save(place / "a negative.png")
        (place / "cut off.jpeg").write_bytes(shown.read_bytes()[:2000])
        chosen = [shown, files[0], place / "a negative.png", place / "cut off.jpeg"]
        page = Page(place / "dist", place)
        try:
            page.choose(*chosen)
            take(page, ROOT / "reports/page.png", width=1000, height=1250)
            take(page, ROOT / "reports/page_phone.png", width=500, height=1100)
            page.driver.set_window_size(1000, 1250)
            page.find("files").send_keys(str(place / "site/site.json"))
            page.wait(lambda: "St. Ann" in page.text("status"))
            take(page, ROOT / "docs/page_site.png", width=1000, height=1250)
        finally:
            page.close()
    # Last: it leaves another release in the demo.
    printed("dvc", "exp", "run", "-S", "distill.alpha=0.25", where=DEMO)
    changed = printed("dvc", "metrics", "diff", where=DEMO).splitlines()
    rows = [line.rstrip() for line in changed if line.startswith(("Path", "metrics/distilled.json"))]
    (CAPTURED / "diff.txt").write_text("\n".join(rows[:5]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
