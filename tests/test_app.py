"""What can be told of the page without a browser; tests/test_page.py does the rest."""

import json
import re

import pytest
from conftest import ROOT

from app.build import OWN, VENDOR, build
from cxr_distill.base.errors import CxrError

APP = ROOT / "app"
PAGE = (APP / "index.html").read_text()


def test_the_page_forbids_itself_to_send_an_image_anywhere() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', PAGE)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["form-action"] == "'none'"
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"} & set(policy.split())
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", PAGE)


def test_the_page_names_nothing_that_is_not_served_with_it() -> None:
    served = {*OWN, *(f"vendor/{name.rsplit('/', 1)[1]}" for name in VENDOR)}
    assert set(re.findall(r'(?:src|href)="([^"]*)"', PAGE)) <= served
    for script in APP.glob("*.js"):
        assert {name.removeprefix("./") for name in re.findall(r'from "([^"]*)"', script.read_text())} <= served
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", "".join((APP / name).read_text() for name in OWN))


def test_npm_installs_only_what_was_looked_at() -> None:
    lock = json.loads((APP / "package-lock.json").read_text())["packages"]
    assert all(version[0].isdigit() for version in lock[""]["dependencies"].values())
    assert all("integrity" in package and "resolved" not in package for name, package in lock.items() if name)


def test_a_missing_model_is_one_clear_line_and_leaves_the_page_as_it_was(tmp_path) -> None:
    page = tmp_path / "dist" / "index.html"
    page.parent.mkdir()
    page.write_text("as it was")
    with pytest.raises(CxrError, match=r"cxr-distill\.onnx"):
        build(tmp_path / "nothing", page.parent)
    assert page.read_text() == "as it was"
