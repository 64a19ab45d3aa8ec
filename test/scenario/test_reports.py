"""Reports of others: one house sends its daily report (DMARC) to another, which reads, counts and shows it; and what nobody should send."""
import base64
import email
import email.policy
import gzip
import json
import smtplib
import subprocess

import pytest

from harness import house as hh
from harness import nsd
from harness.house import SMTP, Served
from harness.net import free_port, wait_until
from scenario_helpers import dmarc_schema, past_midnight

pytestmark = [pytest.mark.sanitized, pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")]

A, B, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.9"
SENDER, THIEF = "192.0.2.1", "192.0.2.9"


class World:
    pass


@pytest.fixture(scope="module")
def world():
    w, path = World(), hh.scratch("reports")
    port, w.proxied = free_port(B), free_port()
    names = ["a MX 10 mx.a", f"mx.a A {A}", f'a TXT "v=spf1 ip4:{A} -all"', '_dmarc.a TXT "v=DMARC1; p=quarantine"',
             "b MX 10 mx.b", f"mx.b A {B}", f'b TXT "v=spf1 ip4:{SENDER} -all"', '_dmarc.b TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc@b.test"',
             "thief A 192.0.2.9"]
    with nsd.Nsd(path / "nsd", {"test": "\n".join(names), "2.0.192.in-addr.arpa": "1 PTR mx.b.test."}) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n[send]\nport = {port}\n[limits]\ntrust_dns_retry_s = 1\n"
        w.a = Served(path / "a", "mx.a.test", A, {}, config + "[trust]\ndefer = yes\nreport_sender = reports@a.test\n"
                     f"[listen proxied]\nservice = smtp\naddress = {A}\nport = {w.proxied}\nxclient = {A}\nearly_talker_check = no\n")
        w.b = Served(path / "b", "mx.b.test", B, {SMTP: port}, config + "[trust]\ndefer = yes\nreport_address = DMARC@b.test\nexempt = 203.0.113.0/24\n")
        with w.a, w.b:
            w.a.domain("a.test", "ann", "reports")
            w.b.domain("b.test", "bea", "dmarc")
            yield w
    hh.remove(path)


def hand_over(s, message):
    """The answer to a message; a house whose resolver does not answer yet, on a busy machine, asks to come again."""
    def once():
        assert s.mail(message[0])[0] == 250 and s.rcpt(message[1])[0] == 250
        code, text = s.data(message[2])
        return code != 451 and (code, text.decode())
    return wait_until(once, 60, "an answer", step=0.5)


def say(w, client, author):
    """A message to A, of a client that it is told to have this address."""
    with smtplib.SMTP(A, w.proxied, timeout=60) as s:
        s.ehlo("proxy.test")
        assert s.docmd("XCLIENT", f"ADDR={client} HELO=mail.test PROTO=ESMTP")[0] == 220
        s.ehlo("mail.test")
        assert hand_over(s, (author, "ann@a.test", f"From: {author}\r\nSubject: hello\r\n\r\nhi\r\n"))[0] == 250


def give(w, sender, message, source=STRANGER, to="dmarc@b.test"):
    """A message to B; its id."""
    with smtplib.SMTP(B, w.b.port(SMTP), timeout=60, source_address=(source, 0)) as s:
        s.ehlo("mx.a.test")
        code, text = hand_over(s, (sender, to, message))
    assert code == 250, text
    return text.split("id=")[1].split()[0].strip(")")


def told(w, key, words):
    """The house tells this of the message."""
    story = wait_until(lambda: (lambda t: words in " ".join(t.split()) and t)(w.b.run("trace", key)), 60, words)
    return " ".join(story.split())


def xml_of(raw):
    (part,) = email.message_from_bytes(raw, policy=email.policy.default).iter_attachments()
    return gzip.decompress(part.get_content())


def with_file(name, content, author="x@thief.test"):
    return (f"From: {author}\r\nSubject: Report Domain: b.test\r\nMIME-Version: 1.0\r\nContent-Type: application/gzip; name={name}\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n").encode() + base64.encodebytes(content).replace(b"\n", b"\r\n")


def test_a_house_reads_what_another_reports(world, tmp_path):
    w = world
    for _ in range(3):
        say(w, SENDER, "news@b.test")
    for _ in range(2):
        say(w, THIEF, "thief@b.test")
    wait_until(lambda: sum(r["count"] for r in w.a.rows("report", "pending")) == 5, 60, "the counts")
    past_midnight(w.a)
    rows = wait_until(lambda: w.b.rows("report") or w.a.run("queue", "retry", "--all", check=False) and None, 60, "the report", step=0.5)
    good, bad = rows
    assert [good[k] for k in ("kind", "domain", "source", "messages", "passed", "spf", "dkim", "quarantined", "rejected", "proven")] == [
        "dmarc", "b.test", SENDER, 3, 3, 3, 0, 0, 0, True]
    assert [bad[k] for k in ("source", "messages", "passed", "quarantined", "proven")] == [THIEF, 2, 0, 2, True]
    assert good["reporter"] == "a.test" and good["reporters"] == 1
    assert (w.b.rows("report", "--domain", "B.TEST"), w.b.rows("report", "--domain", "a.test")) == (rows, [])
    (listed,) = w.b.rows("report", "list")
    assert listed["organisation"] == "mx.a.test" and listed["sender"] == "a.test" and listed["proof"] == "dmarc" and listed["total"] == 5
    shown = w.b.rows("report", "show", listed["id"])
    assert len(shown) == 3 and "p=quarantine" in shown[0]["policy"]
    assert {(r["source_ip"], r["messages"], r["spf"], r["disposition"]) for r in shown[1:]} == {(SENDER, 3, "pass", "pass"), (THIEF, 2, "fail", "quarantine")}
    text = w.b.run("report")
    assert "Mail in the name of b.test: 5 messages, 3 of them passed DMARC (60 %)" in text and THIEF in text
    told(w, listed["message"], "it holds a report (dmarc) of mx.a.test about b.test")
    # The message is in its mailbox like any other; what it holds is what the RFC asks for, and the command reads it without a house.
    (w.raw,) = w.b.inbox("dmarc@b.test")
    (tmp_path / "message").write_bytes(w.raw)
    (tmp_path / "report.xml").write_bytes(xml_of(w.raw))
    for name in ("message", "report.xml"):
        done = subprocess.run([hh.BINARY, "report", tmp_path / name, "--json"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert [json.loads(line) for line in done.stdout.splitlines()][1:] == shown[1:]
    xsd = dmarc_schema(tmp_path)
    if xsd is not None:
        done = subprocess.run(["xmllint", "--noout", "--nonet", "--schema", xsd, tmp_path / "report.xml"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    # Again from the same sender it counts no more; from anybody else it counts apart, and is marked.
    told(w, give(w, "reports@a.test", w.raw, source=A), "which is known already")
    assert w.b.rows("report") == rows
    told(w, give(w, "x@thief.test", w.raw), "nothing shows who sent it")
    rows = w.b.rows("report")
    assert sorted((r["proven"], r["messages"]) for r in rows) == [(False, 2), (False, 3), (True, 2), (True, 3)]
    assert "mx.a.test (unproven)" in w.b.run("report")


def test_what_cannot_be_read_is_told(world):
    w = world
    bomb = gzip.compress(b"<feedback>" + b" " * (100 << 20))
    told(w, give(w, "x@thief.test", with_file("r.xml.gz", bomb)), "the report that it holds cannot be read: the gzip file holds more than")
    entities = b'<!DOCTYPE f [<!ENTITY a "a">]><feedback>&a;</feedback>'
    told(w, give(w, "x@thief.test", with_file("r.xml", entities)), "the XML has a document type")
    unreadable = [r for r in w.b.rows("report", "list") if r["kind"] == "unreadable"]
    assert len(unreadable) == 2 and all(r["problem"] and not r["proven"] for r in unreadable)
    # A letter to that address, and a report to another, are mail and nothing else.
    before = w.b.rows("report", "list")
    letter = give(w, "x@thief.test", b"Subject: question\r\n\r\nWhat is this address for?\r\n")
    other = give(w, "x@thief.test", with_file("r.xml", entities), to="bea@b.test")
    last = give(w, "x@thief.test", with_file("r.xml", b"<nothing/>"))
    assert "report" not in told(w, letter, "delivered") and "XML" not in told(w, other, "delivered")
    told(w, last, "the XML is no DMARC report")
    assert len(w.b.rows("report", "list")) == len(before) + 1
    # They went to Junk or the Inbox, all of them.
    wait_until(lambda: sum(len(w.b.inbox("dmarc@b.test", box)) for box in ("INBOX", "Junk")) == 7, 60, "every message")


def test_a_report_of_tls(world):
    w = world
    report = {"organization-name": "Sender", "date-range": {"start-datetime": "2026-11-20T00:00:00Z", "end-datetime": "2026-11-20T23:59:59Z"},
              "contact-info": None, "report-id": "1", "policies": [
                  {"policy": {"policy-type": "sts", "policy-domain": "b.test"}, "failure-details": [
                      {"result-type": "certificate-expired", "receiving-mx-hostname": "mx.b.test", "failed-session-count": 2}],
                   "summary": {"total-successful-session-count": 40, "total-failure-session-count": 2}}]}
    told(w, give(w, "reports@a.test", with_file("r.json.gz", gzip.compress(json.dumps(report).encode()), "reports@a.test"), source=A),
         "it holds a report (tls) of Sender about b.test")
    rows = [r for r in w.b.rows("report") if r["kind"] == "tls"]
    assert [(r["domain"], r["policy"], r["result"], r["sessions"], r["host"], r["reporter"], r["proven"]) for r in rows] == [
        ("b.test", "sts", "successful", 40, "", "a.test", True), ("b.test", "sts", "certificate-expired", 2, "mx.b.test", "a.test", True)]
    assert "Connections to the servers of b.test: 42, 40 of them without fault" in w.b.run("report")
