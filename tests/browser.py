"""Chromium with the page in it, and a person at it."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from app.serve import server

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--window-size=1180,1500",
)  # fmt: skip


class Page:
    """The page, and a person at it."""

    def __init__(self, dist: Path, downloads: Path, *, path: str = "/") -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for flag in FLAGS:
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.server: ThreadingHTTPServer = server(0, dist)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.downloads, self.path = downloads, path
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.driver.set_script_timeout(30)
        self.open()

    def close(self) -> None:
        self.driver.quit()
        self.server.shutdown()
        self.server.server_close()

    def open(self) -> None:
        self.driver.get(self.origin + self.path)
        self.wait(lambda: not self.find("loading").is_displayed())

    def find(self, name: str):
        return self.driver.find_element(By.ID, name)

    def wait(self, condition) -> None:
        WebDriverWait(self.driver, 90, 0.05).until(lambda _: condition())

    def text(self, name: str) -> str:
        return self.find(name).get_attribute("textContent").strip()

    def choose(self, *paths: Path) -> list[dict[str, str]]:
        """What the table says of these files, shown alone."""
        if self.find("clear").is_displayed():
            self.find("clear").click()
        self.find("files").send_keys("\n".join(map(str, paths)))
        self.wait(lambda: len(self.rows()) == len(paths) and all(row["decision"] != "waiting" for row in self.rows()))
        self.wait(lambda: any(word in self.text("status") for word in ("files:", f"{paths[0].name}:")))
        return self.rows()

    def drop(self, *paths: Path, rows: int) -> list[dict[str, str]]:
        """What the table says of these files and folders, dropped as from a file manager; `rows` of them."""
        if self.find("clear").is_displayed():
            self.find("clear").click()
        place = self.find("drop").rect
        where = {"x": place["x"] + place["width"] / 2, "y": place["y"] + place["height"] / 2}
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, **where, "data": data})
        self.wait(lambda: len(self.rows()) == rows and all(row["decision"] != "waiting" for row in self.rows()))
        return self.rows()

    def rows(self) -> list[dict[str, str]]:
        script = """return [...document.querySelectorAll("#rows tr")].map((row) => ({
            name: row.cells[0].textContent, probability: row.cells[1].textContent, calibrated: row.cells[2].textContent,
            decision: row.querySelector(".tag").textContent, reason: row.cells[3].lastChild.textContent.trim()}))"""
        return self.driver.execute_script(script)

    def insist(self) -> list[dict[str, str]]:
        """What the table says after every rejected film was shown anyway."""
        for button in self.driver.find_elements(By.CSS_SELECTOR, "#rows tr:has(.rejected) button"):
            button.click()
            self.wait(self.find("anyway").is_displayed)
            self.find("anyway").click()
        return self.rows()

    def saved(self) -> list[dict[str, str]]:
        """The rows of the CSV file that the page hands out."""
        for old in self.downloads.glob("*.csv"):
            old.unlink()
        self.find("csv").click()
        file = self.downloads / "cxr-screen.csv"
        self.wait(file.exists)
        return list(csv.DictReader(file.open(newline="")))

    def decoded(self, module: str, function: str, content: bytes) -> np.ndarray:
        """The grey picture that one of the page's readers makes of these bytes."""
        script = f"""const done = arguments[1];
            import("/{module}.js").then(async (module) => {{
              const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
              const {{grey, width, height}} = await module.{function}(bytes);
              let text = "";
              for (const level of grey) text += String.fromCharCode(level);
              done({{grey: btoa(text), width, height}});
            }}).catch((error) => done({{error: error.message}}));"""
        answer = self.driver.execute_async_script(script, base64.b64encode(content).decode())
        assert "error" not in answer, answer["error"]
        grey = np.frombuffer(base64.b64decode(answer["grey"]), np.uint8)
        return grey.reshape(answer["height"], answer["width"])

    def read_logs(self) -> None:
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        self.complaints += [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "DEBUG"]
