"""Build the page in app/dist: its own files, the released model and packages from npm. Same inputs give same bytes.

`python -m app.build [RELEASE]`, after `npm ci --prefix app`; RELEASE is the folder of the model (default: release).
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.screen.session import load_model

APP = Path(__file__).resolve().parent
OWN = (
    "index.html",
    "style.css",
    "icon.svg",
    "sw.js",
    *sorted(path.name for path in APP.glob("*.js") if path.name != "sw.js"),
)
RUNTIME = "ort-wasm-simd-threaded.wasm"
VENDOR = (
    "onnxruntime-web/dist/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    f"onnxruntime-web/dist/{RUNTIME}",
    "dicom-parser/dist/dicomParser.min.js",
    "marked/lib/marked.esm.js",
    "dompurify/dist/purify.es.mjs",
)
MODEL, CARD = "cxr-distill.onnx", "MODEL_CARD.md"


def build(release: Path, target: Path) -> None:
    """Write the page with the model and card in `release` into the folder `target`, which is emptied first.

    Raises CxrError if the model is not a released one, or a file is missing.
    """
    facts = load_model(release / MODEL).facts
    shutil.rmtree(target, ignore_errors=True)
    (target / "vendor").mkdir(parents=True)
    for name in OWN:
        _copy(APP / name, target / name)
    for name in VENDOR:
        _copy(APP / "node_modules" / name, target / "vendor" / Path(name).name)
    for name in (MODEL, CARD):
        _copy(release / name, target / name)
    # onnxruntime-web does not give access to a model's metadata, so they are a file of their own.
    card = {
        "model": {"file": MODEL, "sha256": _digest(target / MODEL), "bytes": (target / MODEL).stat().st_size},
        "runtime": {"file": f"vendor/{RUNTIME}", "bytes": (target / "vendor" / RUNTIME).stat().st_size},
        "metadata": asdict(facts),
    }
    (target / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    version = sha256("".join(f"{name} {_digest(target / name)}\n" for name in files).encode()).hexdigest()[:16]
    kept = ["./", *(name for name in files if name not in ("index.html", "sw.js"))]
    (target / "files.js").write_text(
        f'const VERSION = "cxr-distill-{version}";\nconst FILES = {json.dumps(kept, indent=2)};\n'
    )


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise CxrError(f"cannot copy {source}: {error.strerror}; `make app` fetches and builds everything") from None


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """The command; returns the exit status."""
    try:
        build(Path(sys.argv[1]) if len(sys.argv) > 1 else APP.parent / "release", APP / "dist")
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
