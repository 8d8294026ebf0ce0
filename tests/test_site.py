"""Own films: figures as in the pipeline, one clear line for a bad table, a site file for one model only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_films import chest, dicom, saved
from earlier_files import SITE_FILE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, precision_score

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation import metrics
from cxr_distill.evaluation.scores import METRICS, Scored, threshold_for_sensitivity
from cxr_distill.release.build import INT8
from cxr_distill.screen import command as screen_command
from cxr_distill.screen.command import CANNOT_RUN
from cxr_distill.screen.session import load_model
from cxr_distill.screen.site_file import Calibration, SiteFile, log_odds, read_site
from cxr_distill.site import command, measure, operating_point
from cxr_distill.site.labels import read_labelled, with_headers
from cxr_distill.site.operating_point import choose_threshold, cross_validated, fit_calibration

FILMS = 80


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of FILMS drawn chests, every second one "with pneumonia", in the table labels.csv and in class folders.

    Labels follow how bright a film is, so that even an untrained network finds something.
    """
    folder = tmp_path_factory.mktemp("films")
    chests = [chest(seed) for seed in range(FILMS)]
    middle = np.median([film.mean() for film in chests])
    rows = ["file,Label,patient,ward"]
    for number, film in enumerate(chests):
        ill = film.mean() > middle
        name = f"{number:03}.png"
        for place in (folder / name, folder / "classes" / ("PNEUMONIA" if ill else "Normal") / name):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(saved(film, "PNG"))
        label = ("1" if number % 2 else "Pneumonia") if ill else "normal"
        rows.append(f"{name},{label},p{number // 2},{'AB'[number % 2]}")
    rows.append("gone.png,1,p0,A")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    (folder / "noise.png").write_bytes(saved(noise, "PNG"))
    rows.append("noise.png,0,p1,C")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def scored(n: int = 400, *, seed: int = 0, slope: float = 1.0) -> Scored:
    """Calibrated probabilities whose log-odds were multiplied by `slope`; two films a patient."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 2, n)
    labels = (random.uniform(size=n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return Scored(labels, 1 / (1 + np.exp(-slope * odds)), np.arange(n) // 2)


def test_figures_are_those_of_the_pipeline_and_the_others_those_of_scikit_learn() -> None:
    sample = scored()
    found = measure.measure(sample, measure.statistics(threshold=0.5, prevalence=None))
    expected = metrics.evaluate(sample, resamples=measure.RESAMPLES, seed=measure.SEED, validation_threshold=0.5)
    for name in METRICS:
        assert found[name] == {"value": expected[name], **expected["ci95"][name]}
    called = sample.probabilities >= 0.5
    by_hand = {
        "ppv": precision_score(sample.labels, called),
        "npv": precision_score(1 - sample.labels, ~called),
        "brier": brier_score_loss(sample.labels, sample.probabilities),
        "ece": expected["ece"],
    }
    for name, value in by_hand.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name
        assert found[name]["low"] < found[name]["high"]


def test_predictive_values_follow_the_prevalence() -> None:
    # Sensitivity .8 and specificity .9 at 10%: PPV = .08 / .17, NPV = .81 / .83.
    labels = np.repeat([1, 0], 10)
    probabilities = np.array([0.9] * 8 + [0.1] * 2 + [0.9] + [0.1] * 9)
    sample = Scored(labels, probabilities, np.arange(20))
    found = measure.measure(sample, measure.statistics(threshold=0.5, prevalence=0.1))
    assert found["ppv"]["value"] == pytest.approx(0.08 / 0.17, abs=1e-6)
    assert found["npv"]["value"] == pytest.approx(0.81 / 0.83, abs=1e-6)
    nobody = measure.measure(sample, measure.statistics(threshold=0.95, prevalence=None))
    assert nobody["ppv"] is None and nobody["npv"]["value"] == 0.5
    everybody = measure.measure(sample, measure.statistics(threshold=0.0, prevalence=None))
    assert everybody["npv"] is None and everybody["ppv"]["value"] == pytest.approx(sample.labels.mean())


def test_a_group_is_measured_alone_or_is_too_small_to_say() -> None:
    sample = scored(300)
    ward = ["A" if number < 200 else "B" if number < 290 else "" for number in range(300)]
    kind = ["ill" if label else "well" for label in sample.labels]
    named = measure.statistics(threshold=0.5, prevalence=None)
    groups = measure.measure_groups(sample, named, {"ward": ward, "kind": kind}, threshold=0.5, prevalence=None)
    assert list(groups["ward"]) == ["(empty)", "A", "B"] and groups["ward"]["(empty)"]["figures"] is None
    first = Scored(sample.labels[:200], sample.probabilities[:200], sample.patients[:200])
    alone = metrics.evaluate(first, resamples=measure.RESAMPLES, seed=0, validation_threshold=0.5)
    assert groups["ward"]["A"]["figures"]["auroc"]["value"] == alone["auroc"]
    every = measure.measure(sample, named)
    for group, metric in (("ill", "sensitivity"), ("well", "specificity")):
        figures = groups["kind"][group]["figures"]
        assert figures.pop(metric)["value"] == every[metric]["value"] and not any(figures.values())


def test_a_figure_of_a_few_patients_is_not_given() -> None:
    sample = scored(300)
    rows = np.concatenate([np.flatnonzero(sample.labels == 1)[:5], np.flatnonzero(sample.labels == 0)])
    few = Scored(sample.labels[rows], sample.probabilities[rows], sample.patients[rows])
    named = measure.statistics(threshold=0.5, prevalence=None)
    assert [name for name, figure in measure.measure(few, named).items() if figure] == ["specificity"]
    one = Scored(sample.labels, sample.probabilities, np.zeros(300))
    assert not any(measure.measure(one, named).values())


def test_what_happened_to_nobody_may_happen_to_others() -> None:
    patients = np.repeat(np.arange(50), 2)
    nobody = measure.measure_share(np.zeros(100, np.bool_), patients)
    assert nobody["low"] == 0 and nobody["high"] == pytest.approx(binomtest(0, 50).proportion_ci().high, abs=1e-6)
    everybody = measure.measure_share(np.ones(100, np.bool_), patients)
    assert everybody["high"] == 1 and everybody["low"] == pytest.approx(1 - nobody["high"])
    labels = np.arange(100) % 2
    scores = Scored(labels, labels.astype(float), patients)
    perfect = measure.measure(scores, measure.statistics(threshold=0.5, prevalence=None))
    for metric in ("accuracy", "sensitivity", "specificity"):  # each of the 50 patients has a film of either class
        assert perfect[metric] == {"value": 1, "low": everybody["low"], "high": 1}
    assert perfect["auroc"] == {"value": 1, "low": everybody["low"], "high": 1}
    rare = measure.measure(scores, measure.statistics(threshold=0.5, prevalence=0.05), prevalence=0.05)
    low = everybody["low"]
    assert rare["ppv"] == {
        "value": 1,
        "low": pytest.approx(0.05 * low / (0.05 * low + 0.95 * (1 - low)), abs=1e-6),
        "high": 1,
    }
    assert rare["npv"]["low"] > 0.99
    wrong = measure.measure(replace(scores, labels=1 - labels), measure.statistics(threshold=0.5, prevalence=None))
    assert wrong["ppv"] == {"value": 0, "low": 0, "high": pytest.approx(1 - low, abs=0.05)}


def test_a_table_of_films_is_never_overwritten_by_a_result(
    model: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = films / "films.csv"
    table.write_bytes((films / "labels.csv").read_bytes())
    status, _, err = evaluate(capsys, table, "--model", model, "-o", films)
    assert status == CANNOT_RUN and "would be overwritten" in err
    assert table.read_bytes() == (films / "labels.csv").read_bytes()
    table.unlink()


def test_films_that_are_all_rejected_still_have_a_report(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = tmp_path / "strange"
    random = np.random.default_rng(0)
    for number in range(40):
        place = strange / ("NORMAL", "PNEUMONIA")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(saved(random.integers(0, 256, (64, 64)).astype(np.uint8), "PNG"))
    assert evaluate(capsys, strange, "--model", model, "-o", tmp_path / "out")[0] == 0
    result = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert result["accepted"] is None and result["rejected"]["no_chest_film"]["films"] == 40
    text = (tmp_path / "out/report.md").read_text()
    assert "all films of a class, or of both, are rejected" in text and "without the rejected ones" not in text
    assert not (tmp_path / "out/site.json").exists()


def test_what_cannot_be_reached_is_a_film_that_cannot_be_read(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = films / "far.csv"
    table.write_text((films / "labels.csv").read_text() + "n" * 300 + ".png,1,p0,A\n")
    assert evaluate(capsys, table, "--model", model, "-o", tmp_path)[0] == 0
    reasons = json.loads((tmp_path / "evaluation.json").read_text())["unreadable"]
    assert any("file name too long" in reason for reason in reasons.values())
    assert "file name too long" in evaluate(capsys, tmp_path / ("n" * 300), "--model", model)[2].lower()
    (tmp_path / "evaluation.json").unlink()
    (tmp_path / "evaluation.json").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    status, _, err = evaluate(capsys, films / "labels.csv", "--model", model, "-o", tmp_path)
    assert status == CANNOT_RUN and "evaluation.json: it is a folder" in err
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_calibration_undoes_a_wrong_slope_and_survives_separated_classes(slope: float) -> None:
    sample = scored(20_000, slope=slope)
    fitted = fit_calibration(sample)
    assert fitted.slope == pytest.approx(1 / slope, rel=0.06) and fitted.intercept == pytest.approx(0, abs=0.06)
    certain = Scored(sample.labels, sample.labels.astype(float), sample.patients)
    assert 0.9 < float(fit_calibration(certain)(1.0)) < 1
    with pytest.raises(CxrError, match="labels exchanged"):
        fit_calibration(Scored(1 - sample.labels, sample.probabilities, sample.patients))


def test_the_threshold_reaches_the_wanted_sensitivity_and_is_checked_on_other_patients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = scored(600)
    threshold = choose_threshold(sample, 0.9)
    assert threshold == threshold_for_sensitivity(sample, 0.9)
    assert (sample.probabilities[sample.labels == 1] >= threshold).mean() >= 0.9
    chosen_on: list[set[int]] = []

    def spied(part: Scored, wanted: float) -> float:
        chosen_on.append(set(part.patients.tolist()))
        return threshold_for_sensitivity(part, wanted)

    monkeypatch.setattr(operating_point, "threshold_for_sensitivity", spied)
    elsewhere = cross_validated(sample, 0.9)
    assert elsewhere["sensitivity"] == pytest.approx(0.9, abs=0.03) and 0 < elsewhere["specificity"] < 1
    everybody = set(sample.patients.tolist())
    left_out = sorted(patient for each in chosen_on for patient in everybody - each)
    assert len(chosen_on) == operating_point.FOLDS and left_out == sorted(everybody)  # each patient once
    with pytest.raises(CxrError, match="an operating point needs 20"):
        choose_threshold(scored(40), 0.9)


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = command.main([str(word) for word in words])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out, output.err


def test_a_table_ends_in_a_report_and_an_operating_point_for_screening(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    labels = films / "labels.csv"
    words = (labels, "--model", model, "-o", out, "--by", "ward", "--sensitivity", "0.8", "--name", "St. Ann")
    status, said, _ = evaluate(capsys, *words)
    assert status == 0 and f"{FILMS + 2} films: {FILMS + 1} readable" in said and "for a sensitivity of 0.8" in said
    result = json.loads((out / "evaluation.json").read_text())
    assert list(result["unreadable"].values()) == ["no such file or directory"]
    assert set(result["rejected"]) == {"unlike", "no_chest_film"}
    rejected = sum(each["films"] for each in result["rejected"].values())
    for each in result["rejected"].values():
        assert each["low"] <= each["value"] <= each["high"]
        assert each["value"] == pytest.approx(each["films"] / (FILMS + 1), abs=1e-6)
    assert rejected >= 1
    assert result["all"]["films"] == FILMS + 1 and result["accepted"]["films"] == FILMS + 1 - rejected
    assert result["all"]["patients"] == FILMS // 2
    assert list(result["groups"]["ward"]) == ["A", "B", "C"] and result["groups"]["ward"]["C"]["figures"] is None
    report = (out / "report.md").read_text()
    assert "gone.png: no such file or directory" in report and "too small to say" in report and "## By ward" in report
    assert (out / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    rows = (out / "films.csv").read_text().splitlines()
    assert rows[0] == "file,label,p_pneumonia,reason,ward" and len(rows) == FILMS + 3

    site = json.loads((out / "site.json").read_text())
    assert site["name"] == "St. Ann" and site["model_sha256"] == load_model(model).sha256
    paths = [str(films / f"{number:03}.png") for number in range(FILMS)]
    decided = {}
    for how in ([], ["--site", str(out / "site.json")]):
        screen_command.main(["--json", "--no-reject", "--model", str(model), *how, *paths])
        output = capsys.readouterr()
        decided[bool(how)] = [json.loads(line) for line in output.out.splitlines()]
    assert "operating point of St. Ann" in output.err and f"threshold {site['threshold']:g}" in output.err
    calibrate = Calibration(**site["calibration"])
    for plain, own in zip(decided[False], decided[True], strict=True):
        assert own["p_pneumonia"] == plain["p_pneumonia"]
        assert (own["decision"] == "pneumonia") == (own["p_pneumonia"] >= site["threshold"])
        assert own["p_calibrated"] == pytest.approx(float(calibrate(own["p_pneumonia"])), abs=1e-6)

    other = ["--site", str(out / "site.json"), "--model", str(model.parent / INT8), paths[0]]
    assert screen_command.main(other) == CANNOT_RUN
    assert "made for another model" in capsys.readouterr().err


def test_class_folders_are_a_table_too_and_say_that_no_patient_is_named(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(capsys, films / "classes", "--model", model, "-o", tmp_path)[0] == 0
    result = json.loads((tmp_path / "evaluation.json").read_text())
    assert result["all"]["films"] == result["all"]["patients"] == FILMS
    assert "Not every film names its patient" in (tmp_path / "report.md").read_text()


def test_dicom_headers_name_patients_and_what_is_asked_for_and_the_results_keep_no_patient(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["file;label"]
    for number in range(60):
        told = {"PatientID": f"MARKER{number // 2}", "PatientName": "MARKER^Name", "PatientAge": f"{number:03}Y"}
        told |= {"PatientSex": "F", "ViewPosition": "AP", "Manufacturer": "Acme", "ManufacturerModelName": "X 1"}
        (tmp_path / f"{number}.dcm").write_bytes(dicom(chest(number), **told))
        rows.append(f"{number}.dcm;{number % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    found = with_headers(read_labelled(tmp_path / "labels.csv"), ["age", "sex", "view", "device"])
    assert found[40].patient == "MARKER20"
    assert found[40].columns == {"age": "40-64", "sex": "F", "view": "AP", "device": "Acme X 1"}
    out = tmp_path / "out"
    assert evaluate(capsys, tmp_path / "labels.csv", "--model", model, "-o", out, "--by", "age")[0] == 0
    result = json.loads((out / "evaluation.json").read_text())
    assert result["all"]["patients"] == 30 and list(result["groups"]["age"]) == ["0-4", "18-39", "40-64", "5-17"]
    assert not [path for path in out.iterdir() if b"MARKER" in path.read_bytes()]


BAD_TABLES = {
    "empty": (b"", "no column file and no column label"),
    "no label": (b"file,patient\na.png,1\n", "no column label"),
    "no file": (b"label\n1\n", "no column file"),
    "head alone": (b"file,label\n", "names no film"),
    "two columns of one name": (b"file,label,label\na.png,1,1\n", "two columns 'label'"),
    "unknown label": (b"file,label\na.png,ill\n", "'ill' is not NORMAL"),
    "label 2": (b"file,label\na.png,2\n", "'2' is not NORMAL"),
    "label 1.0": (b"file,label\na.png,1.0\n", "'1.0' is not NORMAL"),
    "empty label": (b"file,label\na.png,\n", "'' is not NORMAL"),
    "no file name": (b"file,label\n,1\n", "row 2 names no file"),
    "too few cells": (b"file,label\na.png\n", "row 2 has 1 cells"),
    "too many cells": (b"file,label\na.png,1,2\n", "row 2 has 3 cells"),
    "a file twice": (b"file,label\na.png,1\na.png,1\n", "a.png stands in 2 rows"),
    "a file under two labels": (b"file,label\na.png,1\na.png,0\n", "a.png stands in 2 rows"),
    "no patient": (b"file,label,patient\na.png,1,x\nb.png,0,\n", "row 3 (b.png) names no patient"),
    "not UTF-8": ("file,label\nä.png,1\n".encode("latin-1"), "not text in UTF-8"),
    "UTF-16": ("file,label\na.png,1\n".encode("utf-16"), "not text in UTF-8"),
    "zero bytes": (b"file,label\na\0.png,1\n", "names no file"),
    "open quote": (b'file,label\n"a.png,1\n', "is not CSV"),
    "quote within": (b'file,label\n"a"b.png,1\n', "is not CSV"),
    "tabs": (b"file\tlabel\na.png\t1\n", "no column file"),
    "a terminal's orders": (b"file,label\n\x1b[2J.png,ill\n", "\\x1b[2J"),
    "a huge cell": (b"file,label\n" + b"a" * 200_000 + b",1\n", "is not CSV"),
    "a picture": (saved(chest(), "PNG"), "not text in UTF-8"),
    "one class": (b"file,label\nnoise.png,1\n", "one class"),
    "nothing readable": (b"file,label\ngone.png,1\nlost.png,0\n", "no film can be read"),
    "many": (b"file,label\n" + b"".join(b"%d.png,x\n" % n for n in range(50)), "50 unusable"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_one_line_and_leaves_nothing(
    name: str, model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, expected = BAD_TABLES[name]
    (tmp_path / "labels.csv").write_bytes(content)
    (tmp_path / "noise.png").write_bytes((films / "noise.png").read_bytes())
    status, said, err = evaluate(capsys, tmp_path / "labels.csv", "--model", model, "-o", tmp_path / "out")
    assert status == CANNOT_RUN and said == "" and not (tmp_path / "out").exists()
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and expected in last and "\x1b" not in last


def test_wrong_words_on_the_command_line_are_one_line(
    model: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "file").write_text("")
    table = films / "labels.csv"
    cases: dict[str, list[object]] = {
        "no such file": [tmp_path / "gone.csv"],
        "no folder PNEUMONIA": [tmp_path],
        "has no column 'age of'": [table, "--by", "age of"],
        "cannot write": [table, "-o", tmp_path / "file"],
        "--name must be": [table, "--name", "a\nb"],
        "cannot read": [table, "--model", tmp_path / "gone.onnx"],
    }
    for expected, words in cases.items():
        status, _, err = evaluate(capsys, "--model", model, *words)
        assert status == CANNOT_RUN and expected.lower() in err.splitlines()[-1].lower(), err
    for share in ("0", "1", "x", "nan"):
        with pytest.raises(SystemExit):
            command.main([str(table), "--sensitivity", share])


def test_a_site_file_of_an_earlier_version_is_read_and_written_alike(tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text(SITE_FILE)
    site = read_site(tmp_path / "site.json", model_sha256=json.loads(SITE_FILE)["model_sha256"])
    assert (site.threshold, site.calibration) == (0.3127, Calibration(0.914306, -0.40266))
    assert json.dumps(site.to_dict(), indent=2) + "\n" == SITE_FILE


GOOD = {"name": "a", "threshold": 0.4, "sensitivity": 0.9, "calibration": {"slope": 1.0, "intercept": 0.0},
        "prevalence": 0.5, "films": 10, "patients": 5, "model_sha256": "m", "date": "2026-01-01",
        "format": 1}  # fmt: skip
BAD_SITES: list[Any] = [
    "", "[]", "1", '"a"', "null", "{", "[" * 100_000, {}, {**GOOD, "format": 2}, {**GOOD, "threshold": "0.4"},
    {**GOOD, "threshold": 1.5}, {**GOOD, "threshold": None}, {**GOOD, "films": -1}, {**GOOD, "films": 1.5},
    {**GOOD, "more": 1}, {**GOOD, "calibration": {"slope": -1.0, "intercept": 0.0}}, {**GOOD, "calibration": 1},
    {**GOOD, "calibration": {"slope": 1.0}}, {**GOOD, "name": "\x1b[2J"}, {**GOOD, "name": 1},
    {key: value for key, value in GOOD.items() if key != "prevalence"}, json.dumps(GOOD).replace("0.4", "NaN"),
    {**GOOD, "model_sha256": "another"}, {**GOOD, "threshold": True}, {**GOOD, "films": True}, {**GOOD, "format": True},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD_SITES)))
def test_a_bad_site_file_is_refused(number: int, tmp_path: Path) -> None:
    bad = BAD_SITES[number]
    path = tmp_path / "site.json"
    path.write_text(json.dumps(GOOD))
    assert read_site(path, model_sha256="m") == SiteFile(**{**GOOD, "calibration": Calibration(1.0, 0.0)})
    path.write_text(bad if isinstance(bad, str) else json.dumps(bad))
    with pytest.raises(CxrError) as stopped:
        read_site(path, model_sha256="m")
    assert str(path) in str(stopped.value) and str(stopped.value).isprintable()
    with pytest.raises(CxrError):
        read_site(tmp_path, model_sha256="m")


def test_certain_probabilities_have_finite_log_odds() -> None:
    assert np.isfinite(log_odds([0.0, 1.0])).all()


ROWS = st.text(max_size=200).map(lambda text: f"file,label\n{text}".encode(errors="replace"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), ROWS))
def test_whatever_a_table_holds_it_is_films_or_one_error(folder: Path, content: bytes) -> None:
    path = folder / "labels.csv"
    path.write_bytes(content)
    try:
        assert all(film.label in (0, 1) for film in read_labelled(path))
    except CxrError as error:
        assert "\n" not in str(error)
