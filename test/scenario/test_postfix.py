"""Debian's Postfix as the other server, in both directions."""
import re
import smtplib

import pytest

from harness import nsd, postfix
from harness.house import PASSWORD, SMTP, SUBMISSIONS, Served
from harness.net import free_port, wait_until
from scenario_helpers import check_dsn

pytestmark = pytest.mark.skipif(not postfix.available() or not nsd.available(),
                                reason="needs root, nsd and the unpacked Postfix (script/bootstrap test)")


@pytest.fixture(scope="module")
def pair():
    from harness import house as hh
    path = hh.scratch("postfix")
    port, postfix_port = free_port(), free_port()
    house = Served(path / "house", "mx.house.test", "127.0.0.1", {SMTP: port},
                   f"[route pf.test]\nhost = 127.0.0.1\nport = {postfix_port}\n[dns]\nresolv_conf =\nforwarders = 127.0.0.1@1\n")
    peer = postfix.Postfix(path / "pf", postfix_port, "mx.pf.test", main_cf={
        "virtual_mailbox_domains": "pf.test",
        "virtual_mailbox_maps": "inline:{ {pat@pf.test = pat/} }",
        "transport_maps": "inline:{ {house.test = smtp:[127.0.0.1]:%d} }" % port,
        "smtp_tls_security_level": "may",
        "notify_classes": "",
    })
    with house, peer:
        house.domain("house.test", "hal")
        yield house, peer
    hh.remove(path)


def maildir(peer, user):
    new = peer.folder / "mail" / user / "new"
    return [p.read_bytes() for p in sorted(new.iterdir())] if new.exists() else []


def test_to_postfix(pair):
    house, peer = pair
    house.submit("hal@house.test", "hal@house.test", ["pat@pf.test"], "From: hal@house.test\nTo: pat@pf.test\nSubject: over\n\n.dot\nbody\n")
    (raw,) = wait_until(lambda: maildir(peer, "pat"))
    assert raw.replace(b"\r\n", b"\n").endswith(b"\n.dot\nbody\n")


def test_unknown_at_postfix_is_returned(pair):
    house, peer = pair
    house.submit("hal@house.test", "hal@house.test", ["nobody@pf.test"], "From: hal@house.test\nSubject: not there\n\nx\n")
    raw = wait_until(lambda: [m for m in house.inbox("hal@house.test") if b"not there" in m])[0]
    message, text, blocks = check_dsn(raw)
    assert blocks[1]["Status"] == "5.1.1" and "nobody@pf.test" in text
    assert "mx.pf.test" in blocks[1]["Remote-MTA"] or "127.0.0.1" in blocks[1]["Remote-MTA"]


def test_from_postfix(pair):
    house, peer = pair
    with smtplib.SMTP("127.0.0.1", peer.port) as s:
        s.sendmail("pat@pf.test", ["hal@house.test"], "From: pat@pf.test\r\nSubject: back\r\n\r\n.\r\nbody\r\n")
    raw = wait_until(lambda: [m for m in house.inbox("hal@house.test") if b"Subject: back" in m])[0]
    assert raw.endswith(b"\r\n\r\n.\r\nbody\r\n")
    received = re.search(rb"Received: from mx\.pf\.test .*?\r\n(?=\S)", raw, re.S).group()
    assert b"TLS" in received, "Postfix used the STARTTLS that is offered"


def test_unknown_here_is_bounced_by_postfix(pair):
    house, peer = pair
    with smtplib.SMTP("127.0.0.1", peer.port) as s:
        s.sendmail("pat@pf.test", ["nobody@house.test"], "From: pat@pf.test\r\nSubject: who\r\n\r\nx\r\n")
    raw = wait_until(lambda: [m for m in maildir(peer, "pat") if b"Undelivered" in m])[0]
    assert b"550 5.1.1" in raw.replace(b"\n    ", b" ")


def test_100_each_way(pair):
    house, peer = pair
    before = len(maildir(peer, "pat"))
    with house.smtp(SUBMISSIONS) as s:
        s.login("hal@house.test", PASSWORD)
        for i in range(100):
            s.sendmail("hal@house.test", ["pat@pf.test"], f"From: hal@house.test\r\nSubject: many {i}\r\n\r\n{'x' * 70 * (i % 50)}\r\n")
    with smtplib.SMTP("127.0.0.1", peer.port) as s:
        for i in range(100):
            s.sendmail("pat@pf.test", ["hal@house.test"], f"From: pat@pf.test\r\nSubject: much {i}\r\n\r\nx\r\n")
    wait_until(lambda: len([m for m in maildir(peer, "pat") if b"Subject: many" in m]) == 100, 60)
    wait_until(lambda: len([m for m in house.inbox("hal@house.test") if b"Subject: much" in m]) == 100, 60)
    assert len(maildir(peer, "pat")) >= before + 100
    wait_until(lambda: not house.rows("queue", "list"))
