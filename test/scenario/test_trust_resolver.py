"""`posthouse trust` asks the resolver of the configuration when no zone file is given."""
import json
import subprocess

import pytest

from harness import nsd
from harness.house import BINARY

ZONES = {"a.test": '@ TXT "v=spf1 mx include:slow.test ~all"\n@ MX 10 mail\n@ MX 20 .\nmail A 192.0.2.1\nmail AAAA 2001:db8::1\n'
                   + "odd TXT " + " ".join(f'"{s}"' for s in ["v=spf1 ", "ip4:", "192.0.2.7 "] + ["ip4:192.0.2.8 "] * 30 + ["-all"]) + "\n",
         "2.0.192.in-addr.arpa": "1 PTR mail.a.test.\n"}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    if not nsd.available():
        pytest.skip("nsd is not installed")
    path = tmp_path_factory.mktemp("trust")
    with nsd.Nsd(path / "nsd", ZONES) as dns:
        (path / "house.conf").write_text(f"[house]\nhostname = mx.b.test\ndata_dir = {path}/data\n[dns]\nresolv_conf =\n"
                                         f"stubs = {dns.stubs()} slow.test=127.0.0.1@1\n[limits]\ndns_timeout_ms = 1000\n")

        def question(ip, helo, sender):
            done = subprocess.run([BINARY, "trust", "/dev/null", "--json", "--config", path / "house.conf", "--ip", ip, "--helo", helo,
                                   "--from", sender], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return {(row["method"], row["of"]): row for row in map(json.loads, done.stdout.splitlines())}

        yield question


def test_answers_of_a_name_server(ask):
    rows = ask("192.0.2.1", "mail.a.test", "ann@a.test")
    assert rows["iprev", "client"]["result"] == "pass" and rows["iprev", "client"]["domain"] == "mail.a.test"
    assert rows["spf", "helo"]["result"] == "none"
    assert rows["spf", "mailfrom"]["result"] == "pass" and rows["spf", "mailfrom"]["details"]["term"] == "mx"
    assert ask("2001:db8::1", "mail.a.test", "ann@a.test")["spf", "mailfrom"]["result"] == "pass"
    rows = ask("192.0.2.7", "nobody.a.test", "ann@odd.a.test")
    assert rows["spf", "mailfrom"]["result"] == "pass" and rows["spf", "mailfrom"]["details"]["term"] == "ip4:192.0.2.7"


def test_no_answer(ask):
    row = ask("192.0.2.2", "mail.a.test", "ann@a.test")["spf", "mailfrom"]
    assert row["result"] == "temperror" and row["reason"] == "the TXT records of slow.test could not be looked up"
