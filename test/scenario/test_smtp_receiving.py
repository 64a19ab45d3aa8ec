"""Receiving in full: extensions and parameters, BDAT, addresses outside ASCII, LMTP, proxies, and what clients may do."""
import base64
import re
import socket
import smtplib
import ssl
import subprocess
import time

import pytest

from harness import exim, postfix
from harness.house import IMAP, LMTP, PASSWORD, SMTP, SUBMISSIONS, Served, remove, scratch, tls_context
from harness.net import free_port, wait_until

PROXIED, PROXIED_IMAP, PROXIED_TLS, STRICT = "proxied", "proxied_imap", "proxied_tls", "strict"


@pytest.fixture(scope="module")
def house():
    path = scratch("receiving")
    ports = {name: free_port() for name in (PROXIED, PROXIED_IMAP, PROXIED_TLS, STRICT)}
    config = "".join(f"\n[listen {name}]\nservice = {service}\naddress = 127.0.0.1\nport = {ports[name]}\n{more}"
                     for name, service, more in (
                         (PROXIED, "smtp", "proxy_protocol = 127.0.0.1\nxclient = 127.0.0.0/8 192.0.2.9\n"),
                         (PROXIED_IMAP, "imap", "proxy_protocol = 127.0.0.1\n"),
                         (PROXIED_TLS, "imaps", "proxy_protocol = 127.0.0.1\n"),
                         (STRICT, "smtp", "allow = 127.0.0.1 ::1\nrequire_tls = yes\nmessage_bytes = 20000\n")))
    with Served(path / "house", "mx.in.test", config=config) as h:
        h.ports.update(ports)
        h.domain("in.test", "ann", "ben")
        h.domain("b\u00fccher.test", "j\u00fcrgen")
        yield h
    remove(path)


class Wire:
    """A client that sends what it likes."""

    def __init__(self, port, before=b"", greeting=True):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.f = self.s.makefile("rb")
        if before:
            self.s.sendall(before)
        if greeting:
            assert self.reply().startswith(b"220")

    def reply(self):
        """The last line of a reply; b"" at the end."""
        while True:
            try:
                line = self.f.readline()
            except ConnectionResetError:  # it hung up on what it had not read
                return b""
            if line[3:4] != b"-":
                return line

    def send(self, data):
        self.s.sendall(data)

    def ask(self, *lines):
        """One command a time; returns the last reply."""
        for line in lines:
            self.send(line + b"\r\n")
            last = self.reply()
        return last

    def begin(self, sender=b"<s@else.test>", *recipients):
        assert self.ask(b"EHLO c.test", b"MAIL FROM:" + sender).startswith(b"250")
        for r in recipients or (b"<ann@in.test>",):
            assert self.ask(b"RCPT TO:" + r).startswith(b"250")
        return self

    def close(self):
        self.f.close()
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.close()


def find(house, user, text):
    return next((m for m in house.inbox(user) if text in m), None)


def arrives(house, user, text):
    return wait_until(lambda: find(house, user, text))


def test_extensions(house):
    with house.smtp() as s:
        s.ehlo("c.test")
        assert {"smtputf8", "chunking", "binarymime", "dsn", "deliverby", "mt-priority", "limits", "starttls"} <= set(s.esmtp_features)
        assert not {"requiretls", "futurerelease", "auth", "xclient"} & set(s.esmtp_features)
        assert re.fullmatch(r"MAILMAX=\d+ RCPTMAX=\d+", s.esmtp_features["limits"])
        s.starttls(context=tls_context())
        s.ehlo("c.test")
        assert "requiretls" in s.esmtp_features
        assert s.docmd("MAIL FROM:<s@else.test> REQUIRETLS")[0] == 250
    with house.smtp(SUBMISSIONS) as s:
        s.ehlo("c.test")
        seconds, until = s.esmtp_features["futurerelease"].split()
        assert seconds == "2592000" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", until)
        s.login("ann@in.test", PASSWORD)
        for bad in ("HOLDFOR=2592001", "HOLDFOR=1 HOLDUNTIL=2026-12-01T00:00:00Z", "HOLDUNTIL=soon", "BY=1;X", "MT-PRIORITY=x",
                    "HOLDFOR=100 BY=10;R", "RET=FULL RET=FULL"):
            assert s.docmd(f"MAIL FROM:<ann@in.test> {bad}")[:1] == (501,), bad
        assert s.docmd("MAIL FROM:<ann@in.test> MT-PRIORITY=5 BY=60;RT RET=HDRS ENVID=Q+20Q REQUIRETLS")[0] == 250


@pytest.mark.sanitized
def test_chunks_of_any_bytes(house):
    """A large binary message in chunks that cut lines, pipelined; it is in the mailbox byte by byte."""
    head = b"Subject: binary chunks\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n" \
           b"Content-Transfer-Encoding: binary\r\n\r\n"
    message = head + bytes(range(256)) * 1500
    with Wire(house.ports[SMTP]) as w:
        w.begin(b"<s@else.test> BODY=BINARYMIME")
        assert w.ask(b"DATA").startswith(b"503")
        chunks = [message[i:i + 77777] for i in range(0, len(message), 77777)]
        w.send(b"".join(b"BDAT %d\r\n" % len(c) + c for c in chunks) + b"BDAT 0 LAST\r\n")
        for c in chunks:
            assert w.reply().startswith(b"250 2.0.0 OK, octets: %d" % len(c))
        assert w.reply().startswith(b"250 2.0.0 OK id=")
        # The session goes on.
        assert w.ask(b"MAIL FROM:<>").startswith(b"250")
    raw = arrives(house, "ann@in.test", b"binary chunks")
    assert raw.endswith(message)


@pytest.mark.sanitized
def test_chunks_that_lie(house):
    """What is announced counts: less stays open until the time is over, more are commands; nothing is taken twice or by mistake."""
    with Wire(house.ports[SMTP]) as w:
        # All recipients are refused, and the pipelined chunk holds commands.
        w.ask(b"EHLO c.test")
        evil = b"\r\nQUIT\r\nMAIL FROM:<evil@else.test>\r\n"
        w.send(b"MAIL FROM:<s@else.test>\r\nRCPT TO:<nobody@in.test>\r\nBDAT %d LAST\r\n" % len(evil) + evil + b"NOOP\r\n")
        assert [w.reply()[:3] for _ in range(4)] == [b"250", b"550", b"503", b"250"]
    with Wire(house.ports[SMTP]) as w:
        w.begin()
        w.send(b"BDAT 5 LAST\r\nSubject: too long for its number\r\n")
        assert w.reply().startswith(b"250 2.0.0 OK id=")
        assert w.reply().startswith(b"500")
    for size in (b"99999999999999999999", b"-5", b"5x LAST", b"0x10"):
        with Wire(house.ports[SMTP]) as w:
            w.begin()
            w.send(b"BDAT " + size + b"\r\nRSET\r\n")
            assert w.reply().startswith(b"501 5.5.4") and w.reply() == b""
    with Wire(house.ports[SMTP]) as w:
        w.begin()
        w.send(b"BDAT 999999999999999999\r\nSubject: never\r\n")
    assert find(house, "ann@in.test", b"never") is None


@pytest.mark.sanitized
def test_addresses_outside_ascii(house):
    """Both forms of a domain are one, and a local part in UTF-8 finds its mailbox; without SMTPUTF8 neither is taken."""
    user = "j\u00fcrgen@b\u00fccher.test".encode()
    with Wire(house.ports[SMTP]) as w:
        assert w.ask(b"EHLO c.test", b"MAIL FROM:<s@else.test>").startswith(b"250")
        assert w.ask(b"RCPT TO:<" + user + b">").startswith(b"553 5.6.7")
        assert w.ask(b"RSET", b"MAIL FROM:<" + user + b">").startswith(b"550 5.6.7")
        for recipient in (user, "J\u00dcRGEN@B\u00dcCHER.test".encode(), "j\u00fcrgen@xn--bcher-kva.test".encode()):
            assert w.ask(b"RSET", b"MAIL FROM:<" + "zo\u00eb@else.test".encode() + b"> SMTPUTF8").startswith(b"250")
            assert w.ask(b"RCPT TO:<" + recipient + b"> ORCPT=utf-8;" + recipient).startswith(b"250"), recipient
            assert w.ask(b"DATA", "From: Zo\u00eb <zo\u00eb@else.test>\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nx\r\n.".encode()).startswith(b"250")
        assert w.ask(b"MAIL FROM:<\xff@else.test> SMTPUTF8").startswith(b"550 5.6.7")
    # Signing in with a name outside ASCII is another matter: the mailbox is asked for by the trace.
    wait_until(lambda: house.run("trace", "zo\u00eb@else.test", check=False).count("delivered") >= 3)


def test_lmtp(house):
    """A reply for each recipient; addresses elsewhere are refused; what was accepted is delivered."""
    with Wire(house.ports[LMTP]) as w:
        assert w.ask(b"EHLO c.test").startswith(b"502")
        w.send(b"LHLO c.test\r\nMAIL FROM:<s@else.test>\r\n" +
               b"".join(b"RCPT TO:<%s>\r\n" % r for r in (b"ann@in.test", b"nobody@in.test", b"x@else.test", b"ben@in.test")) +
               b"DATA\r\n")
        assert [w.reply()[:3] for _ in range(7)] == [b"250", b"250", b"250", b"550", b"550", b"250", b"354"]
        w.send(b"Subject: by lmtp\r\n\r\nx\r\n.\r\nNOOP\r\n")
        first, second, after = w.reply(), w.reply(), w.reply()
        assert first == second and first.startswith(b"250 2.0.0 OK id=") and after.startswith(b"250 2.0.0 OK\r")
    assert b"with LMTP" in arrives(house, "ann@in.test", b"by lmtp")
    arrives(house, "ben@in.test", b"by lmtp")


@pytest.mark.skipif(not postfix.available(), reason="needs root and the unpacked Postfix (script/bootstrap test)")
def test_postfix_as_lmtp_client(house, folder):
    """Postfix's delivery agent `lmtp`, with DSN parameters and SMTPUTF8 on their way."""
    port = free_port()
    with postfix.Postfix(folder / "pf", port, "mx.pf.test", main_cf={
            "transport_maps": "inline:{ {in.test = lmtp:inet:127.0.0.1:%d} {b\u00fccher.test = lmtp:inet:127.0.0.1:%d} }"
                              % (house.ports[LMTP], house.ports[LMTP]),
            "smtputf8_enable": "yes", "lmtp_tls_security_level": "none"}) as peer:
        with smtplib.SMTP("127.0.0.1", port) as s:
            s.ehlo("c.test")
            s.sendmail("pat@pf.test", ["ann@in.test", "ben@in.test"], "From: pat@pf.test\r\nSubject: postfix lmtp\r\n\r\nx\r\n",
                       mail_options=["RET=HDRS", "ENVID=Q1"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
            s.sendmail("zo\u00eb@pf.test", ["j\u00fcrgen@b\u00fccher.test"],
                       "From: zo\u00eb@pf.test\r\nSubject: postfix utf8 \u00fc\r\n\r\nx\r\n".encode(), mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        raw = arrives(house, "ann@in.test", b"postfix lmtp")
        assert b"with LMTP" in raw
        arrives(house, "ben@in.test", b"postfix lmtp")
        wait_until(lambda: "delivered" in house.run("trace", "zo\u00eb@pf.test", check=False))
        assert "status=deferred" not in peer.log()


@pytest.mark.skipif(not exim.available(), reason="needs root and the unpacked Exim (script/bootstrap test)")
def test_exim_with_chunks(house, folder):
    """Exim sends with BDAT, DSN parameters and SMTPUTF8 where they are offered."""
    peer = exim.Exim(folder / "exim", house.ports[SMTP])
    lines = "".join(f"line {i}\n" for i in range(30000))
    peer.say(("EHLO c.test\nMAIL FROM:<ed@exim.test> RET=HDRS ENVID=E1\nRCPT TO:<ann@in.test> NOTIFY=SUCCESS,FAILURE\n"
              f"DATA\nFrom: ed@exim.test\nSubject: exim chunks\n\n..dot\n{lines}.\n"
              "MAIL FROM:<zo\u00eb@exim.test> SMTPUTF8\nRCPT TO:<j\u00fcrgen@b\u00fccher.test>\n"
              "DATA\nFrom: zo\u00eb@exim.test\nSubject: exim utf8 \u00fc\n\nx\n.\nQUIT\n").encode())
    raw = arrives(house, "ann@in.test", b"exim chunks")
    assert raw.endswith(("\r\n.dot\r\n" + lines.replace("\n", "\r\n")).encode())
    wait_until(lambda: "delivered" in house.run("trace", "zo\u00eb@exim.test", check=False))
    assert peer.log().count(" K C=") == 2, peer.log()  # K: with CHUNKING


def v2(client, command=0x21):
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x11]) + b"\0\x0c" + socket.inet_aton(client) + socket.inet_aton("192.0.2.2") + b"\x30\x39\0\x19"


@pytest.mark.sanitized
def test_proxy_protocol(house):
    """The client is whom the balancer tells of: in Received, in the log, in the trace; without a header the connection ends."""
    for before, client in ((b"PROXY TCP4 203.0.113.7 192.0.2.2 1000 25\r\n", b"[203.0.113.7]"),
                           (b"PROXY TCP6 2001:db8::7 2001:db8::2 1000 25\r\n", b"[IPv6:2001:db8::7]"),
                           (v2("203.0.113.8"), b"[203.0.113.8]"), (v2("0.0.0.0", 0x20), b"[127.0.0.1]"),
                           (b"PROXY UNKNOWN\r\n", b"[127.0.0.1]")):
        with Wire(house.ports[PROXIED], before) as w:
            w.begin()
            assert w.ask(b"DATA", b"Subject: through " + client + b"\r\n\r\nx\r\n.").startswith(b"250")
        raw = arrives(house, "ann@in.test", b"through " + client)
        assert b"(" + client + b")" in raw
    assert "client=203.0.113.7" in house.log()
    for before in (b"EHLO c.test\r\n", b"PROXY TCP4 nonsense\r\n", v2("1.2.3.4", 0x2f), b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n"):
        with Wire(house.ports[PROXIED], before, greeting=False) as w:
            assert w.reply() == b""
    assert "proxy_header_bad" in house.log()
    # Elsewhere it is an unknown word, and speaking early besides.
    with Wire(house.ports[SMTP]) as w:
        assert w.ask(b"PROXY TCP4 203.0.113.7 192.0.2.2 1000 25").startswith(b"500")


def test_proxy_protocol_before_users(house):
    with Wire(house.ports[PROXIED_IMAP], b"PROXY TCP4 203.0.113.9 192.0.2.2 1000 143\r\n", greeting=False) as w:
        assert w.f.readline().startswith(b"* OK")
    # Under TLS from the first byte, with the header and the handshake in one packet.
    s = socket.create_connection(("127.0.0.1", house.ports[PROXIED_TLS]), timeout=60)
    s.sendall(v2("203.0.113.10"))
    with tls_context().wrap_socket(s) as t:
        f = t.makefile("rb")
        assert f.readline().startswith(b"* OK")
        t.sendall(b"a LOGIN ann@in.test wrong\r\n")
        assert f.readline().startswith(b"a NO")
    assert "client=203.0.113.10" in house.log()


@pytest.mark.sanitized
def test_xclient(house):
    with Wire(house.ports[PROXIED], b"PROXY UNKNOWN\r\n") as w:
        w.send(b"EHLO proxy.test\r\n")
        assert any([b"XCLIENT NAME ADDR" in line for line in iter(w.f.readline, b"250 ENHANCEDSTATUSCODES\r\n")])
        for bad in (b"ADDR=nonsense", b"ADDR=192.0.2.1 ADDR=192.0.2.2", b"HELO=a+0D+0Ab", b"X=y", b"PORT=70000", b"ADDR"):
            assert w.ask(b"XCLIENT " + bad).startswith(b"501 5.5.4"), bad
        assert w.ask(b"XCLIENT ADDR=203.0.113.20 PORT=99 NAME=[UNAVAILABLE] HELO=real.test PROTO=ESMTP").startswith(b"220 mx.in.test")
        w.begin()
        assert w.ask(b"XCLIENT ADDR=203.0.113.21").startswith(b"503")
        assert w.ask(b"DATA", b"Subject: told by xclient\r\n\r\nx\r\n.").startswith(b"250")
        assert w.ask(b"XCLIENT ADDR=IPV6:2001:db8::20").startswith(b"220")
        assert w.ask(b"MAIL FROM:<s@else.test>").startswith(b"503")
    assert b"([203.0.113.20])" in arrives(house, "ann@in.test", b"told by xclient")
    with Wire(house.ports[SMTP]) as w:
        assert w.ask(b"XCLIENT ADDR=203.0.113.20").startswith(b"502")
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{house.ports[SMTP]}", "--xclient-addr", "203.0.113.21", "--to", "ann@in.test",
                           "--from", "s@else.test", "--helo", "c.test"], capture_output=True, text=True, timeout=60)
    assert "XCLIENT" in done.stdout + done.stderr and done.returncode != 0


def test_policy_of_a_listener(house):
    with house.smtp() as s:
        assert s.ehlo("c.test")[0] == 250 and s.esmtp_features["size"] == "52428800"
    with smtplib.SMTP("127.0.0.1", house.ports[STRICT]) as s:
        s.ehlo("c.test")
        assert s.esmtp_features["size"] == "20000"
        assert s.docmd("MAIL FROM:<s@else.test>") == (530, b"5.7.0 Say STARTTLS first")
        s.starttls(context=tls_context())
        with pytest.raises(smtplib.SMTPSenderRefused) as e:
            s.sendmail("s@else.test", ["ann@in.test"], "Subject: big\r\n\r\n" + "x" * 30000)
        assert e.value.smtp_code == 552


def test_a_hundred_megabytes_and_ten_thousand_recipients(house):
    with Wire(house.ports[SMTP]) as w:
        w.begin()
        assert w.ask(b"DATA").startswith(b"354")
        line = b"x" * 998 + b"\r\n"
        for _ in range(100):
            w.send(line * 1000)
        w.send(b".\r\n")
        assert w.reply().startswith(b"552 5.3.4")
        # Pipelined; the first thousand are in, the others are told to come again.
        w.send(b"MAIL FROM:<s@else.test>\r\n" + b"".join(b"RCPT TO:<ann+%d@in.test>\r\n" % i for i in range(10000)) +
               b"DATA\r\n")
        codes = [w.reply()[:9] for _ in range(10002)]
        assert codes[0] == b"250 2.1.0" and codes[1:1001] == [b"250 2.1.5"] * 1000
        assert codes[1001:10001] == [b"452 4.5.3"] * 9000 and codes[10001].startswith(b"354")
        assert w.ask(b"Subject: to many\r\n\r\nx\r\n.").startswith(b"250")
    arrives(house, "ann@in.test", b"to many")


LIMITS = """
[limits]
smtp_greeting_delay_ms = 150
smtp_errors_free = 2
smtp_tarpit_ms = 60
smtp_connections_per_minute = 40
smtp_messages_per_minute = 3
smtp_recipients_per_minute = 8
smtp_errors_per_minute = 12
smtp_sessions_per_address = 5
smtp_idle_commands = 6
smtp_command_timeout_ms = 900
smtp_data_timeout_ms = 600
smtp_data_rate = 10000
smtp_idle_timeout_ms = 2500
"""


@pytest.mark.sanitized
def test_what_clients_may_do(folder):
    ports = {name: free_port() for name in ("balanced", "free")}
    config = LIMITS + "".join(f"\n[listen {n}]\nservice = smtp\naddress = 127.0.0.1\nport = {p}\n{more}" for (n, p), more in
                              zip(ports.items(), ("proxy_protocol = 127.0.0.1\n", "trusted = 127.0.0.0/8\n")))
    with Served(folder / "house", "mx.in.test", config=config) as h:
        h.domain("in.test", "ann")

        def client(n, **kw):
            return Wire(ports["balanced"], b"PROXY TCP4 %s 192.0.2.2 1000 25\r\n" % n, **kw)

        # Early talkers, and only they.
        began = time.monotonic()
        with client(b"198.51.100.1"):
            assert time.monotonic() - began >= 0.15
        with Wire(ports["balanced"], b"PROXY TCP4 198.51.100.2 192.0.2.2 1000 25\r\nEHLO c.test\r\n", greeting=False) as w:
            assert w.reply().startswith(b"554 5.5.1") and w.reply() == b""
        with Wire(ports["free"], b"EHLO c.test\r\n") as w:
            assert w.reply().startswith(b"250")
        # Errors: the first come at once, later ones later; then none; then the address is sent away for a while.
        with client(b"198.51.100.3") as w:
            began = time.monotonic()
            replies = [w.ask(b"XYZZY")[:3] for _ in range(5)]
            assert replies == [b"500"] * 5 and time.monotonic() - began >= 0.06 * (1 + 2 + 3)
        with client(b"198.51.100.3") as w:
            assert [w.ask(b"XYZZY")[:3] for _ in range(8)][-1] == b"500" and w.reply().startswith(b"421")
        with client(b"198.51.100.3", greeting=False) as w:
            assert w.reply().startswith(b"421 4.7.0")
        # Sessions at a time.
        many = [client(b"198.51.100.4") for _ in range(5)]
        with client(b"198.51.100.4", greeting=False) as w:
            assert w.reply().startswith(b"421 4.7.0")
        for w in many:
            w.close()
        # Messages and recipients in a minute; an IPv6 client is its /64.
        def v6(n):
            return Wire(ports["balanced"], b"PROXY TCP6 2001:db8::%d 2001:db8::ff 1000 25\r\n" % n)
        with v6(1) as w:
            assert w.ask(b"EHLO c.test", b"MAIL FROM:<>", b"RSET", b"MAIL FROM:<>", b"RSET", b"MAIL FROM:<>").startswith(b"250")
        with v6(2) as w:
            assert w.ask(b"EHLO c.test", b"MAIL FROM:<>").startswith(b"450 4.7.1")
        with client(b"198.51.100.5") as w:
            w.ask(b"EHLO c.test", b"MAIL FROM:<>")
            assert [w.ask(b"RCPT TO:<ann@in.test>")[:3] for _ in range(9)] == [b"250"] * 8 + [b"450"]
        # Nothing of it for those who are trusted.
        with Wire(ports["free"]) as w:
            w.ask(b"EHLO c.test")
            began = time.monotonic()
            for _ in range(5):
                assert w.ask(b"MAIL FROM:<>", b"RSET").startswith(b"250")
            assert w.ask(b"NOOP").startswith(b"421 4.7.0"), "commands that bring no mail are few for everybody"
        # Slow and idle ones: a command, a message, NOOP for ever.
        with client(b"198.51.100.6") as w:
            w.send(b"EHL")
            assert w.reply().startswith(b"421 4.4.2") and w.reply() == b""
        with client(b"198.51.100.7") as w:
            w.begin(b"<>")
            w.ask(b"DATA")
            began = time.monotonic()
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                for _ in range(100):
                    w.send(b"slow\r\n")
                    time.sleep(0.05)
            assert time.monotonic() - began < 3
        with client(b"198.51.100.8") as w:
            began = time.monotonic()
            while w.ask(b"NOOP").startswith(b"250"):
                time.sleep(0.7)
            assert 1.5 < time.monotonic() - began < 10
        assert "early_talker" in h.log()
