"""``make screenshots``: writes a picture of each page, light and dark, wide and narrow, to ``build/screenshots``.

The record is first empty, then full; at last there is no worker, and jobs wait. Names of pages limit it to these, and
``--docs`` writes the small pictures of README and docs instead.
"""

import base64
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from pacifica.dispatcher.store.database import Database

from ..eventually import eventually
from ..processes import Processes
from .chromium import NARROW, WIDE, find_chromium, launch, visiting
from .sample_record import fill_history, fill_jobs, start_jobs
from .site import Site, evil_jobs

FOLDER = Path(__file__).parent.parent.parent / "build" / "screenshots"
DOCS = FOLDER.parent.parent / "docs" / "images"
ALWAYS = {"overview": "/", "jobs": "/ui/jobs", "tasks": "/ui/tasks", "sign-in": "/ui/sign-in"}
TASKS = {"task-add": "/ui/tasks/add", "task-weigh": "/ui/tasks/weigh"}


def take(browser: Browser, url: str, state: str, pages: Mapping[str, str]) -> None:
    """Write the pictures of these pages, named after the state of the record; only those that the program was given."""
    pages = {name: path for name, path in pages.items() if not sys.argv[1:] or name in sys.argv[1:]}
    for scheme in ("light", "dark"):
        with visiting(browser, url, color_scheme=scheme) as visited:
            visited.expected = "."
            for name, path in pages.items():
                visited.open(path)
                for width, size in (("wide", WIDE), ("narrow", NARROW)):
                    visited.page.set_viewport_size(size)
                    visited.page.wait_for_timeout(150)
                    target = FOLDER / f"{name}-{state}-{scheme}-{width}.png"
                    visited.page.screenshot(path=target, full_page=True, animations="disabled")


def take_for_docs(browser: Browser, site: Site) -> None:
    """Write three pictures in WebP, which takes half of the space of PNG."""
    worker = site.processes.start_worker("-n", "oven@lab", concurrency=2)
    fill_history(site)
    fill_jobs(site)
    job = start_jobs(site)["list"]
    eventually(lambda: site.stack.get("/health/ready").json()["workers"].get("living") == 1, 60)
    eventually(lambda: has_figures(site), 60)
    pages = {"task": ("/ui/tasks/weigh", "dark", 580), "job": (f"/ui/jobs/{job}", "light", 840)}
    for name, (path, scheme, height) in {**pages, "overview": ("/", "light", 860)}.items():
        with visiting(browser, site.url(), color_scheme=scheme) as visited:
            page = visited.open(path)
            if name == "task":
                page.get_by_label("sample").fill("gold 7")
            page.wait_for_timeout(20_000 if name == "overview" else 1500)  # Failures are counted after some seconds.
            clip = {"x": 0, "y": 0, "width": WIDE["width"], "height": height, "scale": 1}
            session = page.context.new_cdp_session(page)
            picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": 80, "clip": clip})
            (DOCS / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))
    worker.kill()


def has_figures(site: Site) -> bool:
    """Whether the numbers of the last day are known, which takes some seconds."""
    return "Jobs, 24" in site.stack.get("/ui/tasks", headers={"Accept": "text/html"}).text


def take_all(browser: Browser, site: Site) -> None:
    take(browser, site.url(), "empty", ALWAYS | TASKS)
    worker = site.processes.start_worker(concurrency=2)
    fill_history(site)
    fill_jobs(site)
    jobs = start_jobs(site)
    bad = evil_jobs()[1]
    site.add(bad)
    eventually(lambda: has_figures(site), 60)
    shown = {f"job-{name}": f"/ui/jobs/{uuid}" for name, uuid in jobs.items()}
    search = {"jobs-failed": "/ui/jobs?state=FAILURE", "jobs-none": "/ui/jobs?task=nothing"}
    wrong = {"missing": "/ui/nothing", "job-markup": f"/ui/jobs/{bad.uuid}"}
    take(browser, site.url(), "full", ALWAYS | TASKS | shown | search | wrong)
    take(browser, site.url("signed"), "signed-out", {"jobs": "/ui/jobs"})
    worker.kill()
    for number in range(20):
        site.stack.dispatch("weigh", f"quartz {number}")
    eventually(lambda: site.stack.get("/health/ready").json()["workers"]["living"] == 0, 90)
    take(browser, site.url(), "failing", ALWAYS)


def main() -> None:
    docs = "--docs" in sys.argv
    folder_of_pictures = DOCS if docs else FOLDER
    folder_of_pictures.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Processes(Path(folder), {"BROKER_URL": "database://"}) as processes,
        sync_playwright() as playwright,
        launch(playwright, find_chromium()) as browser,
    ):
        site = Site(processes, Database(f"sqliteext:///{folder}/db.sqlite3"))
        with closing(site.database):
            site.url()
            (take_for_docs if docs else take_all)(browser, site)
    sys.stdout.write(f"{len(list(folder_of_pictures.iterdir()))} pictures are in {folder_of_pictures}\n")


if __name__ == "__main__":
    main()
