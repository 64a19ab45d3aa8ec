"""DANE (RFC 7672), MTA-STS (RFC 8461), REQUIRETLS and TLS-Required (RFC 8689) against local zones that Knot signs, servers with right and
wrong certificates, and a local policy host. A message that may not go in the clear is never seen by the server."""
import datetime
import email
import email.policy
import gzip
import json
import re

import pytest

from harness import knot
from harness.certificates import Authority
from harness.house import PASSWORD, SMTP, Served
from harness.net import free_port, wait_until
from harness.policy_host import PolicyHost, policy
from harness.smtp_server import SmtpServer

pytestmark = [pytest.mark.sanitized, pytest.mark.skipif(not knot.available(), reason="Knot is not unpacked")]

HOUSE, POLICIES, BAD_POLICIES = "127.0.0.1", "127.0.0.80", "127.0.0.81"
# domain → (address of its server, kind of certificate)
SIGNED = {
    "right.test": ("127.0.0.21", "self"), "wrong.test": ("127.0.0.22", "self"), "stripped.test": ("127.0.0.23", None),
    "anchor.test": ("127.0.0.24", "leaf"), "misnamed.test": ("127.0.0.25", "other"), "plain.test": ("127.0.0.26", None),
    "unusable.test": ("127.0.0.27", "self"), "bogus.test": ("127.0.0.28", "self"), "both.test": ("127.0.0.29", "self"),
    "keeps.test": ("127.0.0.30", "leaf"),
}
UNSIGNED = {
    "sts.test": ("127.0.0.41", "leaf"), "sts-other.test": ("127.0.0.42", "other"), "sts-expired.test": ("127.0.0.43", "expired"),
    "sts-self.test": ("127.0.0.44", "self"), "sts-clear.test": ("127.0.0.45", None), "sts-unlisted.test": ("127.0.0.46", "leaf"),
    "sts-testing.test": ("127.0.0.47", "self"), "sts-gone.test": ("127.0.0.48", "self"), "sts-badhost.test": ("127.0.0.49", "self"),
    "sts-html.test": ("127.0.0.50", "self"), "sts-moved.test": ("127.0.0.51", "self"), "nothing.test": ("127.0.0.52", "self"),
}
FIRST_POLICIES = {
    "mta-sts.sts.test": policy("enforce", "mx.sts.test"), "mta-sts.sts-other.test": policy("enforce", "mx.sts-other.test"),
    "mta-sts.sts-expired.test": policy("enforce", "*.sts-expired.test"), "mta-sts.sts-self.test": policy("enforce", "mx.sts-self.test"),
    "mta-sts.sts-clear.test": policy("enforce", "mx.sts-clear.test"), "mta-sts.sts-unlisted.test": policy("enforce", "elsewhere.test"),
    "mta-sts.sts-testing.test": policy("testing", "mx.sts-testing.test"), "mta-sts.sts-html.test": (200, "text/html", "<html>"),
    "mta-sts.sts-moved.test": (301, "text/plain", "there"), "mta-sts.both.test": policy("enforce", "elsewhere.test"),
    "mta-sts.sts-badhost.test": policy("enforce", "elsewhere.test"),
}


class World:
    pass


@pytest.fixture(scope="module")
def world():
    from harness import house as hh
    path = hh.scratch("tls")
    w = World()
    port, https = free_port(HOUSE), free_port(POLICIES)
    authority = Authority(path / "certificates")
    domains = {**SIGNED, **UNSIGNED}
    make = {"self": lambda d: authority.self_signed(f"mx.{d}"), "leaf": lambda d: authority.leaf(f"mx.{d}"),
            "other": lambda d: authority.leaf("other.test"), "expired": lambda d: authority.leaf(f"mx.{d}", expired=True),
            None: lambda d: None}
    w.certificates = {d: make[kind](d) for d, (_, kind) in domains.items()}
    stranger = authority.self_signed("stranger.test")
    tlsa = {"right.test": w.certificates["right.test"].tlsa(), "wrong.test": stranger.tlsa(), "stripped.test": stranger.tlsa(),
            "anchor.test": authority.root.tlsa(2, 0, 1), "misnamed.test": authority.root.tlsa(2, 1, 2),
            "unusable.test": stranger.tlsa(1, 1, 1), "bogus.test": stranger.tlsa(), "both.test": w.certificates["both.test"].tlsa(3, 0, 0),
            "keeps.test": w.certificates["keeps.test"].tlsa(3, 1, 2)}
    zones = {"a.test": f"@ MX 10 mx\nmx A {HOUSE}"}
    for d, (address, _) in domains.items():
        zones[d] = f"@ MX 10 mx\nmx A {address}\n"
        if d in tlsa:
            zones[d] += f"_{port}._tcp.mx TLSA {tlsa[d]}\n"
        if d in UNSIGNED and d != "nothing.test" or d == "both.test":
            host = BAD_POLICIES if d == "sts-badhost.test" else POLICIES
            zones[d] += f'_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A {host}\n'
    zones["sts-expired.test"] += f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@sts-expired.test,https://mta-sts.sts-expired.test:{https}/tls?v=1"\n'
    zones["right.test"] += f'_smtp._tls TXT "v=TLSRPTv1; rua=https://mta-sts.sts-badhost.test:{https}/tls,https://mta-sts.sts-expired.test:{https}/wrong,mailto:r@plain.test"\n'
    zones["wrong.test"] += '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@wrong.test"\n_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@nothing.test"\n'
    w.knot = knot.Knot(path / "knot", zones, unsigned=[*UNSIGNED, "a.test"])
    good = authority.leaf("localhost", *(f"mta-sts.{d}" for d in domains))
    w.servers = {d: SmtpServer(address, port, certificate=w.certificates[d], hostname=f"mx.{d}",
                               extensions=("PIPELINING", "8BITMIME") + (("REQUIRETLS",) if d in ("keeps.test", "sts.test") else ()))
                 for d, (address, _) in domains.items()}
    with w.knot, PolicyHost(POLICIES, https, good, dict(FIRST_POLICIES)) as w.policies, \
            PolicyHost(BAD_POLICIES, https, stranger, dict(FIRST_POLICIES)):
        settings = w.knot.settings()
        # Another key for bogus.test: all its signatures are wrong then.
        anchor = next(a for a in w.knot.anchors if a.startswith("bogus.test."))
        settings = settings.replace(anchor, anchor[:-8] + ("00000000" if not anchor.endswith("00000000") else "11111111"))
        config = settings + f"[send]\nport = {port}\nmta_sts_port = {https}\nca_file = {authority.root.pem}\n"
        config += "[limits]\nmta_sts_look_ms = 0\n[trust]\nreport_sender = tls@a.test\n"
        w.house = Served(path / "house", "mx.a.test", HOUSE, {SMTP: free_port(HOUSE)}, config)
        with w.house:
            w.house.domain("a.test", "ann")
            yield w
    for s in w.servers.values():
        s.close()
    hh.remove(path)


def send(w, domain, subject, mail_options=(), headers=""):
    with w.house.smtp(465) as s:
        s.login("ann@a.test", PASSWORD)
        s.ehlo_or_helo_if_needed()
        code, text = s.mail("ann@a.test", mail_options)
        assert code == 250, text
        assert s.rcpt(f"x@{domain}")[0] == 250
        code, text = s.data(f"From: ann@a.test\r\nTo: x@{domain}\r\nSubject: {subject}\r\n{headers}\r\nsecret\r\n")
        assert code == 250, text
        return re.search(rb"[0-9A-Z]{26}", text).group().decode()


def taken(w, domain, subject):
    wait_until(lambda: subject in w.servers[domain].subjects(), 30, f"{subject} at {domain}")
    return next(m for m in w.servers[domain].messages if f"Subject: {subject}\r\n".encode() in m["data"])


def waits(w, domain, ident, *words):
    """The message waits, says why, and nothing of it was seen outside."""
    story = wait_until(lambda: (lambda t: t if "deferred" in t else None)(w.house.run("trace", ident)), 30, f"{ident} is deferred")
    for word in words:
        assert word in story, story
    assert not w.servers[domain].messages
    assert not [c for c in w.servers[domain].commands if c.startswith("MAIL")]
    return story


def results(w, domain):
    return {(r["policy"], r["result"]) for r in w.house.rows("trust", "tls") if r["domain"] == domain}


def test_everything_goes_where_it_may(world):
    """All at once, so that they do not wait for each other."""
    w = world
    ids = {d: send(w, d, d) for d in (*SIGNED, *UNSIGNED)}
    # DANE: the certificate that the record names, also from nobody's authority; an anchor with the right name.
    for domain in ("right.test", "anchor.test", "both.test", "keeps.test"):
        assert taken(w, domain, domain)["tls"]
        assert f"mx.{domain}" in w.servers[domain].server_names
    for domain, words in {"right.test": "certificate verified by DANE", "sts.test": "certificate verified by MTA-STS",
                          "nothing.test": "certificate not checked"}.items():
        wait_until(lambda: words in w.house.run("trace", ids[domain]), 20, f"{words} in the trace")
    # Records that cannot be used: encrypted, whoever it is.
    assert taken(w, "unusable.test", "unusable.test")["tls"]
    waits(w, "wrong.test", ids["wrong.test"], "DANE")
    waits(w, "misnamed.test", ids["misnamed.test"], "DANE")
    waits(w, "stripped.test", ids["stripped.test"], "STARTTLS", "DANE")
    waits(w, "bogus.test", ids["bogus.test"], "DNSSEC")
    # A signed domain without records, and one that says nothing: as well as it goes.
    assert not taken(w, "plain.test", "plain.test")["tls"]
    assert taken(w, "nothing.test", "nothing.test")["tls"]
    # MTA-STS
    assert taken(w, "sts.test", "sts.test")["tls"]
    for domain, words in {"sts-other.test": "certificate", "sts-expired.test": "expired", "sts-self.test": "certificate",
                          "sts-clear.test": "STARTTLS", "sts-unlisted.test": "not one of the mail servers"}.items():
        waits(w, domain, ids[domain], words, "MTA-STS")
    # Testing, and policies that cannot be had: delivered, and counted.
    for domain in ("sts-testing.test", "sts-gone.test", "sts-badhost.test", "sts-html.test", "sts-moved.test"):
        assert taken(w, domain, domain)["tls"]
    assert ("/.well-known/mta-sts.txt") in {p for _, p in w.policies.asked}
    assert "/elsewhere" not in {p for _, p in w.policies.asked}


def test_results_are_counted(world):
    w = world
    expected = {
        "right.test": ("tlsa", "successful"), "both.test": ("tlsa", "successful"), "wrong.test": ("tlsa", "certificate-not-trusted"),
        "stripped.test": ("tlsa", "starttls-not-supported"), "misnamed.test": ("tlsa", "certificate-host-mismatch"),
        "sts.test": ("sts", "successful"), "sts-other.test": ("sts", "certificate-host-mismatch"),
        "sts-expired.test": ("sts", "certificate-expired"), "sts-self.test": ("sts", "certificate-not-trusted"),
        "sts-clear.test": ("sts", "starttls-not-supported"), "sts-unlisted.test": ("sts", "validation-failure"),
        "sts-testing.test": ("sts", "certificate-not-trusted"), "sts-gone.test": ("sts", "sts-policy-fetch-error"),
        "sts-badhost.test": ("sts", "sts-webpki-invalid"), "sts-html.test": ("sts", "sts-policy-fetch-error"),
        "nothing.test": ("no-policy-found", "successful"), "plain.test": ("no-policy-found", "starttls-not-supported"),
    }
    for domain, want in expected.items():
        wait_until(lambda: want in results(w, domain), 20, f"{want} of {domain}: {results(w, domain)}")
    known = {r["domain"]: r["mode"] for r in w.house.rows("trust", "policies")}
    assert known["sts.test"] == "enforce" and known["sts-testing.test"] == "testing"
    assert "sts-gone.test" not in known and "sts-html.test" not in known


def test_a_known_policy_holds_without_dns_and_policy_host(world):
    """An attacker who can hide the record and the policy cannot make us forget (RFC 8461 §10.2); nor can a restart."""
    w = world
    asked = len(w.policies.asked)
    w.knot.change("sts.test", f"@ MX 10 mx\nmx A {UNSIGNED['sts.test'][0]}\n")
    w.policies.policies.clear()
    good = w.servers["sts.test"].context
    w.servers["sts.test"].use(w.certificates["sts-self.test"])
    killed = {p for (r, _), p in w.house.pids().items() if r == "courier"}
    for role, index in list(w.house.pids()):
        if role == "courier":
            import os
            import signal
            os.kill(w.house.pids()[role, index], signal.SIGKILL)
    wait_until(lambda: killed.isdisjoint(p for (r, _), p in w.house.pids().items() if r == "courier"), 20, "a new courier")
    before = len(w.servers["sts.test"].messages)
    ident = send(w, "sts.test", "after-restart")

    def refused():
        told = w.house.run("trace", ident)
        if "MTA-STS" not in told:
            w.house.run("queue", "retry", ident, check=False)  # an attempt may have met the courier's death
        return told if "MTA-STS" in told else None
    story = wait_until(refused, 60, step=1)
    assert "MTA-STS" in story and len(w.servers["sts.test"].messages) == before
    w.servers["sts.test"].context = good
    w.house.run("clock", "advance", "30m")
    w.house.run("queue", "retry", ident, check=False)  # it may have gone already
    assert taken(w, "sts.test", "after-restart")["tls"]
    assert len(w.policies.asked) == asked, "the policy was known"
    w.policies.policies.update(FIRST_POLICIES)


def test_requiretls(world):
    """RFC 8689 §4.2.1: only to a server that is vouched for and promises the same."""
    w = world
    ident = send(w, "keeps.test", "kept", ["REQUIRETLS"])
    assert "REQUIRETLS" in taken(w, "keeps.test", "kept")["mail"]
    for domain, status in (("right.test", "5.7.30"), ("nothing.test", "5.7.30")):
        ident = send(w, domain, f"required-{domain}", ["REQUIRETLS"])
        story = wait_until(lambda: (lambda t: t if "failed" in t else None)(w.house.run("trace", ident)), 30)
        assert status in story, story
        assert f"required-{domain}" not in w.servers[domain].subjects()


def test_tls_required_no(world):
    """RFC 8689 §4.2.2: the sender wants it to arrive, whatever the policies say."""
    w = world
    for domain in ("wrong.test", "sts-expired.test", "stripped.test"):
        send(w, domain, "no-matter", headers="TLS-Required: No\r\n")
    for domain in ("wrong.test", "sts-expired.test"):
        assert taken(w, domain, "no-matter")["tls"]
    assert not taken(w, "stripped.test", "no-matter")["tls"]


def reports(w, domain):
    return [email.message_from_bytes(m["data"], policy=email.policy.default) for m in w.servers[domain].messages if b"TLS-Report-Domain" in m["data"]]


def opened(message):
    """The report in a message, and its structure (RFC 8460 §5.3)."""
    assert message.get_content_type() == "multipart/report" and message.get_param("report-type") == "tlsrpt" and not message.defects
    assert message["TLS-Report-Submitter"] == "a.test" and message["TLS-Required"] == "No" and message["Auto-Submitted"] == "auto-generated"
    domain = message["TLS-Report-Domain"]
    assert re.fullmatch(rf"Report Domain: {re.escape(domain)} Submitter: a\.test Report-ID: <\S+@a\.test>", message["Subject"])
    signatures = message.get_all("DKIM-Signature")
    assert len(signatures) == 2 and all("d=a.test" in s and "tls-report-domain" in s.lower() and "l=" not in s.split("b=")[0] for s in signatures)
    _, part = message.get_payload()
    assert part.get_content_type() == "application/tlsrpt+gzip"
    assert re.fullmatch(rf"a\.test!{re.escape(domain)}!\d+!\d+\.json\.gz", part.get_filename())
    return json.loads(gzip.decompress(part.get_content()))


def test_the_domains_get_their_reports(world):
    """RFC 8460: by mail, whatever their certificates are worth, and to web servers whose certificates are right."""
    w = world
    day = w.house.rows("clock", "show")[0]["now"][:10]
    counted = {(r["policy"], r["result"]): r["sessions"] for r in w.house.rows("trust", "tls", "--days", "2") if r["domain"] == "sts-expired.test"}
    now = datetime.datetime.fromisoformat(w.house.rows("clock", "show")[0]["now"].replace("Z", "+00:00"))
    noon = (now + datetime.timedelta(days=1)).replace(hour=12, minute=0)
    w.house.run("clock", "advance", f"{int((noon - now).total_seconds())}s")
    wait_until(lambda: any(p[1] == "/tls?v=1" for p in w.policies.posted), 60, "the report that was posted")
    (message,) = wait_until(lambda: reports(w, "sts-expired.test"), 60, "the report that was sent")
    report = opened(message)
    (posted,) = (p for p in w.policies.posted if p[1] == "/tls?v=1")
    assert posted[2] == "application/tlsrpt+gzip" and json.loads(gzip.decompress(posted[3])) == report
    assert report["contact-info"] == "tls@a.test" and report["date-range"]["start-datetime"].startswith(day + "T00:00:00")
    policies = {p["policy"]["policy-type"]: p for p in report["policies"]}
    sts = policies["sts"]
    assert sts["policy"]["policy-domain"] == "sts-expired.test" and sts["policy"]["mx-host"] == ["*.sts-expired.test"]
    assert sts["policy"]["policy-string"][:2] == ["version: STSv1", "mode: enforce"]
    (failure,) = sts["failure-details"]
    assert failure["result-type"] == "certificate-expired" and failure["receiving-mx-hostname"] == "mx.sts-expired.test"
    assert failure["receiving-ip"] == UNSIGNED["sts-expired.test"][0]
    assert failure["failed-session-count"] == sts["summary"]["total-failure-session-count"] == counted[("sts", "certificate-expired")]
    # To whose server has no certificate that is right nothing is told; who refuses it is no taker; then there is mail.
    (message,) = wait_until(lambda: reports(w, "plain.test"), 60, "the report about right.test")
    tlsa = opened(message)["policies"][0]
    assert tlsa["policy"]["policy-type"] == "tlsa" and tlsa["policy"]["policy-string"] == [w.certificates["right.test"].tlsa().lower()]
    assert tlsa["summary"]["total-successful-session-count"] > 0 and "failure-details" not in tlsa
    wait_until(lambda: any(p[1] == "/wrong" for p in w.policies.posted), 60, "the report that was refused")
    # Two records are none; and who asked for nothing gets nothing.
    assert not any(reports(w, d) for d in w.servers if d not in ("sts-expired.test", "plain.test"))
