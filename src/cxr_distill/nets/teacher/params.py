"""Which network the teacher is, and how it is trained."""

from cxr_distill.nets.common.params import FitParams


class TeacherParams(FitParams):
    """Section `teacher`."""

    arch: str
    pretrained: bool
