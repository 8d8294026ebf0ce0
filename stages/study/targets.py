"""The teacher's logits for whole training images, BatchNorm in eval and in train mode."""

from pathlib import Path

from cxr_distill.nets.teacher.params import TeacherParams
from stages import load_params, run

TEACHER = Path("models/teacher.safetensors")
TRAIN = Path("data/tensors/train.safetensors")


def main() -> None:
    teacher = load_params("teacher", TeacherParams)

    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.nets.teacher.network import load_teacher
    from cxr_distill.study.whole_targets import whole_key, whole_targets, write_whole_targets

    train, _ = read_tensors(TRAIN)
    logits = whole_targets(load_teacher(teacher, TEACHER), train["images"], batch_size=teacher.batch_size)
    write_whole_targets(Path("study/targets.safetensors"), logits, whole_key(teacher=TEACHER, train=TRAIN))


if __name__ == "__main__":
    run(main)
