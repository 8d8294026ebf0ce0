"""How fast and how small the released student is: `python -m benchmarks.latency ARCHIVE.zip`, reports/latency.md.

The students of the study, as they would be released, are timed too: study/latency.json.

Networks run as ONNX, one image a batch, on one thread, and take turns within each round. Their times are processor time
of that thread, which other work on the machine changes little. The command is measured from outside, in wall time, on
films of original size. Takes a minute; needs Linux, the trained models and the release.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import yaml
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import archive_argument, heading, progress, run
from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256, write_bytes, write_json
from cxr_distill.base.params import parse
from cxr_distill.base.tables import read_index
from cxr_distill.data.archive import list_images, open_archive, read_entry
from cxr_distill.films.pixels import as_grey, open_picture, squash
from cxr_distill.nets.common.layers import count_parameters, load_weights
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import load_teacher
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.release.build import FP32, INT8
from cxr_distill.screen.session import load_model, open_session
from demo.workspace import ROOT
from study.checks.sizes import released_files, require_three_classes
from study.plan.params import read_study, student_of

WARM_UPS, RUNS, ROUNDS = 20, 40, 6
FILMS = 200  # at most, of the archive
LARGE = 224  # pixels a side: the usual input of ResNet-18
TEACHER, STUDENT = ROOT / "models/teacher.safetensors", ROOT / "models/distilled.safetensors"
RELEASE = ROOT / "release"
MEASURED = (TEACHER, STUDENT, RELEASE / FP32, RELEASE / INT8)
REPORT, BY_SIZE = ROOT / "reports/latency.md", ROOT / "study/latency.json"
SCREEN = (
    "import sys; from cxr_distill.screen.command import main; main(); "
    "print(open('/proc/self/status').read(), file=sys.stderr)"
)
Times = Mapping[Any, NDArray[np.float64]]


@dataclass(frozen=True)
class Subject:
    """A network as ONNX, ready to answer one image."""

    run: Callable[[], Any]
    megabytes: float
    figures: str  # accuracy and AUROC on test as committed, two cells
    parameters: int | None = None
    multiply_adds: float | None = None  # millions


def network(net: nn.Module, size: int, figures: str) -> Subject:
    """A PyTorch network on images of `size` x `size`."""
    net, image = net.eval(), torch.rand(1, 1, size, size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(image)
    program = torch.onnx.export(net, (image,), input_names=["image"], opset_version=18, dynamo=True, verbose=False)
    assert program is not None
    content = program.model_proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {"image": image.numpy()}
    multiply_adds = counter.get_total_flops() / 2e6
    return Subject(lambda: session.run(None, feed), len(content) / 1e6, figures, count_parameters(net), multiply_adds)


def released(name: str, figures: str) -> Subject:
    """A released file, with all its outputs. Raises CxrError if it was made from another student."""
    file = RELEASE / name
    model = load_model(file)
    if model.facts.weights_sha256 != file_sha256(STUDENT):
        raise CxrError(f"{file} was not made from {STUDENT}; run `dvc repro`")
    size = model.facts.image_size
    image = np.random.default_rng(0).integers(0, 256, (1, size, size), np.uint8)
    return Subject(lambda: model(image), file.stat().st_size / 1e6, figures)


def subjects(size: int, params: Mapping[str, Any]) -> dict[str, Subject]:
    """Teacher and student at `size` px, the teacher at LARGE, and the released files."""
    teacher = load_teacher(parse(TeacherParams, params["teacher"], "teacher"), TEACHER)
    student = build_student(parse(StudentParams, params["student"], "student"))
    load_weights(student, STUDENT)
    figures = {name: _json(ROOT / f"metrics/{name}.json")["test"] for name in ("teacher", "distilled")}
    figures |= {
        name: scores for name, scores in _json(ROOT / "reports/release.json").items() if name in ("fp32", "int8")
    }
    cells = {name: f"{scores['accuracy']:.3f} | {scores['auroc']:.3f}" for name, scores in figures.items()}
    return {
        f"teacher at {size} px": network(teacher, size, cells["teacher"]),
        f"student at {size} px": network(student, size, cells["distilled"]),
        f"teacher at {LARGE} px": network(teacher, LARGE, "- | -"),
        f"released fp32 at {size} px, all outputs": released(FP32, cells["fp32"]),
        f"released int8 at {size} px, all outputs": released(INT8, cells["int8"]),
    }


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CxrError(f"cannot read {path}: {error}; run `dvc repro`") from None


def of_the_study(size: int, params: Mapping[str, Any]) -> dict[tuple[str, str], Callable[[], Any]]:
    """(student, fp32 or int8) -> one film through the file that it would be released as, all outputs."""
    student, study = parse(StudentParams, params["student"], "student"), read_study(ROOT / "study/params.yaml")
    image = np.random.default_rng(0).integers(0, 256, (1, size, size), np.uint8).astype(np.float32)
    runs: dict[tuple[str, str], Callable[[], Any]] = {}
    for name in study.students:
        files = released_files(build_student(student_of(study, name, student)), size=size)
        for kind, content in files.items():
            runs[name, kind] = partial(open_session(content).run, None, {"image": image})
    return runs


def preparation(film: bytes, size: int) -> dict[str, Callable[[], Any]]:
    """Decoding and resizing of one film."""

    def decoded() -> Any:
        with open_picture(film, formats=("JPEG",)) as picture:
            return as_grey(picture).copy()

    grey = decoded()
    return {
        f"decode a JPEG of {grey.width} x {grey.height} px": decoded,
        f"resize it to {size} px": lambda: squash(grey, size=size),
    }


def measure(runs: Mapping[Any, Callable[[], Any]]) -> Times:
    """Milliseconds of processor time of every run, by name."""
    for once in runs.values():
        for _ in range(WARM_UPS):
            once()
    times: dict[Any, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        for name, once in runs.items():
            for _ in range(RUNS):
                begun = time.thread_time()
                once()
                times[name].append(1e3 * (time.thread_time() - begun))
    return {name: np.array(values) for name, values in times.items()}


def machine() -> str:
    """The processor and the versions that the times depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model, flags = (next((x.split(":")[1] for x in lines if x.startswith(key)), "") for key in ("model name", "flags"))
    known = sorted({"avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"} & set(flags.split()))
    return (
        f"Processor:{model} ({', '.join(known)}). onnxruntime {version('onnxruntime')}, Pillow {version('pillow')}. "
        f"One image a batch, one thread, {WARM_UPS} warm-ups, {ROUNDS * RUNS} runs. The table has processor time."
    )


def model_files() -> str:
    """The files that were measured, as tests/test_committed_release.py reads them."""
    digests = ", ".join(f"`{file.name}` `{file_sha256(file)[:12]}`" for file in MEASURED)
    return f"Model files, each with the first 12 digits of its SHA-256: {digests}."


def table(nets: Mapping[str, Subject], steps: Sequence[str], times: Times) -> Iterator[str]:
    """Markdown, one row for each network and each step."""
    yield "| | accuracy on test | AUROC on test | parameters | MB | million multiply-adds | median ms | p95 ms |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, net in nets.items():
        size = f"{net.parameters:,} | " if net.parameters else "- | "
        size += f"{net.megabytes:.2f} | " + (f"{net.multiply_adds:,.1f}" if net.multiply_adds else "-")
        yield f"| {name} | {net.figures} | {size} | {_spread(times[name])} |"
    for name in steps:
        yield f"| {name} | - | - | - | - | - | {_spread(times[name])} |"


def _spread(values: NDArray[np.float64]) -> str:
    return f"{np.median(values):.2f} | {np.percentile(values, 95):.2f}"


def ratios(nets: Mapping[str, Subject], times: Times) -> Iterator[str]:
    """How much smaller and faster one network is than another."""
    teacher, student, large_teacher, fp32, int8 = nets
    times_as_many = (nets[teacher].parameters or 0) / (nets[student].parameters or 1)
    yield f"- Parameters, teacher / student: {times_as_many:.0f}"
    for slow, fast in ((teacher, student), (large_teacher, student), (int8, fp32)):
        yield f"- Latency, {slow} / {fast}: {_median(times, slow) / _median(times, fast):.1f}"


def _median(times: Times, name: Any) -> float:
    return float(np.median(times[name]))


def command(films: Sequence[bytes]) -> Iterator[str]:
    """`cxr-screen` as a user runs it: start, throughput, memory."""
    with tempfile.TemporaryDirectory() as folder:
        for number, film in enumerate(films):
            (Path(folder) / f"{number}.jpeg").write_bytes(film)
        cold, cold_peak = sorted(_screen(f"{folder}/0.jpeg") for _ in range(5))[2]
        seconds, peak = sorted(_screen(folder) for _ in range(3))[1]
    yield f"- `cxr-screen` of one film: {cold:.2f} s from start to answer, {cold_peak:.0f} MB of memory at the peak."
    yield (
        f"- `cxr-screen` of {len(films)} films of original size on {os.cpu_count()} cores: {len(films) / seconds:.0f} "
        f"images/s including the start, {peak:.0f} MB of memory at the peak."
    )


def _screen(path: str) -> tuple[float, float]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", SCREEN, path], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    if peak is None:
        raise CxrError(f"cxr-screen failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return seconds, int(peak[1]) / 1e3


def read_films(path: Path) -> list[bytes]:
    """At most FILMS films of an archive, evenly spaced. Raises CxrError if it has none."""
    with open_archive(path) as archive:
        entries = list_images(archive, {})
        if not entries:
            raise CxrError(f"{path} holds no films in Kaggle's layout")
        return [read_entry(archive, entry) for entry in entries[:: max(1, len(entries) // FILMS)][:FILMS]]


def main() -> None:
    if missing := [str(file.relative_to(ROOT)) for file in MEASURED if not file.is_file()]:
        raise CxrError(f"{', '.join(missing)} missing; run `dvc repro` or `dvc pull`")
    require_three_classes(read_index(ROOT / "data/index.csv")["subtype"], what="this benchmark")
    if (load := os.getloadavg()[0]) > 1:
        progress(f"warning: load average {load:.1f}; other work slows the command down, and every figure a little")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    size = params["preprocess"]["image_size"]
    films = read_films(archive_argument())
    nets = subjects(size, params)
    steps = preparation(sorted(films, key=len)[len(films) // 2], size)
    by_size = of_the_study(size, params)
    times = measure({**{name: net.run for name, net in nets.items()}, **steps, **by_size})
    students: dict[str, dict[str, float]] = {}
    for name, kind in by_size:
        students.setdefault(name, {})[kind] = round(_median(times, (name, kind)), 3)
    write_json(BY_SIZE, {"machine": machine(), "students": students})
    teacher, student, _, fp32, _ = nets
    faster = _median(times, teacher) / _median(times, student)
    answer = sum(_median(times, name) for name in [*steps, fp32])
    lines = [
        heading("Latency and size", level=1),
        f"On one thread the student needs {_median(times, student):.2f} ms for an image, the teacher {faster:.1f} "
        f"times as long. From the bytes of a JPEG of original size to its answer it takes {answer:.1f} ms.\n",
        f"{machine()}\n",
        f"{model_files()}\n",
        *table(nets, list(steps), times),
        "",
        *ratios(nets, times),
        *command(films),
    ]
    report = "\n".join(lines) + "\n"
    write_bytes(REPORT, report.encode())
    print(report, end="")


if __name__ == "__main__":
    run(main)
