"""SPF (RFC 7208) by `posthouse trust`: the cases of the official suites, with answers of DNS from zone files."""
import json
import subprocess

import pytest

from harness.house import BINARY, TOP

SUITES = TOP.parent / "shared" / "vectors" / "spf" / "test"

def escaped(data):
    return "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in "-_. =:/+~?" else f"\\{b:03}" for b in data.encode("utf-8"))


def name(text):
    return "".join(c if c.isalnum() or c in "-_." else f"\\{ord(c):03}" for c in text.rstrip(".")) + "."


def record(owner, kind, data):
    if kind == "TXT":
        strings = data if isinstance(data, list) else [data]
        return f"{owner} TXT " + (" ".join(f'"{escaped(s)}"' for s in strings) or '""')
    if kind == "MX":
        return f"{owner} MX {data[0]} {name(data[1])}"
    return f"{owner} {kind} {name(data) if kind in ('PTR', 'CNAME') else data}"


def zone_file(zonedata):
    """The zone data of a scenario of the suite: records of type SPF stand for TXT ones where a name has none of these."""
    lines = []
    for owner, entries in zonedata.items():
        owner = name(owner)
        pairs = [p for e in entries if isinstance(e, dict) for p in e.items()]
        if any(kind == "TXT" for kind, _ in pairs):
            pairs = [p for p in pairs if p[0] != "SPF" and p[1] != "NONE"]
        lines += [record(owner, "TXT" if kind == "SPF" else kind, data) for kind, data in pairs]
        if "TIMEOUT" in entries:
            lines.append(f"$TEMPFAIL {owner}")
    return "\n".join(lines) + "\n"


def judge(folder, zone, host, helo, sender):
    (folder / "zone").write_text(zone)
    done = subprocess.run([BINARY, "trust", "/dev/null", "--json", "--dns", folder / "zone", "--ip", host, f"--helo={helo}", f"--from={sender}"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["of"]: row for row in rows}


def cases(suite):
    yaml = pytest.importorskip("yaml")
    path = SUITES / suite
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    for scenario in yaml.safe_load_all(path.read_text()):
        zone = zone_file(scenario["zonedata"])
        for case, test in scenario["tests"].items():
            yield case, test, zone


def differences(folder, suite):
    """What is other than the suite wants, and how many cases there are."""
    found, count = {}, 0
    for case, test, zone in cases(suite):
        count += 1
        row = judge(folder, zone, test["host"], test["helo"], test.get("mailfrom") or "")["mailfrom"]
        wanted = test["result"] if isinstance(test["result"], list) else [test["result"]]
        told = row.get("details", {}).get("explanation", "DEFAULT")
        if row["result"] not in wanted or ("explanation" in test and row["result"] == "fail" and told != test["explanation"]):
            found[case] = (row["result"], wanted, told, test.get("explanation"), row["reason"])
    return found, count


def test_suite_of_rfc_7208(folder):
    found, count = differences(folder, "rfc7208-tests.yml")
    assert (found, count) == ({}, 203)


def test_suite_of_rfc_4408(folder):
    """The older suite: where it leaves a choice, ours is the one that RFC 7208 has made since (doc/trust.md)."""
    found, count = differences(folder, "rfc4408-tests.yml")
    assert (found, count) == ({}, 191)
