"""Who watches the house: GET /metrics in Prometheus's text format, GET /health, `posthouse status --check`, what postmaster is told of a
full disk, and what systemd hears."""
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from harness import prometheus
from harness.house import BINARY, Served, remove, scratch
from harness.net import free_port, wait_until
from test_faults import fill, make_room, root_only, tmpfs

needs_prometheus = pytest.mark.skipif(not prometheus.available(), reason="no Prometheus below build-peers/")
SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?[0-9.]+|\+Inf)$')
ADDRESS = "w@elsewhere.test"


class Watched(Served):
    """A house with a listener for metrics, and postmaster's mail in the account admin."""

    def __init__(self, folder, config="", data=None, **kw):
        self.metrics_port = free_port()
        super().__init__(folder, "mx.example.test", config=f"[listen m]\nservice = metrics\nport = {self.metrics_port}\n" + config, **kw)
        if data is not None:
            self.data = data

    def start(self, seconds=60):
        super().start(seconds)
        self.domain("example.test", "alice")
        self.run("account", "add", "admin@example.test", "--admin", "--password-stdin", input="demo-password\n")
        return self

    def get(self, path, **headers):
        """(status, headers, text)"""
        request = urllib.request.Request(f"http://127.0.0.1:{self.metrics_port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

    def raw(self, data):
        with socket.create_connection(("127.0.0.1", self.metrics_port), timeout=60) as s:
            s.sendall(data)
            got = b""
            while part := s.recv(65536):
                got += part
        return got

    def metrics(self):
        return parse(wait_until(lambda: (got := self.get("/metrics"))[0] == 200 and got[2], what="the numbers"))

    def check(self):
        """(exit code, kinds of what is wrong) of status --check"""
        done = subprocess.run([BINARY, "status", "--check", "--json", *self.where()], capture_output=True, text=True, timeout=60)
        return done.returncode, re.findall(r'"problem": ?"([a-z_]+)"', done.stdout)


def parse(text):
    """{(name, labels): value}; holds the whole text against the format."""
    kinds, samples, current = {}, {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            if what == "HELP":
                assert name not in kinds and name.startswith("posthouse_")
                current = name
            else:
                assert what == "TYPE" and name == current
                kinds[name] = rest
                assert (rest == "counter") == name.endswith("_total"), name
            continue
        m = SAMPLE.match(line)
        assert m is not None, line
        base = m[1] if m[1] in kinds else re.sub("_(bucket|sum|count)$", "", m[1])
        assert base == current and (base == m[1]) != (kinds[base] == "histogram"), line
        labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
        assert (m[1], labels) not in samples, line
        samples[m[1], labels] = float(m[3])
    return samples


def total(samples, name, **labels):
    """The sum of a name's samples with these labels."""
    return sum(v for (n, have), v in samples.items() if n == name and set(labels.items()) <= have)


class Manager:
    """The socket of a service manager; remembers what it heard."""

    def __init__(self, path):
        self.path, self.heard = path, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            self.heard.append(self.socket.recv(4096).decode())

    def wait(self, word, after=0):
        """The place behind the first that has the word."""
        return wait_until(lambda: next((i + 1 for i, text in enumerate(self.heard) if i >= after and word in text), None), what=word)


def well(house):
    """A machine with much else to do may answer late: that is told, and passes."""
    wait_until(lambda: house.get("/health")[0] == 200, what="a house that is well")


@pytest.fixture(scope="module")
def manager():
    path = scratch("manager")
    yield Manager(path / "notify")
    remove(path)


@pytest.fixture(scope="module")
def house(manager):
    path = scratch("watch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", str(manager.path))
        patch.setenv("WATCHDOG_USEC", "200000")
        h = Watched(path / "house").start()
    try:
        yield h
        assert h.stop() == 0
        manager.wait("STOPPING=1")
        h.check_log()
    finally:
        if h.process.poll() is None:
            h.kill()
        remove(path)


@pytest.mark.sanitized
def test_metrics(house):
    before = house.metrics()
    house.send(ADDRESS, "alice@example.test", "Subject: one\r\n\r\nhello\r\n")
    wait_until(lambda: len(house.inbox("alice@example.test")) == 1, what="the message")
    m = wait_until(lambda: (m := house.metrics()) and total(m, "posthouse_deliveries_total", outcome="delivered") == 1 and
                   total(m, "posthouse_process_up") == 8 and m, what="a delivery that is counted, by processes that all answer")
    assert total(m, "posthouse_messages_total", outcome="accepted") - total(before, "posthouse_messages_total", outcome="accepted") == 1
    assert total(m, "posthouse_smtp_messages_total", outcome="accepted") == 1
    assert total(m, "posthouse_local_delivery_seconds_count") == total(m, "posthouse_local_delivery_seconds_bucket", le="+Inf") == 1
    assert total(m, "posthouse_message_acceptance_seconds_count", service="smtp") == 1
    assert total(m, "posthouse_command_seconds_count", service="smtp") >= 3
    assert total(m, "posthouse_command_seconds_count", service="imap") >= 3
    assert total(m, "posthouse_sign_ins_total", outcome="ok") >= 1
    assert total(m, "posthouse_sessions_begun_total", service="imap") >= 1
    roles = {dict(labels)["role"] for name, labels in m if name == "posthouse_process_up"}
    assert roles == {"keeper", "vault", "reader", "clerk", "desk", "courier", "gate", "porch"}
    assert all(v == 1 for (name, _), v in m.items() if name == "posthouse_process_up")
    for name in ("posthouse_process_resident_memory_bytes", "posthouse_process_open_fds", "posthouse_storage_free_bytes",
                 "posthouse_certificate_expiry_timestamp_seconds", "posthouse_database_bytes"):
        assert total(m, name) > 0, name
    # Cumulative, and each histogram ends with +Inf.
    buckets = {}
    for (name, labels), v in m.items():
        if name.endswith("_bucket"):
            labels = dict(labels)
            buckets.setdefault((name, labels["role"], labels.get("service")), []).append((float(labels["le"]), v))
    for key, v in buckets.items():
        assert [n for _, n in sorted(v)] == sorted(n for _, n in v) and sorted(v)[-1][0] == float("inf"), key
    assert house.get("/metrics")[1]["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    well(house)


@pytest.mark.sanitized
def test_what_nobody_should_ask(house):
    host = b"Host: localhost\r\n"
    well(house)
    for data, status in ((b"GET /metrics HTTP/1.0\r\n\r\n", 200), (b"GET /x HTTP/1.1\r\n" + host + b"\r\n", 404),
                         (b"POST /metrics HTTP/1.1\r\n" + host + b"\r\n", 405), (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
                         (b"GET /metrics HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421), (b"GET / HTTP/3\r\n" + host + b"\r\n", 505),
                         (b"GET /metrics HTTP/1.1\r\n" + host + b"Content-Length: 3\r\n\r\nabc", 413),
                         (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n", 431), (b"\x16\x03\x01\r\n\r\n", 400)):
        try:
            got = house.raw(data)
        except ConnectionResetError:
            assert len(data) > 8192  # what we had not sent yet
            continue
        assert got.startswith(b"HTTP/1.1 %d " % status) or (len(data) > 8192 and got == b""), (data[:60], got[:60])
    assert house.raw(b"GET /health HTTP/1.1\r\n" + host + b"\r\nGET /health HTTP/1.1\r\n" + host + b"\r\n").count(b"HTTP/1.1 ") == 1
    config = house.folder / "public.conf"
    config.write_text("[house]\nhostname = x.test\n[listen m]\nservice = metrics\naddress = *\n")
    done = subprocess.run([BINARY, "config", "check", config], capture_output=True, text=True)
    assert done.returncode != 0 and "allow" in done.stdout + done.stderr


def test_a_process_that_ended(house):
    # Where the tests run the disk may be nearly full: that is a warning too, and right.
    wait_until(lambda: house.check()[0] in (0, 1), what="a house that is well")
    assert "role_restarted" not in house.check()[1]
    pid = house.pids()["courier", 0]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: house.pids().get(("courier", 0), pid) not in (pid, 0), what="another courier")
    wait_until(lambda: house.check()[0] == 1, what="the house without what is critical")
    assert "role_restarted" in house.check()[1]
    wait_until(lambda: house.get("/health")[0] == 200 and house.get("/health")[2].startswith("warning: "), what="a warning")
    m = wait_until(lambda: (m := house.metrics()) and total(m, "posthouse_health") == 1 and m, what="a warning in numbers")
    assert total(m, "posthouse_process_restarts_total", role="courier") == 1
    assert total(m, "posthouse_problems", problem="role_restarted") == 1
    assert "was started again" in house.run("status")


@pytest.mark.soak
def test_a_process_that_hangs(house):
    pid = house.pids()["reader", 0]
    os.kill(pid, signal.SIGSTOP)
    try:
        status, _, text = house.get("/health")
        assert status == 503 and "the reader (process 0) does not answer" in text, text
        assert house.check()[0] == 2 and house.check()[1][0] == "role_silent"
        assert total(house.metrics(), "posthouse_process_up", role="reader") == 0
    finally:
        os.kill(pid, signal.SIGCONT)
    well(house)


def test_the_last_backup(house):
    assert total(house.metrics(), "posthouse_backup_timestamp_seconds") == 0
    house.run("clock", "advance", "4d")
    assert "backup_none" in house.check()[1]
    house.run("backup", house.folder / "backup")
    assert "backup_none" not in house.check()[1]
    before = total(house.metrics(), "posthouse_backup_timestamp_seconds")
    assert before > 0
    house.run("clock", "advance", "4d")
    wait_until(lambda: (found := house.check())[0] == 1 and "backup_old" in found[1], what="an old backup")


FULL, ROOM = b"the disk is full, new mail has to wait", b"the disk has room again"
LITTLE = "[limits]\nlow_disk_bytes = 40000000\nwatch_backup_days = 0\n"


def subjects(house):
    return [re.search(rb"Subject: (.*)\r\n", m)[1].split(b": ", 1)[1] for m in house.inbox("admin@example.test")]


def disk_low(house, low):
    wait_until(lambda: total(house.metrics(), "posthouse_disk_low") == low, what=f"disk_low {low}")


@root_only
def test_postmaster_is_told_of_a_full_disk(folder):
    with tmpfs(folder / "disk", "100m") as disk, Watched(folder / "house", LITTLE, data=disk / "data") as house:
        fill(disk, 30000000)
        disk_low(house, 1)
        with house.smtp() as s:
            s.ehlo()
            s.mail(ADDRESS)
            s.rcpt("alice@example.test")
            assert s.data("Subject: x\r\n\r\nx\r\n")[0] == 452
        wait_until(lambda: house.check() == (2, ["disk_low", "disk_low"]), what="the queue's disk and the accounts'")
        wait_until(lambda: "the disk with the queue is full" in house.get("/health")[2], what="the word of it")
        assert house.get("/health")[0] == 503
        wait_until(lambda: subjects(house) == [FULL], what="the notice")
        make_room(disk)
        wait_until(lambda: subjects(house) == [FULL, ROOM], what="the notice of the end", step=0.3)
        well(house)


@root_only
@pytest.mark.soak
def test_postmaster_is_told_once_an_hour(folder):
    with tmpfs(folder / "disk", "100m") as disk, Watched(folder / "house", LITTLE, data=disk / "data") as house:
        fill(disk, 30000000)
        wait_until(lambda: subjects(house) == [FULL], what="the notice", step=0.3)
        # The end is told by the next process, too.
        house.stop()
        make_room(disk)
        Served.start(house)
        wait_until(lambda: subjects(house) == [FULL, ROOM], what="the notice of the end", step=0.3)
        # Within the hour it is not told again, not even after a restart; then it is.
        fill(disk, 30000000)
        disk_low(house, 1)
        house.stop()
        Served.start(house)
        disk_low(house, 1)
        assert subjects(house) == [FULL, ROOM]
        house.run("clock", "advance", "2h")
        wait_until(lambda: subjects(house) == [FULL, ROOM, FULL], what="the second notice", step=0.3)


def test_the_service_manager(house, manager):
    at = manager.wait("READY=1\nSTATUS=Serving as mx.example.test")
    at = manager.wait("WATCHDOG=1", at)
    house.process.send_signal(signal.SIGHUP)
    at = manager.wait("RELOADING=1\nMONOTONIC_USEC=", at)
    at = manager.wait("READY=1", at)
    manager.wait("WATCHDOG=1", at)


@needs_prometheus
def test_promtool(house):
    code, said = prometheus.promtool("check", "metrics", input=house.get("/metrics")[2].encode())
    assert code == 0, said
    code, said = prometheus.promtool("check", "rules", prometheus.RULES)
    assert code == 0, said


@needs_prometheus
@pytest.mark.soak
def test_prometheus(house, folder):
    with prometheus.Prometheus(folder / "prometheus", f"127.0.0.1:{house.metrics_port}") as p:
        p.wait_scraped()
        found = p.query("posthouse_process_up")
        assert len(found) == 8 and set(found.values()) == {1}
        assert p.query("sum(posthouse_local_delivery_seconds_count)")
        rules = wait_until(lambda: (r := [r for g in p.get("rules")["groups"] for r in g["rules"]]) and
                           all(x["health"] == "ok" for x in r) and r, 30, "rules that were evaluated")
        assert len(rules) >= 15
