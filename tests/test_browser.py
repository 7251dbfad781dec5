"""JupyterLab in a browser: a lesson is run from the menu, a slider moved, a solution unfolded.

It needs Chromium (Debian: ``apt install chromium``) and is skipped without it.
``COURSE_BROWSER_LESSON`` names a lesson to run instead of the small notebook made here; the
pictures go to ``runs/browser``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "runs" / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 900  # seconds for a lesson on a slow machine
SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
VIEWER = """\
import numpy as np
from course_utils import plotting
y, x, z = np.mgrid[:64, :64, :20]
cone = np.where(np.hypot(y - 32, x - 32) < 4 + z, 40, -1000)
plotting.slice_viewer(cone, (1.0, 1.0, 2.0), "A cone")"""
SOLUTION = "# @title A solution\nanswer = 42\nanswer"

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright: pip install playwright"
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium on the path: apt install chromium"
)


def small_lesson(path: Path) -> None:
    """Write a notebook with what a lesson has: a viewer, an exercise, a folded solution."""
    folded = {"tags": ["solution"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    cells = [
        new_markdown_cell("# A cone, slice by slice"),
        new_code_cell(VIEWER),
        new_markdown_cell("**Exercise** What is the answer?"),
        new_code_cell("answer = None", metadata={"tags": ["exercise"]}),
        new_code_cell(SOLUTION, metadata=folded),
        new_code_cell("print('the end')"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def lesson(tmp_path) -> Path:
    """Return a notebook without outputs in a folder of its own."""
    chosen = os.environ.get("COURSE_BROWSER_LESSON", "")
    path = tmp_path / "notebooks" / f"{chosen or 'lesson'}.ipynb"
    path.parent.mkdir()
    if not chosen:
        small_lesson(path)
        return path
    notebook = nbformat.read(ROOT / "notebooks" / path.name, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def server(lesson, tmp_path):
    """Start JupyterLab over the folder of the lesson and return its address."""
    for name, text in SETTINGS.items():
        file = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    folders = {f"JUPYTER_{what}_DIR": str(tmp_path / what) for what in ("CONFIG", "RUNTIME")}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0",
        "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={lesson.parent}", f"--LabApp.user_settings_dir={tmp_path}/settings",
    ]  # fmt: skip
    environment = {name: text for name, text in os.environ.items() if name != "COURSE_STATIC"}
    environment |= folders | {"PYTHONPATH": str(ROOT)}
    log = tmp_path / "jupyterlab.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        yield address_in(log)
    finally:
        process.terminate()  # it ends its kernels first
        process.wait(60)


def address_in(log: Path) -> str:
    """Wait until JupyterLab has said where it listens."""
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if found:
            return found.group()
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture
def page(server, lesson):
    """Open the lesson in JupyterLab."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(120_000)
        page.goto(f"{server}lab/tree/{lesson.name}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.get_by_text("| Idle").wait_for()  # the kernel is up: what is run before is lost
        yield page
        browser.close()


def picture(page, lesson: Path, name: str) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{lesson.stem}-{name}.png"
    page.screenshot(path=path)
    return path


def test_a_lesson_is_run_and_explored_in_jupyterlab(page, lesson):
    code = len([c for c in nbformat.read(lesson, as_version=4).cells if c.cell_type == "code"])
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    prompts = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
    last = prompts.filter(has_text=f"[{code}]:")
    last.wait_for(state="attached", timeout=1000 * PATIENCE)
    assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0
    picture(page, lesson, "1-run")

    slider = page.locator(".jp-OutputArea .widget-slider").first
    slider.scroll_into_view_if_needed()
    viewer = page.locator(".jp-OutputArea img.widget-image").first
    before, source = viewer.screenshot(), viewer.get_attribute("src")
    readout = slider.locator(".widget-readout").inner_text()
    handle = slider.locator(".noUi-handle")
    handle.focus()
    for _ in range(3):
        handle.press("ArrowRight")
    sync_api.expect(slider.locator(".widget-readout")).not_to_have_text(readout)
    sync_api.expect(viewer).not_to_have_attribute("src", source, timeout=120_000)
    assert viewer.screenshot() != before, "the slice did not change"
    picture(page, lesson, "2-slider")

    solution = page.locator(".jp-CodeCell:has(.jp-Cell-inputWrapper .jp-Placeholder)").first
    editor = solution.locator(".jp-InputArea-editor")
    sync_api.expect(editor).to_be_hidden()
    solution.scroll_into_view_if_needed()
    solution.locator(".jp-Cell-inputWrapper .jp-Placeholder-content").click()
    editor = page.locator(".jp-InputArea-editor:visible").filter(has_text="# @title")
    sync_api.expect(editor.first).to_be_visible()
    picture(page, lesson, "3-solution")
