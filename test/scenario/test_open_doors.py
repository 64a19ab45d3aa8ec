"""What must never work: relaying for strangers, signing in without TLS, smuggling a second message."""
import base64
import contextlib
import socket

import pytest

from harness.house import IMAP, IMAPS, LMTP, POP3, SMTP, SUBMISSION, Served, tls_context, PASSWORD
from harness.net import wait_until

pytestmark = pytest.mark.sanitized

# Recipients by which others were talked into relaying, each with the reply class that we owe.
RELAY_TRICKS = [
    "victim@elsewhere.test",
    "victim@ELSEWHERE.test",
    "victim@elsewhere.test.",
    "victim%elsewhere.test@example.test",
    "victim%elsewhere.test",
    "victim%elsewhere.test@",
    "elsewhere.test!victim",
    "elsewhere.test!victim@example.test",
    "example.test!elsewhere.test!victim",
    '"victim@elsewhere.test"',
    '"victim@elsewhere.test"@example.test',
    '"victim%elsewhere.test"@example.test',
    "@example.test:victim@elsewhere.test",
    "@elsewhere.test:victim@elsewhere.test",
    "@example.test,@elsewhere.test:victim@elsewhere.test",
    "victim@[127.0.0.1]",
    "victim@[192.0.2.1]",
    "victim@[IPv6:::1]",
    "victim@127.0.0.1",
    "victim@localhost",
    "victim@example.test@elsewhere.test",
    "victim@elsewhere.test@example.test",
    "victim(@example.test)@elsewhere.test",
    "victim@elsewhere.test(@example.test)",
    "victim@sub.example.test",
    "victim@example.test.elsewhere.test",
    "victim@xexample.test",
    "alice@example.test%elsewhere.test",
    "alice@example.test\x00@elsewhere.test",
    "victim@elsewhere.test ORCPT=rfc822;alice@example.test",
    "postmaster@elsewhere.test",
    "victim@",
    "@elsewhere.test",
    "victim@elsewhere.test\tx",
    "alice@example.test,victim@elsewhere.test",
    "<alice@example.test",
    "victim@elsewhere.test>,<alice@example.test",
]


class Wire:
    """A raw connection: bytes out, reply lines in."""

    def __init__(self, house, service=SMTP):
        self.s = socket.create_connection((house.address, house.port(service)), timeout=20)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile("rb")

    def reply(self):
        lines = []
        while True:
            line = self.f.readline()
            if not line:
                raise EOFError(lines)
            lines.append(line)
            if line[3:4] != b"-":
                return int(line[:3]), b"".join(lines)

    def say(self, data):
        self.s.sendall(data)
        return self.reply()

    def close(self):
        self.f.close()
        self.s.close()


@pytest.mark.parametrize("sender", ["stranger@elsewhere.test", "", "alice@example.test"])
def test_not_a_relay(shared_demo, sender):
    w = Wire(shared_demo)
    w.reply()
    assert w.say(b"EHLO stranger.test\r\n")[0] == 250
    for trick in RELAY_TRICKS:
        assert w.say(b"MAIL FROM:<%s>\r\n" % sender.encode())[0] == 250
        try:
            code, text = w.say(b"RCPT TO:<" + trick.encode("latin-1") + b">\r\n")
        except EOFError:
            code, text = 421, b"closed"
        assert 400 <= code < 600, (trick, text)
        # Too many errors end the session, as they should; go on in a new one.
        if code == 421 or trick == RELAY_TRICKS[-1]:
            w.close()
            w = Wire(shared_demo)
            w.reply()
            w.say(b"EHLO stranger.test\r\n")
            continue
        code, text = w.say(b"RSET\r\n") if code != 421 else (250, b"")
        if code == 421:
            w.close()
            w = Wire(shared_demo)
            w.reply()
            w.say(b"EHLO stranger.test\r\n")
    w.close()
    assert shared_demo.rows("queue", "list") == []


LISTED = "[submitter printers]\nnetworks = 127.0.0.8\nsenders = printer@example.test\n"


def test_a_listed_device_relays_for_its_senders_only(folder):
    """Neither its address nor its sender's name alone opens the door, nor does any spelling that only looks like it."""
    with Served(folder / "s", "mail.example.test", config=LISTED) as house:
        house.domain("example.test", "alice")
        for source, senders in (("127.0.0.1", ["printer@example.test"]),
                                ("127.0.0.8", ["stranger@elsewhere.test", "", "alice@example.test", "printer@example.test.elsewhere.test", "printer%example.test@elsewhere.test",
                                               '"printer@example.test"@elsewhere.test', "xprinter@example.test", "printer@sub.example.test", "printer@[127.0.0.8]"])):
            for sender in senders:
                s = socket.create_connection((house.address, house.port(SMTP)), timeout=20, source_address=(source, 0))
                f = s.makefile("rb")
                for line in (b"", b"HELO d.test\r\n", b"MAIL FROM:<%s>\r\n" % sender.encode(), b"RCPT TO:<victim@elsewhere.test>\r\n"):
                    s.sendall(line)
                    reply = f.readline()
                assert reply[:1] == b"5", (source, sender, reply)
                s.close()
        # Who may submit without a password does not get at what needs one.
        s = socket.create_connection((house.address, house.port(SUBMISSION)), timeout=20, source_address=("127.0.0.8", 0))
        f = s.makefile("rb")
        for line, code in ((b"", b"220"), (b"HELO d.test\r\n", b"250"), (b"RCPT TO:<victim@elsewhere.test>\r\n", b"530"), (b"MAIL FROM:<alice@example.test>\r\n", b"550"),
                           (b"RCPT TO:<victim@elsewhere.test>\r\n", b"503"), (b"AUTH PLAIN\r\n", b"503"), (b"MAIL FROM:<printer@example.test>\r\n", b"250"),
                           (b"RCPT TO:<someone@elsewhere.test>\r\n", b"250"), (b"RSET\r\n", b"250"), (b"MAIL FROM:<x@elsewhere.test>\r\n", b"550")):
            s.sendall(line)
            reply = f.readline()
            assert reply.startswith(code), (line, reply)
        s.close()
        assert house.rows("queue", "list") == []


# The same in other scripts: dots, letters and signs that look like ours, or are ours once they are folded.
WIDE_TRICKS = [
    "victim@elsewhere\u3002test",
    "victim@elsewhere\uff0etest",
    "victim@\uff45lsewhere.test",
    "victim%elsewhere.test@b\xfccher.test",
    "victim\uff20elsewhere.test@example.test",
    "alice\uff20example.test@elsewhere.test",
    "alice@example.test\u3002elsewhere.test",
    "victim@b\xfccher.test.elsewhere.test",
    "victim@b\xfccher.test@elsewhere.test",
    "victim@xn--bcher-kva.test.elsewhere.test",
    "victim@xn--elsewhere-.test",
    "victim@else\u200bwhere.test",
    "victim@\u202eelsewhere.test",
    "victim@b\xfccher.test\u3002",
    "victim@ex\u0430mple.test",
    "SRS0=aaaaaaaa=aa=elsewhere.test=victim@example.test",
    "SRS1=aaaaaaaa=elsewhere.test==aaaaaaaa=aa=third.test=victim@b\xfccher.test",
    "victim@elsewhere.test@\uff45xample.test",
]


def test_no_relay_by_other_scripts_nor_by_other_doors(folder):
    """Neither with a catch-all, which takes any local part, nor by LMTP, nor in the name of a proxy that is not listed."""
    with Served(folder / "s", "mail.example.test") as house:
        house.domain("example.test", "alice")
        house.domain("b\xfccher.test", "dora")
        for catch_all in (False, True):
            for service, hello in ((SMTP, b"EHLO x.test\r\n"), (LMTP, b"LHLO x.test\r\n")):
                tricks = [t.encode() for t in WIDE_TRICKS]
                if service == LMTP:
                    tricks += [t.encode("latin-1") for t in RELAY_TRICKS]
                for i, trick in enumerate(tricks):
                    if i % 3 == 0:  # who errs often is made to wait
                        w = Wire(house, service)
                        w.reply()
                        w.say(hello)
                    try:
                        assert w.say(b"MAIL FROM:<%s> SMTPUTF8\r\n" % (b"" if i % 2 else b"stranger@elsewhere.test"))[0] == 250
                        code, text = w.say(b"RCPT TO:<" + trick + b">\r\n")
                        w.say(b"RSET\r\n")
                    except EOFError:
                        code, text = 421, b"closed"
                    # A catch-all takes what is before our @, and it stays here.
                    domain = trick.decode("utf-8", "replace").rpartition("@")[2]
                    ours = catch_all and domain in ("example.test", "\uff45xample.test") and not trick.startswith(b"SRS")
                    assert 400 <= code < 600 or ours, (trick, text)
                    if i % 3 == 2 or i + 1 == len(tricks):
                        w.close()
            if not catch_all:
                house.run("alias", "add", "@example.test", "alice@example.test")
        for line in (b"XCLIENT ADDR=127.0.0.1 LOGIN=alice@example.test\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n"):
            w = Wire(house)
            w.reply()
            w.say(b"EHLO x.test\r\n")
            assert w.say(line)[0] in (500, 502, 503, 550)
            w.close()
        assert house.rows("queue", "list") == []


def test_nobody_is_somebody_else(shared_demo):
    """No spelling of another's address in the envelope, and none in the fields that people read."""
    def alice():
        s = shared_demo.smtp(SUBMISSION)
        s.starttls(context=tls_context())
        s.login("alice", PASSWORD)
        return s
    with contextlib.ExitStack() as stack:
        s = None
        for n, sender in enumerate(('"bob"@example.test', "BOB@EXAMPLE.TEST", "bob@example.test.", "\uff42ob@example.test", "bob@\uff45xample.test", "bob@example\u3002test",
                       "bob+x@example.test", "alice@example.test@elsewhere.test", "bob%example.test@example.test", "postmaster@example.test", "bob@example.test@example.test")):
            if n % 3 == 0:
                s = stack.enter_context(alice())
            s.ehlo()
            s.putcmd(f"MAIL FROM:<{sender}> SMTPUTF8") if sender.isascii() else s.send(f"MAIL FROM:<{sender}> SMTPUTF8\r\n".encode())
            code, text = s.getreply()
            assert code >= 500, (sender, text)
            s.rset()
        for n, header in enumerate(("From: alice@example.test\r\nFrom: bob@example.test", "From: alice@example.test, bob@example.test\r\nSender: alice@example.test",
                       "From: alice@example.test\r\nSender: bob@example.test", "From : bob@example.test", "fROM:\r\n bob@example.test",
                       "From: bob@example.test (alice@example.test)", "From: alice@example.test\r\nResent-From: bob@example.test",
                       "From: <@alice.test:bob@example.test>", "From: us:bob@example.test;", "From: \"alice@example.test\" <bob@example.test>",
                       "From: bob@[127.0.0.1]", "From: BOB@\uff45xample.test", "From: alice@example.test\x00, bob@example.test",
                       "X-First: 1\r\nFrom: =?utf-8?q?alice=40example.test?= <bob@example.test>", "From: alice@example.test <bob@example.test>")):
            if n % 3 == 0:
                s = stack.enter_context(alice())
            s.mail("alice@example.test")
            s.rcpt("bob@example.test")
            code, text = s.data((header + "\r\nSubject: forged\r\n\r\nx\r\n").encode())
            assert code >= 500, (header, text)


def test_no_submission_without_sign_in(shared_demo):
    w = Wire(shared_demo, SUBMISSION)
    w.reply()
    w.say(b"EHLO c.test\r\n")
    code, text = w.say(b"MAIL FROM:<alice@example.test>\r\n")
    assert code == 530 and b"5.7.0" in text
    w.close()


def test_submission_only_as_oneself(shared_demo):
    with shared_demo.smtp(SUBMISSION) as s:
        s.starttls(context=tls_context())
        s.login("alice", PASSWORD)
        assert s.mail("bob@example.test")[0] == 550
        assert s.mail("alice@elsewhere.test")[0] == 550
        assert s.mail("alice+tag@example.test")[0] == 250
        s.rcpt("bob@example.test")
        code, text = s.data("From: bob@example.test\r\nSubject: forged\r\n\r\nx\r\n")
        assert code == 550, text


def test_no_cleartext_sign_in_where_it_is_not_loopback_only(folder):
    """The demo allows it, a served house does not."""
    with Served(folder / "s", "mail.a.test") as house:
        house.domain("a.test", "ann")
        w = Wire(house, SUBMISSION)
        w.reply()
        code, text = w.say(b"EHLO c.test\r\n")
        assert b"AUTH" not in text and b"STARTTLS" in text
        plain = base64.b64encode(b"\0ann@a.test\0" + PASSWORD.encode())
        code, text = w.say(b"AUTH PLAIN " + plain + b"\r\n")
        assert code == 538 or (code == 530 and b"5.7" in text), text
        w.close()
        w = Wire(house, IMAP)
        assert b"LOGINDISABLED" in w.f.readline()
        w.s.sendall(b"a LOGIN ann@a.test " + PASSWORD.encode() + b"\r\n")
        line = w.f.readline()
        assert line.startswith(b"a NO"), line
        w.s.sendall(b"b AUTHENTICATE PLAIN " + plain + b"\r\n")
        line = w.f.readline()
        assert line.startswith(b"b NO"), line
        w.close()
        w = Wire(house, POP3)
        w.f.readline()
        w.s.sendall(b"USER ann@a.test\r\nPASS " + PASSWORD.encode() + b"\r\n")
        assert w.f.readline().startswith(b"-ERR")
        assert w.f.readline().startswith(b"-ERR")
        w.close()
        with house.imap("ann@a.test") as box:
            assert box.select()[0] == "OK"


SMUGGLE = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\n\n.\n", b"\r\n.\r\r\n", b"\r\n\x00.\r\n"]


def splits(data, at):
    """The data in one piece, and cut into two at each place around the trick, and byte by byte there."""
    yield [data]
    begin, end = at
    for i in range(begin, end + 1):
        yield [data[:i], data[i:]]
    yield [data[:begin]] + [data[i:i + 1] for i in range(begin, end)] + [data[end:]]


@pytest.mark.parametrize("trick", SMUGGLE, ids=[repr(t) for t in SMUGGLE])
def test_no_smuggling(shared_demo, trick):
    before = len(shared_demo.inbox("bob"))
    smuggled = b"MAIL FROM:<evil@elsewhere.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled"
    first = b"Subject: carrier\r\n\r\ncarrier"
    data = first + trick + smuggled + b"\r\n.\r\n"
    for pieces in splits(data, (len(first), len(first) + len(trick))):
        w = Wire(shared_demo)
        w.reply()
        w.say(b"EHLO stranger.test\r\n")
        w.say(b"MAIL FROM:<s@elsewhere.test>\r\n")
        w.say(b"RCPT TO:<alice@example.test>\r\n")
        assert w.say(b"DATA\r\n")[0] == 354
        for piece in pieces:
            w.s.sendall(piece)
        code, text = w.reply()
        if b"\x00" in trick:
            assert code == 250, text
        else:
            assert code == 550 and b"5.6.11" in text, text
        # One reply for one message: the next command is answered next.
        code, text = w.say(b"NOOP\r\n")
        assert code == 250, text
        w.close()
    assert len(shared_demo.inbox("bob")) == before


def test_bare_line_ends_in_commands(shared_demo):
    for line in (b"NOOP\n", b"NOOP\rNOOP\r\n", b"EHLO a\nMAIL FROM:<a@b>\r\n"):
        w = Wire(shared_demo)
        w.reply()
        w.s.sendall(line + b"NOOP\r\n")
        code, text = w.reply()
        assert code == 500, text
        w.close()


def test_starttls_injection(shared_demo):
    """What is sent in the clear behind STARTTLS is not taken as a command under TLS (CVE-2011-0411)."""
    w = Wire(shared_demo)
    w.reply()
    w.say(b"EHLO stranger.test\r\n")
    w.s.sendall(b"STARTTLS\r\nMAIL FROM:<injected@elsewhere.test>\r\n")
    answer = w.f.read()
    assert b"250 2.1.0" not in answer
    w.close()
    w = Wire(shared_demo, IMAP)
    w.f.readline()
    w.s.sendall(b"a STARTTLS\r\nb NOOP\r\n")
    assert b"b OK" not in w.f.read()
    w.close()
