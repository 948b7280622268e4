"""Chromium without a window, and the study's server beside it."""

import os
import shutil
import threading

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,850",
)


@pytest.fixture
def open_browser(tmp_path_factory):
    """Opens a browser that knows nothing yet; `make test-browser` demands that there is one."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if not found or not driver:
        message = "no chromium with a chromedriver is installed"
        (pytest.fail if os.environ.get("SOUNDWRIGHT_BROWSER") else pytest.skip)(message)
    webdriver = pytest.importorskip("selenium.webdriver")
    opened = []

    def start():
        options = webdriver.ChromeOptions()
        options.binary_location = found
        for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
            options.add_argument(flag)
        opened.append(webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)))
        return opened[-1]

    yield start
    for browser in opened:
        if browser.service.process.poll() is None:
            browser.quit()


class Server:
    """A study's server in a thread; it may be stopped and started again at its address."""

    def __init__(self, folder):
        self.folder, self.port = folder, 0
        self.start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        import uvicorn

        from soundwright.evaluation.study.app import create_app
        from soundwright.evaluation.study.sessions import Sessions
        from soundwright.web.ports import listen

        listener = listen("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(create_app(Sessions(self.folder)), log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    def stop(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def serve():
    """Serves a study's folder."""
    servers = []

    def start(folder):
        servers.append(Server(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
