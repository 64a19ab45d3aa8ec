"""Two houses and a DNS server with local zones: MX, dead MX, null MX, missing names, retries on the test clock, bounces."""
import re
import socket
import threading

import pytest

from harness import nsd
from harness.house import SMTP, Served
from harness.net import free_port, wait_until
from scenario_helpers import check_dsn

pytestmark = [pytest.mark.sanitized, pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")]

A, B, DEAD, FLAKY = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"


class FlakyServer:
    """An SMTP server that says what it is told to: a table of command → reply line."""

    def __init__(self, address, port):
        self.replies = {}
        self.seen = []
        self.messages = []
        self.listener = socket.create_server((address, port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        f = s.makefile("rwb")

        def say(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
        try:
            say(self.replies.get("connect", "220 flaky.test ESMTP"))
            while True:
                line = f.readline()
                if not line:
                    return
                verb = line.split()[0].upper().decode() if line.split() else ""
                self.seen.append(line)
                if verb == "DATA" and "DATA" not in self.replies:
                    say("354 go on")
                    body = b""
                    while True:
                        row = f.readline()
                        if row == b".\r\n" or not row:
                            break
                        body += row
                    if self.replies.get("END", "250").startswith("2"):
                        self.messages.append(body)
                    say(self.replies.get("END", "250 2.0.0 taken"))
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    say(self.replies.get(verb, "250 ok"))
        except OSError:
            pass
        finally:
            s.close()

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def world():
    from harness import house as hh
    path = hh.scratch("two")
    port = free_port(A)
    zones = {
        "a.test": f"@ MX 10 mx\nmx A {A}",
        "b.test": f"@ MX 10 mx\nmx A {B}",
        "second.test": f"@ MX 10 dead\n@ MX 20 mx\ndead A {DEAD}\nmx A {B}",
        "noname.test": f"@ MX 10 gone\n@ MX 20 mx\nmx A {B}",
        "nomx.test": f"@ A {B}",
        "null.test": "@ MX 0 .",
        "missing.test": "",
        "flaky.test": f"@ MX 10 mx\nmx A {FLAKY}",
        "dead.test": f"@ MX 10 mx\nmx A {DEAD}",
        "loop.test": "@ MX 10 mx.a.test.",
    }
    with nsd.Nsd(path / "nsd", zones) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n"
        config += f"[send]\nport = {port}\n"
        a = Served(path / "a", "mx.a.test", A, {SMTP: port}, config)
        b = Served(path / "b", "mx.b.test", B, {SMTP: port}, config)
        flaky = FlakyServer(FLAKY, port)
        with a, b:
            a.domain("a.test", "ann")
            b.domain("b.test", "bea")
            for name in ("second.test", "noname.test", "nomx.test"):
                b.domain(name, "bea")
            yield a, b, flaky
        flaky.close()
    hh.remove(path)


def send(house, to, subject):
    house_user = "ann@a.test"
    with house.smtp(465) as s:
        from harness.house import PASSWORD
        s.login(house_user, PASSWORD)
        s.mail(house_user)
        for one in to if isinstance(to, list) else [to]:
            code, text = s.rcpt(one)
            assert code == 250, text
        code, text = s.data(f"From: {house_user}\r\nTo: x\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n")
        assert code == 250, text
        return re.search(rb"[0-9A-Z]{26}", text).group().decode()


def arrived(house, user, subject, seconds=30):
    def look():
        return [m for m in house.inbox(user) if f"Subject: {subject}".encode() in m]
    return wait_until(look, seconds, f"'{subject}' in the Inbox of {user}")[0]


def bounce_for(a, subject, seconds=30):
    """The DSN that returned the message with this subject, parsed by Python's email."""
    def look():
        for raw in a.inbox("ann@a.test"):
            if b"report-type=delivery-status" in raw and subject.encode() in raw:
                return raw
    raw = wait_until(look, seconds, f"a report on '{subject}'")
    return check_dsn(raw)


def test_by_mx(world):
    a, b, flaky = world
    ident = send(a, "bea@b.test", "by-mx")
    raw = arrived(b, "bea@b.test", "by-mx")
    assert raw.endswith(b"body of by-mx\r\n")
    assert b"TLS" in raw.split(b"\r\n\r\n")[0], "opportunistic STARTTLS was used"
    story = wait_until(lambda: (lambda t: t if "mx.b.test" in t else None)(a.run("trace", ident)))
    assert "bea@b.test" in story and B in story


@pytest.mark.parametrize("domain", ["second.test", "noname.test", "nomx.test"])
def test_next_mx_and_address_fallback(world, domain):
    a, b, flaky = world
    send(a, f"bea@{domain}", f"to-{domain}")
    arrived(b, f"bea@{domain}", f"to-{domain}")


@pytest.mark.parametrize("to,status,word", [
    ("x@null.test", "5.1.10", "null.test"),
    ("x@gone.missing.test", "5.1.2", "gone.missing.test"),
    ("nobody@b.test", "5.1.1", "nobody@b.test"),
    ("x@loop.test", "5.4.6", "loop.test"),
])
def test_permanent_failure_is_returned(world, to, status, word):
    a, b, flaky = world
    subject = "fails-" + to.split("@")[1] + "-" + to.split("@")[0]
    ident = send(a, to, subject)
    message, text, blocks = bounce_for(a, subject)
    assert blocks[1]["Status"] == status, str(blocks[1])
    assert blocks[1]["Action"] == "failed"
    assert word in text
    story = a.run("trace", ident)
    assert to in story and "return" in story.lower(), story
    assert not [r for r in a.rows("queue", "list") if ident in str(r)]


def test_some_of_many_fail(world):
    a, b, flaky = world
    send(a, ["bea@b.test", "nobody1@b.test", "nobody2@b.test"], "some-fail")
    arrived(b, "bea@b.test", "some-fail")
    message, text, blocks = bounce_for(a, "some-fail")
    assert {block["Final-Recipient"].split(";")[1].strip() for block in blocks[1:]} == {"nobody1@b.test", "nobody2@b.test"}


def test_retry_on_the_test_clock(world):
    a, b, flaky = world
    flaky.replies = {"RCPT": "451 4.7.1 come back later"}
    ident = send(a, "x@flaky.test", "retried")
    story = wait_until(lambda: (lambda t: t if "451" in t else None)(a.run("trace", ident)), what="the deferral in the trace")
    assert "come back later" in story
    shown = a.run("queue", "show", ident)
    assert "x@flaky.test" in shown and "come back later" in shown
    flaky.replies = {}
    a.run("clock", "advance", "1h")
    wait_until(lambda: [m for m in flaky.messages if b"Subject: retried" in m], 30, "the retry")
    wait_until(lambda: not [r for r in a.rows("queue", "list") if ident in str(r)])
    assert "flaky.test" in a.run("trace", ident)


def test_delay_warning_then_returned_after_five_days(world):
    a, b, flaky = world
    flaky.replies = {"MAIL": "421 4.3.2 not today"}
    ident = send(a, "x@flaky.test", "five-days")
    wait_until(lambda: "421" in a.run("trace", ident))
    a.run("clock", "advance", "5h")

    def reports():
        return [check_dsn(m) for m in a.inbox("ann@a.test") if b"five-days" in m and b"delivery-status" in m]
    first = wait_until(reports, 30, "the delay warning")
    assert first[0][2][1]["Action"] == "delayed"
    a.run("clock", "advance", "3d")
    wait_until(lambda: a.run("trace", ident))
    assert len(reports()) == 1
    a.run("clock", "advance", "3d")
    both = wait_until(lambda: (lambda r: r if len(r) == 2 else None)(reports()), 30, "the bounce")
    assert {r[2][1]["Action"] for r in both} == {"delayed", "failed"}
    assert not [r for r in a.rows("queue", "list") if ident in str(r)]


def test_null_sender_never_bounces(world):
    a, b, flaky = world
    flaky.replies = {"RCPT": "550 5.1.1 no"}
    before = len(a.inbox("ann@a.test"))
    a.run("alias", "add", "away@a.test", "x@flaky.test")
    with a.smtp() as s:
        s.ehlo("stranger.test")
        s.mail("")
        assert s.rcpt("away@a.test")[0] == 250
        code, text = s.data("Subject: null\r\n\r\nx\r\n")
        assert code == 250
    ident = re.search(rb"[0-9A-Z]{26}", text).group().decode()
    wait_until(lambda: not [r for r in a.rows("queue", "list") if ident in str(r)], 30)
    assert len(a.inbox("ann@a.test")) == before
    flaky.replies = {}


def test_operator_holds_and_releases(world):
    a, b, flaky = world
    # A connection of an earlier message may be kept: it ends, and a new one is not welcomed.
    flaky.replies = {"connect": "451 4.3.2 closed for now", "MAIL": "421 4.3.2 closing"}
    ident = send(a, "x@flaky.test", "held")
    wait_until(lambda: "451" in a.run("trace", ident))
    a.run("queue", "hold", ident)
    flaky.replies = {}
    a.run("clock", "advance", "2h")
    assert any("held" in str(r) or "hold" in str(r) for r in a.rows("queue", "list"))
    assert not [m for m in flaky.messages if b"Subject: held" in m]
    a.run("queue", "release", ident)
    wait_until(lambda: [m for m in flaky.messages if b"Subject: held" in m], 30)
    flaky.replies = {"RCPT": "450 4.2.1 later"}
    ident = send(a, "x@flaky.test", "removed")
    wait_until(lambda: "450" in a.run("trace", ident))
    a.run("queue", "remove", ident)
    assert not [r for r in a.rows("queue", "list") if ident in str(r)]
    assert "removed" in a.run("trace", ident).lower()
    flaky.replies = {}


@pytest.mark.parametrize("step,reply", [
    ("connect", "554 no service"), ("EHLO", "550 no"), ("MAIL", "553 5.1.8 bad sender"), ("RCPT", "550 5.2.2 full"),
    ("DATA", "554 5.7.1 no"), ("END", "554 5.6.0 do not like it"),
])
def test_each_step_refused_for_good(world, step, reply):
    a, b, flaky = world
    flaky.replies = {step: reply}
    if step == "EHLO":
        flaky.replies["HELO"] = reply
    if step in ("connect", "EHLO"):
        flaky.replies["MAIL"] = "421 4.3.2 closing"  # of a connection that is kept
    subject = f"refused-at-{step}"
    send(a, "x@flaky.test", subject)
    message, text, blocks = bounce_for(a, subject)
    assert blocks[1]["Diagnostic-Code"] and reply.split(" ", 1)[1] in blocks[1]["Diagnostic-Code"].replace("\n", "")
    flaky.replies = {}
