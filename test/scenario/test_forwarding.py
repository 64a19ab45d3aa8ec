"""Forwarding between two houses: return addresses that are rewritten where mail leaves for a second time, the way back of bounces
through both houses, loops between them."""
import email
import email.policy
import re

import pytest

from harness.house import SMTP, Served
from harness.net import free_port, wait_until
from scenario_helpers import check_dsn

A, B = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module")
def world():
    """a.test with ann and alf; b.test with bea; o.test, where Olga writes from, is b's too."""
    from harness import house as hh
    path = hh.scratch("forwarding")
    ports = {A: free_port(A), B: free_port(B)}
    dead = free_port(A)

    def config(there, address):
        names = ("b.test", "o.test") if there == "b" else ("a.test",)
        rows = [f"[route {name}]\nhost = {address}\nport = {ports[address]}\n" for name in names]
        return "".join(rows) + f"[route dead.test]\nhost = {A}\nport = {dead}\n"
    a = Served(path / "a", "mx.a.test", A, {SMTP: ports[A]}, config("b", B))
    b = Served(path / "b", "mx.b.test", B, {SMTP: ports[B]}, config("a", A))
    with a, b:
        a.domain("a.test", "ann", "alf")
        b.domain("b.test", "bea")
        b.domain("o.test", "olga")
        yield a, b
    hh.remove(path)


def message(subject, to="ann@a.test"):
    return f"From: olga@o.test\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@o.test>\r\n\r\nbody\r\n"


def arrived(house, user, subject, seconds=20):
    def look():
        return [m for m in house.inbox(user) if f"Subject: {subject}\r".encode() in m]
    return wait_until(look, seconds, f"'{subject}' in the Inbox of {user}")[0]


def settled(*houses):
    for house in houses:
        wait_until(lambda: not house.rows("queue", "list"), 20, "an empty queue")


def sender_of(raw):
    return re.match(rb"Return-Path: <(.*?)>", raw).group(1).decode()


def test_rewritten(world):
    a, b = world
    a.run("account", "forward", "ann@a.test", "bea@b.test", "--keep")
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("one"))
    raw = arrived(b, "bea@b.test", "one")
    assert re.match(r"SRS0=[a-z2-7]{8}=[a-z2-7]{2}=o\.test=olga@a\.test$", sender_of(raw))
    kept = arrived(a, "ann@a.test", "one")
    assert sender_of(kept) == "olga@o.test"  # what is not forwarded is left alone
    assert email.message_from_bytes(raw, policy=email.policy.default)["From"] == "olga@o.test"
    # A sender of the forwarding house itself stays: that house may send for its domain.
    a.submit("alf@a.test", "alf@a.test", "ann@a.test", message("own").replace("olga@o.test", "alf@a.test"))
    assert sender_of(arrived(b, "bea@b.test", "own")) == "alf@a.test"
    # The null sender stays null.
    a.send("", "ann@a.test", message("null"))
    assert sender_of(arrived(b, "bea@b.test", "null")) == ""
    # What goes away directly is not rewritten.
    a.submit("alf@a.test", "alf@a.test", "bea@b.test", message("direct").replace("olga@o.test", "alf@a.test"))
    assert sender_of(arrived(b, "bea@b.test", "direct")) == "alf@a.test"


def test_bounce_comes_back(world):
    """b refuses what a forwards: a's report goes to the return address, which is a's own, and from there to Olga at b."""
    a, b = world
    a.run("account", "forward", "ann@a.test", "gone@b.test")
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("refused"))

    def report():
        return [m for m in b.inbox("olga@o.test") if b"<refused@o.test>" in m and b"delivery-status" in m]
    raw, = wait_until(report, 20, "the report")
    _, _, blocks = check_dsn(raw)
    assert "gone@b.test" in raw.decode() or "ann@a.test" in raw.decode()
    assert blocks[1]["Status"] == "5.1.1"
    settled(a, b)
    assert len(report()) == 1
    a.run("account", "forward", "off", "ann@a.test")


def test_two_hops_back(world):
    """o → a → b → nowhere: the sender is rewritten twice (SRS1), and b's report finds its way through a to Olga."""
    a, b = world
    a.run("account", "forward", "ann@a.test", "away@b.test")
    b.run("alias", "add", "away@b.test", "x@dead.test")
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("far"))
    waiting = wait_until(lambda: [row for row in b.rows("queue", "list") if "x@dead.test" in str(row)], 20, "the message at b")
    b.run("clock", "advance", "6d")  # until b gives up

    def report():
        return [m for m in b.inbox("olga@o.test") if b"<far@o.test>" in m and b"delivery-status" in m
                and b"Action: failed" in m]
    raw, = wait_until(report, 30, "the report")
    check_dsn(raw)
    assert waiting
    told = [row["text"] for row in a.rows("trace", "olga@o.test")]
    assert any("SRS0=" in text for text in told), told
    b.run("alias", "remove", "away@b.test")
    a.run("account", "forward", "off", "ann@a.test")


@pytest.mark.sanitized
def test_forged_and_old(world):
    a, b = world
    a.run("account", "forward", "ann@a.test", "bea@b.test")
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("old"))
    back = sender_of(arrived(b, "bea@b.test", "old"))
    bad = [("", "SRS0=aaaaaaaa=aa=o.test=olga@a.test"), ("", back.replace("=olga@", "=other@")),
           ("", "SRS1=aaaaaaaa=b.test==x=y=o.test=olga@a.test"), ("spam@far.test", back)]
    with a.smtp() as s:
        s.ehlo()
        for sender, to in bad:
            s.mail(sender)
            code, text = s.rcpt(to)
            assert (code, text[:6]) == (550, b"5.7.1 "), (to, text)
            s.rset()
        s.mail("")
        assert s.rcpt(back.lower())[0] == 250  # some servers fold the case
    a.run("clock", "advance", "23d")
    with a.smtp() as s:
        s.ehlo()
        s.mail("")
        assert s.rcpt(back)[0] == 550
    a.run("account", "forward", "off", "ann@a.test")


def test_loop_between_houses(world):
    """ann@a forwards to bea@b, who forwards back: the message ends in Ann's mailbox after one round."""
    a, b = world
    a.run("account", "forward", "ann@a.test", "bea@b.test")
    b.run("account", "forward", "bea@b.test", "ANN@a.test")
    before = len(b.inbox("bea@b.test"))
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("round"))
    raw = arrived(a, "ann@a.test", "round")
    assert raw.count(b"Received:") <= 6
    settled(a, b)
    assert len([m for m in a.inbox("ann@a.test") if b"Subject: round\r" in m]) == 1
    assert len(b.inbox("bea@b.test")) == before
    # An alias without a mailbox in the circle: refused in the session, so that the other house tells the sender.
    a.run("alias", "add", "ring@a.test", "ring@b.test")
    b.run("alias", "add", "ring@b.test", "ring@a.test")
    b.submit("olga@o.test", "olga@o.test", "ring@a.test", message("ring", "ring@a.test"))

    def report():
        return [m for m in b.inbox("olga@o.test") if b"<ring@o.test>" in m and b"delivery-status" in m]
    raw, = wait_until(report, 20, "the report")
    settled(a, b)
    assert len(report()) == 1
    for house, account in ((a, "ann@a.test"), (b, "bea@b.test")):
        house.run("account", "forward", "off", account)


def test_group_bounces_to_its_owner(world):
    a, b = world
    a.run("group", "add", "list@a.test", "bea@b.test", "gone@b.test", "alf@a.test", "--owner", "ann@a.test")
    b.submit("olga@o.test", "olga@o.test", "list@a.test", message("to-all", "list@a.test"))
    assert sender_of(arrived(b, "bea@b.test", "to-all")) == "list-bounces@a.test"
    assert sender_of(arrived(a, "alf@a.test", "to-all")) == "list-bounces@a.test"

    def report():
        return [m for m in a.inbox("ann@a.test") if b"<to-all@o.test>" in m and b"delivery-status" in m]
    raw, = wait_until(report, 20, "the owner's report")
    check_dsn(raw)
    settled(a, b)
    assert not [m for m in b.inbox("olga@o.test") if b"<to-all@o.test>" in m and b"delivery-status" in m]


def test_archive_in_another_house(world):
    """The copy leaves without a sender, so that nobody hears of it; two archives that point at each other end after one copy each."""
    a, b = world
    a.run("domain", "bcc", "a.test", "bea@b.test", "--in")
    b.run("domain", "bcc", "b.test", "alf@a.test", "--in")
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("kept-away"))
    assert sender_of(arrived(b, "bea@b.test", "kept-away")) == ""
    assert sender_of(arrived(a, "ann@a.test", "kept-away")) == "olga@o.test"
    arrived(a, "alf@a.test", "kept-away")
    settled(a, b)
    found = [len([m for m in house.inbox(user) if b"Subject: kept-away\r" in m])
             for house, user in ((b, "bea@b.test"), (a, "ann@a.test"), (a, "alf@a.test"))]
    assert found == [1, 1, 1]
    a.run("domain", "bcc", "off", "a.test")
    b.run("domain", "bcc", "off", "b.test")


def test_large_message_round_and_back(world):
    """A message that travels as a file is known again when it comes back."""
    a, b = world
    a.run("account", "forward", "ann@a.test", "bea@b.test")
    b.run("account", "forward", "bea@b.test", "ann@a.test")
    b.submit("olga@o.test", "olga@o.test", "ann@a.test", message("large") + ("x" * 70 + "\r\n") * 6000)
    arrived(a, "ann@a.test", "large")
    settled(a, b)
    assert len([m for m in a.inbox("ann@a.test") if b"Subject: large\r" in m]) == 1
    for house, account in ((a, "ann@a.test"), (b, "bea@b.test")):
        house.run("account", "forward", "off", account)
