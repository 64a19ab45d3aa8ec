"""`posthouse dns`: the records that a domain should have, and what DNS says of them, against a name server of our own."""
import base64
import subprocess

import pytest

from harness import house as hh, nsd
from harness.house import Served
from harness.net import wait_until

pytestmark = pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = hh.scratch("dns-command")
    key = path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    text = base64.b64encode(public).decode()
    record = f'"v=DKIM1; k=rsa; p={text[:200]}" "{text[200:]}"'
    good = ['good MX 10 mx.good', 'mx.good A 127.0.0.1', 'good TXT "v=spf1 mx -all"', 'mx.good TXT "v=spf1 a -all"',
            f's1._domainkey.good TXT {record}', '_dmarc.good TXT "v=DMARC1; p=reject; rua=mailto:postmaster@good.test"',
            '_smtp._tls.good TXT "v=TLSRPTv1; rua=mailto:postmaster@good.test"', "_imaps._tcp.good SRV 0 1 993 mx.good",
            "_25._tcp.mx.good TLSA 3 1 1 " + 64 * "0"]
    bad = ["bad MX 10 elsewhere.bad", 'bad TXT "v=spf1 -all"', 's1._domainkey.bad TXT "v=DKIM1; p="', '_dmarc.bad TXT "v=DMARC1; p=none"',
           '_dmarc.bad TXT "v=DMARC1; p=reject"', '_mta-sts.bad TXT "v=STSv1; id="', "_imaps._tcp.bad SRV 0 1 993 elsewhere.bad"]
    with nsd.Nsd(path / "nsd", {"test": "\n".join(good + bad), "127.in-addr.arpa": "1.0.0 PTR mx.good.test."}) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n"
        with Served(path / "house", "mx.good.test", "127.0.0.1", {}, config) as house:
            for domain in ("good.test", "bad.test", "silent.test"):
                house.domain(domain, "ann")
                house.run("dkim", "import", domain, "s1", str(key))
            yield house
    hh.remove(path)


def rows(house, domain, *more):
    return {(r["name"], r["type"]): r for r in house.rows("dns", domain, *more)}


def test_the_records_are_shown(world):
    shown = rows(world, "good.test")
    assert shown["good.test", "MX"]["record"] == "good.test. MX 10 mx.good.test."
    assert shown["_dmarc.good.test", "TXT"]["record"].startswith('_dmarc.good.test. TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@good.test')
    assert shown["s1._domainkey.good.test", "TXT"]["need"] == "required"
    policy = shown["https://mta-sts.good.test/.well-known/mta-sts.txt", "file"]
    assert policy["value"] == "version: STSv1\nmode: testing\nmx: mx.good.test\nmax_age: 604800\n" and policy["lines"][2] == "mx: mx.good.test"
    assert not any("state" in r for r in shown.values())
    assert {t for _, t in shown} == {"MX", "A/AAAA", "TXT", "file", "TLSA", "SRV"}
    (service,) = [r for (n, _), r in shown.items() if n == "_imaps._tcp.good.test"]
    assert service["value"].endswith(" mx.good.test.")
    # For people; and of domains that are ours alone.
    assert "mx.good.test" in world.run("dns", "good.test")
    with pytest.raises(hh.CommandFailed):
        world.run("dns", "elsewhere.test")


def test_what_is_right(world):
    checked = wait_until(lambda: (lambda c: c if c["good.test", "MX"]["state"] != "unknown" else None)(rows(world, "good.test", "--check")), 20, "DNS")
    states = {name: r["state"] for (name, kind), r in checked.items() if kind == "TXT"}
    assert states["good.test"] == states["mx.good.test"] == states["s1._domainkey.good.test"] == "right", checked
    assert states["_dmarc.good.test"] == states["_smtp._tls.good.test"] == "right" and states["_mta-sts.good.test"] == "missing"
    assert checked["good.test", "MX"]["state"] == checked["mx.good.test", "A/AAAA"]["state"] == "right", checked
    assert checked["_25._tcp.mx.good.test", "TLSA"]["state"] == "wrong"
    assert checked["https://mta-sts.good.test/.well-known/mta-sts.txt", "file"]["state"] == "missing"
    assert all(r["told"] and ("todo" in r) == (r["state"] != "right") for r in checked.values())


def test_what_is_wrong(world):
    checked = rows(world, "bad.test", "--check")
    state = {k: r["state"] for k, r in checked.items()}
    assert state["bad.test", "MX"] == state["bad.test", "TXT"] == state["s1._domainkey.bad.test", "TXT"] == "wrong", checked
    assert state["_dmarc.bad.test", "TXT"] == state["_mta-sts.bad.test", "TXT"] == "wrong"
    assert "elsewhere.bad.test" in checked["bad.test", "MX"]["told"] and "127.0.0.1" in checked["bad.test", "TXT"]["told"]
    assert "elsewhere" in checked["bad.test", "MX"]["found"]
    assert rows(world, "silent.test", "--check")["silent.test", "MX"]["state"] == "missing"
    shown = world.run("dns", "bad.test", "--check")
    assert "mail for the domain goes to elsewhere.bad.test, not to this house" in shown
