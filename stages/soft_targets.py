"""What students learn from: the mean of the teachers' probabilities for each view of each training film."""

from pathlib import Path

from stages.params import read_section
from stages.running import run


def main() -> None:
    sees = read_section("teacher.sees")

    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.distill.targets import average_answers

    files = {each: Path(f"data/answers/{each}.safetensors") for each in sees}
    labels = read_tensors(Path("data/film/val.safetensors"))[0]["labels"]
    average_answers(Path("data/soft_targets.safetensors"), files, labels)


if __name__ == "__main__":
    run(main)
