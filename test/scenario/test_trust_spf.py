"""SPF (RFC 7208) by `posthouse trust`: the cases of the official suites, with answers of DNS from zone files."""
import functools
import json
import subprocess

import pytest

from harness import house as harness_house, spf_oracle
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


@pytest.fixture(scope="module")
def zones():
    """A folder for zone files: one for the module, so that what both suites ask alike is asked once."""
    path = harness_house.scratch("spf")
    yield path
    harness_house.remove(path)


@functools.lru_cache(maxsize=None)
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


def test_suite_of_rfc_7208(zones):
    found, count = differences(zones, "rfc7208-tests.yml")
    assert (found, count) == ({}, 203)


# What RFC 7208 has made of the cases in which the older suite accepts several results (doc/trust.md says why).
CHOICES = {"txtonly": "fail", "spfonly": "none", "spftimeout": "fail", "txttimeout": "temperror", "nospftxttimeout": "temperror",
           "spfoverride": "fail", "multitxt1": "permerror", "multispf1": "permerror", "multispf2": "pass",
           "invalid-domain-empty-label": "fail", "invalid-domain-long": "fail", "invalid-domain-long-via-macro": "fail",
           "exists-dnserr": "temperror", "cidr6-0-ip4": "neutral", "cidr6-ip4": "neutral", "p-macro-multiple": "pass",
           "mx-limit": "permerror", "ptr-limit": "neutral"}


def test_suite_of_rfc_4408(zones):
    suite = "rfc4408-tests.yml"
    found, count = differences(zones, suite)
    assert (found, count) == ({}, 191)
    assert CHOICES == {case: judge(zones, zone, test["host"], test["helo"], test.get("mailfrom") or "")["mailfrom"]["result"]
                       for case, test, zone in cases(suite) if isinstance(test["result"], list)}


# ---- another implementation ----------------------------------------------------------------------------------------------------

# Where pyspf and we disagree, and why we stay with ours: a zone, a question, its result, ours. doc/trust.md has the reasons in full.
DISAGREEMENTS = {
    # §4.6.4 counts terms that lead to nothing; pyspf counts questions, here those of one mx for hosts without AAAA records.
    "void lookups": ({"example.org": [{"TXT": "v=spf1 mx +all"}, {"MX": [1, "a.example.org"]}, {"MX": [2, "b.example.org"]},
                                      {"MX": [3, "c.example.org"]}]}, ("2001:db8::1", "h", "a@example.org"), "permerror", "pass"),
    # A record that includes itself is no syntax error: the check may be over before it comes to that.
    "include of itself": ({"example.org": [{"TXT": "v=spf1 ip4:192.0.2.1 include:example.org -all"}]},
                          ("192.0.2.1", "h", "a@example.org"), "permerror", "pass"),
    # §4.6: syntax errors anywhere in the record are errors; a macro that is not closed is one.
    "open macro": ({"example.org": [{"TXT": "v=spf1 x=%{d-.thing all"}]}, ("192.0.2.1", "h", "a@example.org"), "pass", "permerror"),
    # §6: modifiers that nobody knows are ignored, however often they appear.
    "unknown modifier twice": ({"example.org": [{"TXT": "v=spf1 x=1 x=2 all"}]}, ("192.0.2.1", "h", "a@example.org"), "permerror", "pass"),
    # §4.6.1: names are case-insensitive, those of modifiers too.
    "REDIRECT": ({"example.org": [{"TXT": "v=spf1 REDIRECT=b.example.org"}], "b.example.org": [{"TXT": "v=spf1 all"}]},
                 ("192.0.2.1", "h", "a@example.org"), "neutral", "pass"),
    # §7.3: the parts are joined by full stops, whatever they were split at.
    "joined parts": ({"example.org": [{"TXT": "v=spf1 exists:%{o-}.x.org -all"}], "exa-mple.org": [{"TXT": "v=spf1 exists:%{o-}.x.org -all"}],
                      "exa.mple.org.x.org": [{"A": "127.0.0.2"}]}, ("192.0.2.1", "h", "a@exa-mple.org"), "fail", "pass"),
    # A loop of CNAMEs cannot be resolved: resolvers answer SERVFAIL.
    "CNAME loop": ({"example.org": [{"CNAME": "b.example.org"}], "b.example.org": [{"CNAME": "example.org"}]},
                   ("192.0.2.1", "h", "a@example.org"), "none", "temperror"),
    # §4.3: <sender> without local part is postmaster@ the domain, in %{s} too.
    "no local part": ({"example.org": [{"TXT": "v=spf1 exists:%{s}.x.org -all"}], "postmaster@example.org.x.org": [{"A": "127.0.0.2"}]},
                      ("192.0.2.1", "h", "@example.org"), "fail", "pass"),
    # §4.6.4: %{p} asks for PTR records, which counts as a lookup; pyspf counts none for it.
    "%{p} counts": ({"example.org": [{"TXT": "v=spf1" + 9 * " a" + " exists:%{p}.example.org +all"}, {"A": "192.0.2.9"}]},
                    ("192.0.2.1", "h", "a@example.org"), "pass", "permerror"),
}
# The same differences among records made at random: what pyspf or we say when they are met.
KNOWN_THEIRS = ("Void lookup limit", "trivial recursion")
KNOWN_OURS = ("has a macro that is none",)


@pytest.mark.parametrize("what", DISAGREEMENTS)
def test_disagreements_with_pyspf(folder, what):
    pytest.importorskip("spf")
    zone, question, theirs, ours = DISAGREEMENTS[what]
    row = judge(folder, zone_file(zone), *question)["mailfrom"]
    assert (spf_oracle.judge(zone, *question)[0], row["result"]) == (theirs, ours), row["reason"]


def compare(folder, seeds):
    """Asks pyspf and us the same questions: a list of those with unlike answers."""
    found = []
    for seed in seeds:
        g = spf_oracle.Generator(seed)
        zone = g.zone()
        text = zone_file(zone)
        for _ in range(3):
            question = g.question()
            theirs, told = spf_oracle.judge(zone, *question)
            row = judge(folder, text, *question)["mailfrom"]
            explanation = row.get("details", {}).get("explanation")
            known = any(s in told for s in KNOWN_THEIRS) or any(s in row["reason"] for s in KNOWN_OURS)
            if not known and (theirs != row["result"] or (explanation is not None and explanation != told)):
                found.append((seed, question, theirs, told, row))
    return found


def test_pyspf_agrees(folder):
    pytest.importorskip("spf")
    assert compare(folder, range(25)) == []


@pytest.mark.soak
def test_pyspf_agrees_for_long(folder):
    pytest.importorskip("spf")
    assert compare(folder, range(1000, 3000)) == []


# ---- the command --------------------------------------------------------------------------------------------------------------


def run_trust(*arguments, text=""):
    return subprocess.run([BINARY, "trust", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=60)


def test_what_people_see(folder):
    (folder / "zone").write_text('$ORIGIN example.org.\n@ TXT "v=spf1 include:b.example.org -all exp=why.%{d}"\nb TXT "v=spf1 ip4:192.0.2.1"\n'
                                 'why TXT "%{i} is none of ours"\n')
    done = run_trust("-", "--ip", "192.0.2.1", "--from", "ann@example.org", "--dns", folder / "zone", text="From: ann@example.org\n\nhi\n")
    assert done.returncode == 0
    assert ('192.0.2.1 may send for example.org: it matches "include:b.example.org", there "ip4:192.0.2.1" of b.example.org'
            in done.stdout)
    done = run_trust("-", "--ip", "192.0.2.2", "--from", "ann@example.org", "--dns", folder / "zone", text="From: ann@example.org\n\nhi\n")
    assert "explanation=192.0.2.2 is none of ours" in done.stdout and "spf     mailfrom  fail" in done.stdout


def test_mistakes_are_told(folder):
    (folder / "zone").write_text("example.org. TXT x\nexample.org. A 192.0.2.300\n")
    done = run_trust("/dev/null", "--ip", "192.0.2.1", "--dns", folder / "zone")
    assert done.returncode == 65 and "zone: line 2: A takes one address" in done.stderr
    done = run_trust("/dev/null", "--ip", "192.0.2", "--dns", folder / "zone")
    assert done.returncode == 64 and "192.0.2 is not an IP address" in done.stderr
    done = run_trust("/dev/null", "--dns", folder / "nothing")
    assert done.returncode == 66 and "nothing" in done.stderr
    assert run_trust(folder / "nothing", "--dns", folder / "zone").returncode == 66
