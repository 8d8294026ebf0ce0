"""What the networks of the study are made from, in one file for all of a kind: `python -m stages.study.inputs alone`.

A network of the study depends on three dozen files of code and data, and DVC reads every entry of every lock file
whenever it starts. So these files are deps of one stage for each kind, and its output, their hashes, of the networks.
"""

import sys
from pathlib import Path

import yaml

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256, write_json
from stages import run

PIPELINE = Path("study/dvc.yaml")
ITSELF = "stages/study/inputs.py"  # no network is made from it


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    stage = yaml.safe_load(PIPELINE.read_text())["stages"].get(f"inputs_{kind}")
    if stage is None:
        raise CxrError("say of which networks: python -m stages.study.inputs alone (or taught)")
    names = [name for name in stage["deps"] if name != ITSELF]
    write_json(Path(f"study/inputs_{kind}.json"), {name: file_sha256(Path(name)) for name in names})


if __name__ == "__main__":
    run(main)
