"""How fast and how small the released student is: `python -m benchmarks.latency ORIGINALS.zip`, minutes, Linux.

Networks as ONNX, one image a batch, one thread, in turn within each round so that a busy machine slows all alike. The
command is measured from outside, on ORIGINALS: an archive of films of original size.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnxruntime
import torch
import yaml
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import heading, progress
from cxr_distill.base.params import parse
from cxr_distill.films.pixels import as_grey, open_picture, squash
from cxr_distill.nets.common.layers import count_parameters, load_weights
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import build_teacher, load_teacher
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.release.build import FP32, INT8
from cxr_distill.screen.session import load_model
from demo.workspace import ROOT

WARM_UPS, RUNS, ROUNDS = 20, 40, 6
LARGE = 224  # pixels a side, at which ResNet-18 is usually used
SCREEN = (
    "import sys; from cxr_distill.screen.command import main; main(); "
    "print(open('/proc/self/status').read(), file=sys.stderr)"
)
Times = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Subject:
    """A network as ONNX, ready to answer one image."""

    run: Callable[[], Any]
    megabytes: float
    parameters: int | None = None
    multiply_adds: float | None = None  # millions
    figures: str = "- | -"  # accuracy and AUROC on test, as committed


def network(net: nn.Module, size: int, figures: str = "- | -") -> Subject:
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
    return Subject(lambda: session.run(None, feed), len(content) / 1e6, count_parameters(net), multiply_adds, figures)


def released(name: str, figures: str) -> Subject:
    """A released file, with everything that it answers."""
    file = ROOT / "release" / name
    model = load_model(file)
    size = model.facts.image_size
    image = np.random.default_rng(0).integers(0, 256, (1, size, size), np.uint8)
    return Subject(lambda: model(image), file.stat().st_size / 1e6, figures=figures)


def subjects() -> dict[str, Subject]:
    """Teacher and student at their own size and at LARGE, a ResNet-18 at LARGE, and the released files."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    size = params["preprocess"]["image_size"]
    teacher_params = parse(TeacherParams, params["teacher"], "teacher")
    teacher = load_teacher(teacher_params, ROOT / "models/teacher.safetensors")
    student = build_student(parse(StudentParams, params["student"], "student"))
    load_weights(student, ROOT / "models/distilled.safetensors")
    resnet = build_teacher(teacher_params.model_copy(update={"arch": "resnet18", "pretrained": False}))
    metrics = {n: json.loads((ROOT / f"metrics/{n}.json").read_text()) for n in ("teacher", "distilled", "release")}

    def figures(scores: Mapping[str, float]) -> str:
        return f"{scores['accuracy']:.3f} | {scores['auroc']:.3f}"

    return {
        f"teacher at {size} px": network(teacher, size, figures(metrics["teacher"]["test"])),
        f"student at {size} px": network(student, size, figures(metrics["distilled"]["test"])),
        f"teacher at {LARGE} px": network(teacher, LARGE),
        f"student at {LARGE} px": network(student, LARGE),
        f"ResNet-18 at {LARGE} px, untrained": network(resnet, LARGE),
        f"released fp32 at {size} px, all outputs": released(FP32, figures(metrics["release"]["fp32"])),
        f"released int8 at {size} px, all outputs": released(INT8, figures(metrics["release"]["int8"])),
    }


def preparation(film: bytes, size: int) -> dict[str, Callable[[], Any]]:
    """Decoding and resizing of one film."""

    def decoded() -> Any:
        with open_picture(film, formats=("JPEG",)) as picture:
            return as_grey(picture).copy()

    grey = decoded()
    return {
        f"decode a JPEG of {grey.width} x {grey.height}": decoded,
        f"resize it to {size} px": lambda: squash(grey, size=size),
    }


def measure(runs: Mapping[str, Callable[[], Any]]) -> Times:
    """Milliseconds of every run of each."""
    for run in runs.values():
        for _ in range(WARM_UPS):
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        for name, run in runs.items():
            for _ in range(RUNS):
                begun = time.perf_counter()
                run()
                times[name].append(1e3 * (time.perf_counter() - begun))
    return {name: np.array(values) for name, values in times.items()}


def print_machine() -> None:
    """What the times depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model, flags = (next((x.split(":")[1] for x in lines if x.startswith(key)), "") for key in ("model name", "flags"))
    known = sorted({"avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"} & set(flags.split()))
    print(f"Processor:{model} ({', '.join(known)}). onnxruntime {version('onnxruntime')}, Pillow {version('pillow')}.")
    print(f"One image a batch, one thread, {WARM_UPS} warm-ups, {ROUNDS * RUNS} runs.\n")


def print_table(nets: Mapping[str, Subject], steps: Sequence[str], times: Times) -> None:
    """One row each."""
    print("| | accuracy | AUROC | parameters | MB | million multiply-adds | median ms | p95 ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name, net in nets.items():
        size = f"{net.parameters:,} | " if net.parameters else "- | "
        size += f"{net.megabytes:.2f} | " + (f"{net.multiply_adds:,.1f}" if net.multiply_adds else "-")
        print(f"| {name} | {net.figures} | {size} | {_spread(times[name])} |")
    for name in steps:
        print(f"| {name} | - | - | - | - | - | {_spread(times[name])} |")


def print_ratios(nets: Mapping[str, Subject], steps: Sequence[str], times: Times) -> None:
    """What is claimed of the student."""
    median = {name: float(np.median(values)) for name, values in times.items()}
    teacher, student, large_teacher, large_student, resnet, fp32, int8 = nets
    parameters = (nets[teacher].parameters or 0) / (nets[student].parameters or 1)
    print(f"\n- Parameters, teacher over student: {parameters:.0f}")
    for over, under in (
        (teacher, student),
        (large_teacher, large_student),
        (resnet, student),
        (fp32, int8),
    ):
        print(f"- Latency, {over} over {under}: {median[over] / median[under]:.1f}")
    answer = sum(median[name] for name in steps) + median[fp32]
    print(f"- From a JPEG of original size to its answer: {answer:.1f} ms (decode, resize, released fp32)")


def print_command(films: Sequence[bytes]) -> None:
    """The command as a user runs it: its start, its throughput, its memory."""
    with tempfile.TemporaryDirectory() as folder:
        for number, film in enumerate(films):
            (Path(folder) / f"{number}.jpeg").write_bytes(film)
        cold, cold_peak = sorted(_screen(f"{folder}/0.jpeg") for _ in range(5))[2]
        seconds, peak = sorted(_screen(folder) for _ in range(3))[1]
    print(f"- `cxr-screen` of one film, from cold start to answer: {cold:.2f} s, {cold_peak:.0f} MB at the peak")
    print(
        f"- `cxr-screen` of {len(films)} films of original size on {os.cpu_count()} cores: "
        f"{len(films) / seconds:.0f} images/s, its start included, {peak:.0f} MB at the peak of the whole process"
    )


def _screen(path: str) -> tuple[float, float]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", SCREEN, path], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    if peak is None:
        sys.exit(done.stderr)
    return seconds, int(peak[1]) / 1e3


def _spread(values: NDArray[np.float64]) -> str:
    return f"{np.median(values):.2f} | {np.percentile(values, 95):.2f}"


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with ZipFile(sys.argv[1]) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpeg") and "__MACOSX" not in name]
        films = [archive.read(name) for name in names]
    nets = subjects()
    steps = preparation(sorted(films, key=len)[len(films) // 2], load_model(ROOT / "release" / FP32).facts.image_size)
    times = measure({**{name: net.run for name, net in nets.items()}, **steps})
    heading("Latency and size", level=1)
    print_machine()
    print_table(nets, list(steps), times)
    print_ratios(nets, list(steps), times)
    print_command(films)


if __name__ == "__main__":
    main()
