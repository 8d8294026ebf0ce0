"""A change that DVC does not see is a result that nobody can trust: `deps` must name all that a stage reaches."""

import re

import pytest
import yaml
from conftest import ROOT
from deps import NO_RESULT, files_of, loaded_sections, reached

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TRAINING = ("train_teacher", "soft_targets", "train_baseline", "distill", "distill_set")


def definition(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def code_deps(stage: str) -> list[str]:
    return [dep for dep in definition(stage)["deps"] if dep.startswith(("src/", "stages/"))]


def module_of(stage: str) -> str:
    command = definition(stage)["cmd"].split()
    return command[command.index("-m") + 1]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_every_file_that_the_stage_imports_and_nothing_else(stage: str) -> None:
    named = {dep: files_of(dep) for dep in code_deps(stage)}
    needed = reached(module_of(stage))
    assert needed <= set().union(*named.values())
    assert [dep for dep, files in named.items() if not files & needed] == []
    assert len(named) <= 12


@pytest.mark.parametrize("stage", STAGES)
def test_params_name_every_section_that_the_stage_loads(stage: str) -> None:
    sections = loaded_sections(module_of(stage))
    assert sections <= {str(name).split(".")[0] for name in definition(stage).get("params", [])}
    assert sections or stage == "report"


def test_training_depends_on_no_evaluation_report_or_download() -> None:
    for stage in TRAINING:
        deps = " ".join(code_deps(stage))
        assert not any(room in deps for room in ("/evaluation", "/compare", "/report", "/release", "study/", "/data/"))


def test_no_training_reads_a_test_film() -> None:
    for stage in TRAINING:
        assert not any("test" in dep for dep in definition(stage)["deps"])
        assert not re.search(r"\btest\b", (ROOT / f"{module_of(stage).replace('.', '/')}.py").read_text())


def downstream(parameter: str) -> set[str]:
    """The stages that may run again when a parameter changes: those that read it, and all that follow."""
    stale = {
        stage
        for stage in STAGES
        for read in map(str, definition(stage).get("params", []))
        if parameter.startswith(read.split("$")[0].rstrip("."))
        or read.startswith(f"{parameter}.")
        or any(f"${{{parameter}}}" in dep for dep in definition(stage)["deps"])
    }
    while True:
        made = [name for stage in stale for name in outs(stage)]
        more = {stage for stage in STAGES if any(feeds(out, dep) for out in made for dep in definition(stage)["deps"])}
        if more <= stale:
            return stale
        stale |= more


def outs(stage: str) -> list[str]:
    found = definition(stage)
    listed = [*found.get("outs", []), *found.get("plots", []), *found.get("metrics", [])]
    names = [next(iter(each)) if isinstance(each, dict) else each for each in listed]
    sets = STAGES[stage].get("foreach") == "${param_sets}"  # none of which has the name of another model
    return [name.replace("${key}", "a_param_set") for name in names] if sets else names


def feeds(out: str, dep: str) -> bool:
    """Whether a stage with this dependency reads this output; what stands in ${} may be anything."""
    out, dep = (re.sub(r"\$\{[^}]*\}", "*", name) for name in (out, dep))
    like = [re.fullmatch(re.escape(one).replace(r"\*", "[^/]+"), other) for one, other in ((out, dep), (dep, out))]
    return any(like) or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")


@pytest.mark.parametrize(
    ("parameter", "runs", "never"),
    [
        (
            "distill.alpha",
            {"distill", "evaluate", "compare", "release", "report"},
            {"train_teacher", "soft_targets", "train_baseline"},
        ),
        ("param_sets", {"distill_set", "compare"}, {"train_teacher", "soft_targets", "train_baseline", "distill"}),
        ("baseline.epochs", {"train_baseline", "evaluate", "compare"}, {*TRAINING} - {"train_baseline"}),
        ("student.epochs", {"train_baseline", "distill", "distill_set"}, {"train_teacher", "soft_targets"}),
        ("teacher.epochs", {"train_teacher", "soft_targets", "distill", "release"}, {"train_baseline", "find_lungs"}),
        ("teacher.sees", {"train_teacher", "evaluate_teacher", "distill", "release"}, {"train_baseline", "find_lungs"}),
        ("teacher.image_size", {"cut_lungs", "train_teacher", "distill"}, {"train_baseline", "find_lungs"}),
        ("student.init", {"train_baseline", "distill"}, {"train_teacher", "soft_targets"}),
        ("soft_targets.count", {"soft_targets", "train_baseline", "distill"}, {"train_teacher"}),
        ("views.flip", {"find_lungs", *TRAINING}, {"preprocess"}),
        (
            "operating_point",
            {"train_teacher", "train_baseline", "distill", "distill_set"},
            {"find_lungs", "cut_lungs"},
        ),
        (
            "evaluate.seed",
            {"evaluate_teacher", "evaluate", "evaluate_set", "compare", "report"},
            {*TRAINING, "release"},
        ),
        ("release.seed", {"release", "report"}, {*STAGES} - {"release", "report"}),
        ("preprocess.seed", {*STAGES} - {"download"}, {"download"}),
    ],
)
def test_a_parameter_runs_what_the_table_says_and_never_more(parameter: str, runs: set[str], never: set[str]) -> None:
    stale = downstream(parameter)
    assert runs <= stale and not never & stale


def test_the_teacher_does_not_depend_on_the_student() -> None:
    for stage in ("train_teacher", "soft_targets"):
        assert not any("student" in file for dep in code_deps(stage) for file in files_of(dep))


def test_an_edited_message_runner_or_template_trains_nothing_and_an_edited_student_no_teacher() -> None:
    def runs(file: str) -> set[str]:
        return {stage for stage in STAGES if any(file in files_of(dep) for dep in code_deps(stage))}

    for file in NO_RESULT:
        assert (ROOT / file).exists() and not runs(file), file
    for file in ("base/templates.py", "report/card.py", "report/comparison.py", "compare/curves.py"):
        assert not runs(f"src/cxr_distill/{file}") & {*TRAINING, "evaluate", "evaluate_set", "find_lungs"}, file
    student = runs("src/cxr_distill/nets/student/network.py")
    assert {"train_baseline", "distill", "evaluate"} <= student
    assert not student & {"find_lungs", "cut_lungs", "train_teacher", "soft_targets"}


def test_the_report_is_made_of_files_that_git_has() -> None:
    for out in outs("report"):
        assert not out.startswith(("data/", "models/", "evaluation/"))
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
    for dep in definition("report")["deps"]:
        assert dep.split("/")[0] not in ignored and (ROOT / dep).exists(), dep


def test_a_plain_repro_reaches_nothing_of_the_study() -> None:
    assert not any("study" in dep for stage in STAGES for dep in definition(stage)["deps"])
