"""A Prometheus of Debian's package, unpacked (not installed) by script/bootstrap, run on loopback from a folder of its own."""
import json
import pathlib
import subprocess
import urllib.parse
import urllib.request

from .net import free_port, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build-peers" / "prometheus" / "root" / "usr" / "bin"
RULES = TOP / "dist" / "prometheus" / "posthouse.rules.yml"


def available():
    return (BIN / "promtool").exists()


def promtool(*args, input=None):
    """(exit code, what it said)"""
    done = subprocess.run([BIN / "promtool", *args], input=input, capture_output=True, timeout=120)
    return done.returncode, (done.stdout + done.stderr).decode()


class Prometheus:
    def __init__(self, folder, target):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.target = target

    def __enter__(self):
        config = self.folder / "prometheus.yml"
        config.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
                          f"scrape_configs: [{{job_name: posthouse, static_configs: [{{targets: ['{self.target}']}}]}}]\n")
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            [BIN / "prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)
        wait_until(self.is_ready, 30, "a Prometheus that is ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=60) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """{labels as a frozenset: value} of an instant query."""
        return {frozenset(r["metric"].items()): float(r["value"][1]) for r in self.get("query", query=expression)["result"]}

    def wait_scraped(self):
        return wait_until(lambda: [t for t in self.get("targets")["activeTargets"] if t["health"] == "up"], 20,
                          "a scrape that succeeded")
