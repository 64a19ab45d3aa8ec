"""Debian's Postfix, Exim and OpenSMTPD as the other server, in both directions: each extension that both sides have is seen on the wire, what
arrives is compared byte by byte, and the reports of either side are read. NAME.test is talked to in the clear, through a tap; tls.NAME.test with TLS."""
import email
import email.policy
import pathlib
import re
import smtplib
import socket

import pytest

from harness import exim, house as hh, nsd, opensmtpd, postfix
from harness.certificates import Authority
from harness.house import LMTP, PASSWORD, SMTP, SUBMISSIONS, Served
from harness.net import free_port, wait_until
from harness.sink import Sink
from harness.tap import Tap

PEERS = {"pf": postfix, "ex": exim, "osm": opensmtpd}
ALL = [pytest.param(name, marks=pytest.mark.skipif(not module.available(), reason="needs root and the unpacked peer (script/bootstrap test)"))
       for name, module in PEERS.items()]
HAL = "hal@house.test"
# What each offers as a server, and what it makes use of as a client where it is offered.
OFFERS = {"pf": {"PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "DSN", "SMTPUTF8", "STARTTLS", "ENHANCEDSTATUSCODES"},
          "ex": {"PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "DSN", "SMTPUTF8", "STARTTLS"},
          "osm": {"SIZE", "8BITMIME", "DSN", "STARTTLS", "ENHANCEDSTATUSCODES"}}
USES = {"pf": {"PIPELINING", "SIZE", "8BITMIME"}, "ex": {"PIPELINING", "SIZE", "CHUNKING"}, "osm": set()}

# Lines of 998 octets, dots, spaces at ends, eight bits that are no UTF-8; the last line is empty.
TEXT = b"\r\n".join([b".", b"..", b".dot", b"", b"x" * 998, b"." * 998, b"gr\xc3\xbc\xc3\x9fe \xff\xfe\x80", b"trailing \t ", b"From here", b"\tx", b"", b""])
LONG = b"y" * 5000 + b"\r\n"  # against RFC 5321, and there all the same; OpenSMTPD takes none
HUGE = b"".join(b"%06d %s\r\n" % (i, b"0123456789abcdef" * 4) for i in range(138000))  # 10 MB


def message(subject, text=TEXT, sender=HAL, head=b""):
    return (f"From: {sender}\r\nTo: you@there.test\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{subject}@x.test>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n").encode() + head + b"\r\n" + text


class Peer:
    """A running peer: its port, its tap, and the one mailbox it has, pat's."""

    def __init__(self, name, mail):
        self.name, self.domain, self.port, self.tap, self.mail = name, f"{name}.test", free_port(), Tap(), mail
        self.pat, self.tap.target, self.back = f"pat@{name}.test", self.port, Tap()

    def mailbox(self):
        new = pathlib.Path(self.mail) / "new"
        return [p.read_bytes().replace(b"\r\n", b"\n") for p in sorted(new.iterdir())] if new.exists() else []

    def send(self, data, to, sender=None, mail=(), rcpt=(), utf8=False):
        """Gives it a message for somebody, as a program of its own machine."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as s:
            say(s, data, to, self.pat if sender is None else sender, mail, rcpt, utf8)


def say(s, data, to, sender, mail=(), rcpt=(), utf8=False):
    s.ehlo("c.test")
    s.command_encoding = "utf-8" if utf8 else "ascii"
    code, text = s.mail(sender, [*mail, *(["SMTPUTF8"] if utf8 else [])])
    assert code == 250, text
    code, text = s.rcpt(to, list(rcpt))
    assert code in (250, 251), text
    code, text = s.data(data)
    assert code == 250, text
    return text


@pytest.fixture(scope="module")
def world():
    path = hh.scratch("peers")
    certificate = Authority(path / "certificates").leaf("localhost", "mx.pf.test", "mx.ex.test", "mx.osm.test")
    certificate.key_pem.chmod(0o644)
    peers, running = {}, []
    for name, module in PEERS.items():
        if module.available():
            peers[name] = Peer(name, path / name / "mail" / ("pat" if name == "pf" else ""))
    config = "[dns]\nresolv_conf =\nforwarders = 127.0.0.1@1\n[listen xclient]\nservice = smtp\naddress = 127.0.0.1\nxclient = 127.0.0.0/8\ncheck_senders = no\n"
    xclient, plain = free_port(), Sink(NARROW, free_port(NARROW), {"RCPT:no": "550 5.1.1 no such user"})
    config += f"port = {xclient}\n[route plain.test]\nhost = {NARROW}\nport = {plain.port}\n"
    for p in peers.values():
        config += f"[route {p.domain}]\nhost = 127.0.0.1\nport = {p.tap.port}\ntls = none\n"
        config += f"[route tls.{p.domain}]\nhost = 127.0.0.1\nport = {p.port}\n"
    house = Served(path / "house", "mx.house.test", "127.0.0.1", {}, config)
    house.ports["xclient"] = xclient
    for p in peers.values():
        p.back.target = house.ports[SMTP]
        start = {"pf": start_postfix, "ex": start_exim, "osm": start_opensmtpd}[p.name]
        running.append(start(path / p.name, p, house, certificate))
    with house:
        house.run("domain", "add", "away.test", "--later")
        house.run("alias", "add", "on@away.test", "yes@plain.test")
        house.run("alias", "add", "off@away.test", "no@plain.test")
        house.domain("house.test", "hal", "big", "uma")
        house.run("alias", "add", "j\u00fcrgen@house.test", "uma@house.test")
        for name in ("tls.test", "lm.test"):
            house.domain(name, "hal")
        yield house, peers
    for r in running:
        r.stop()
    plain.close()
    hh.remove(path)


def start_postfix(folder, p, house, certificate):
    peer = postfix.Postfix(folder, p.port, "mx.pf.test", main_cf={
        "virtual_mailbox_domains": "pf.test tls.pf.test",
        "virtual_mailbox_maps": "inline:{ {pat@pf.test = pat/} {pat@tls.pf.test = pat/} {z\u00f6e@pf.test = pat/} }",
        "transport_maps": "inline:{ {house.test = smtp:[127.0.0.1]:%d} {away.test = smtp:[127.0.0.1]:%d} {tls.test = smtp:[127.0.0.1]:%d} {lm.test = lmtp:inet:[127.0.0.1]:%d} }"
        % (p.back.port, p.back.port, house.ports[SMTP], house.ports[LMTP]),
        "smtp_tls_policy_maps": "inline:{ {[127.0.0.1]:%d = encrypt} {[127.0.0.1]:%d = none} }" % (house.ports[SMTP], p.back.port),
        "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate.pem, "smtpd_tls_key_file": certificate.key_pem,
        "smtpd_authorized_xclient_hosts": "127.0.0.0/8", "message_size_limit": "30000000", "smtp_line_length_limit": "0",
        "smtpd_tls_received_header": "yes", "notify_classes": "",
    })
    return peer.start()


def start_exim(folder, p, house, certificate):
    peer = exim.Exim(folder, 1, "mx.ex.test", main=f"""
domainlist ours = ex.test : tls.ex.test
deliver_drop_privilege = true
tls_advertise_hosts = *
tls_certificate = {certificate.pem}
tls_privatekey = {certificate.key_pem}
""", acl="""  deny domains = +ours
    !local_parts = pat : z\u00f6e
    message = No such user here""", routers=f"""
ours:
  driver = accept
  domains = +ours
  local_parts = pat : z\u00f6e
  transport = box
nobody:
  driver = redirect
  domains = +ours
  allow_fail
  data = :fail: No such user here
mailboxes:
  driver = manualroute
  domains = lm.test
  route_list = * 127.0.0.1
  self = send
  transport = lmtp
covered:
  driver = manualroute
  domains = tls.test
  route_list = * 127.0.0.1
  self = send
  transport = covered
tapped:
  driver = manualroute
  domains = house.test : away.test
  route_list = * 127.0.0.1
  self = send
  transport = tapped
""", transports=f"""
box:
  driver = appendfile
  maildir_format
  directory = {folder}/mail
  return_path_add
lmtp:
  driver = smtp
  protocol = lmtp
  port = {house.ports[LMTP]}
  hosts_avoid_tls = *
covered:
  driver = smtp
  port = {house.ports[SMTP]}
  hosts_require_tls = *
tapped:
  driver = smtp
  message_linelength_limit = 6000
  port = {p.back.port}
  hosts_avoid_tls = *
""")
    (folder / "mail").mkdir()
    hh.shutil.chown(folder / "mail", exim.UID, exim.UID)
    peer.serve(p.port)
    return peer


def start_opensmtpd(folder, p, house, certificate):
    return opensmtpd.OpenSmtpd(folder, p.port, "mx.osm.test", ["pat@osm.test", "pat@tls.osm.test"], f"""
action "tapped" relay host smtp+notls://127.0.0.1:{p.back.port}
action "covered" relay host smtp://127.0.0.1:{house.ports[SMTP]}
action "lmtp" lmtp "127.0.0.1:{house.ports[LMTP]}" rcpt-to virtual {{ "@lm.test" = "postbox" }}
match from any for domain "osm.test" action "in"
match from any for domain "tls.osm.test" action "in"
match from any for domain "house.test" action "tapped"
match from any for domain "away.test" action "tapped"
match from any for domain "tls.test" action "covered"
match from any for domain "lm.test" action "lmtp"
""", certificate).start()


def submit(house, data, to, mail=(), rcpt=(), utf8=False):
    with house.smtp(SUBMISSIONS) as s:
        s.login(HAL, PASSWORD)
        return re.search(rb"[0-9A-Z]{26}", say(s, data, to, HAL, mail, rcpt, utf8)).group().decode()


def at_peer(p, words, what=""):
    return wait_until(lambda: [m for m in p.mailbox() if words.encode() in m], 20, f"{what} '{words}' at {p.name}")[0]


def at_house(house, words, user=HAL):
    return wait_until(lambda: [m for m in house.inbox(user) if words.encode() in m], 20, f"'{words}' in the Inbox of {user}")[0]


def talk_of(tap, words):
    return wait_until(lambda: tap.with_words(words), 20, f"a connection with {words}")[-1]


def report_in(raw):
    """(the report, the fields of its message, [the fields of each recipient]) by Python's email."""
    report = email.message_from_bytes(raw, policy=email.policy.default)
    if "OpenSMTPD" not in str(report.get_all("Received")):  # which calls them multipart/mixed
        assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    (status,) = [part for part in report.walk() if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status")]
    top, *blocks = status.get_payload()
    if not blocks:  # Python knows the form of RFC 3464 only: of RFC 6533's the recipients are the text of the first block
        text = top.get_payload(decode=True).decode().replace("\r\n", "\n")
        blocks = [email.message_from_string(b, policy=email.policy.default) for b in text.strip().split("\n\n")]
    assert top["Reporting-MTA"].startswith("dns;")
    return report, top, blocks


def used(talk):
    """Which extensions the client of this connection used, of those that change how it talks."""
    commands = talk.commands()
    mail = next(c for c in commands if c.startswith("MAIL FROM:"))
    uses = {"SIZE": "SIZE=" in mail, "8BITMIME": "BODY=8BITMIME" in mail, "PIPELINING": talk.pipelined(), "CHUNKING": any(c.startswith("BDAT ") for c in commands)}
    return {name for name, does in uses.items() if does}


@pytest.mark.parametrize("name", ALL)
def test_to_peer(world, name):
    house, peers = world
    p = peers[name]
    text = TEXT + (b"" if name == "osm" else LONG)
    submit(house, message("bytes", text), p.pat, ["BODY=8BITMIME"])
    submit(house, message("covered"), f"pat@tls.{p.domain}", ["BODY=8BITMIME"])
    submit(house, message("huge", HUGE), p.pat)
    assert at_peer(p, "Subject: bytes").endswith(message("bytes", text).replace(b"\r\n", b"\n"))
    covered = at_peer(p, "Subject: covered")
    assert covered.endswith(message("covered").replace(b"\r\n", b"\n"))
    assert re.search(rb"(?i)esmtps|TLSv?1", covered.partition(b"\n\n")[0])
    talk = talk_of(p.tap, "Subject: bytes")
    assert OFFERS[name] <= talk.offers() | {"STARTTLS"}, talk.offers()
    assert used(talk) == OFFERS[name] & {"SIZE", "8BITMIME", "PIPELINING", "CHUNKING"}
    assert at_peer(p, "Subject: huge").endswith(HUGE.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("name", ALL)
def test_from_peer(world, name):
    house, peers = world
    p = peers[name]
    text = TEXT + (b"" if name == "osm" else LONG)
    p.send(message("bytes-" + name, text, p.pat), HAL, mail=["BODY=8BITMIME"])
    p.send(message("covered-" + name, sender=p.pat), "hal@tls.test", mail=["BODY=8BITMIME"])
    p.send(message("lmtp-" + name, sender=p.pat), "hal@lm.test", mail=["BODY=8BITMIME"])
    p.send(message("huge-" + name, HUGE, p.pat), "big@house.test")
    assert at_house(house, "Subject: bytes-" + name).endswith(message("bytes-" + name, text, p.pat))
    covered = at_house(house, "Subject: covered-" + name, "hal@tls.test")
    assert covered.endswith(message("covered-" + name, sender=p.pat)) and b"ESMTPS" in covered
    raw = at_house(house, "Subject: lmtp-" + name, "hal@lm.test")
    assert raw.endswith(message("lmtp-" + name, sender=p.pat)) and b"LMTP" in raw
    assert used(talk_of(p.back, "Subject: bytes-" + name)) == USES[name]
    assert at_house(house, "Subject: huge-" + name, "big@house.test").endswith(HUGE)


@pytest.mark.parametrize("name", ALL)
def test_reports_on_mail_to_peer(world, name):
    """What the sender wishes to hear goes along; the peer's report comes back from nobody; who is unknown there is reported by us."""
    house, peers = world
    p = peers[name]
    submit(house, message("wished-" + name, b"x\r\n"), p.pat, ["RET=HDRS", "ENVID=Q+2B1" + name], ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;Pat+2B@{p.domain}"])
    submit(house, message("lost-" + name, b"x\r\n"), "nobody@" + p.domain, ["RET=FULL", "ENVID=lost" + name], ["NOTIFY=FAILURE,DELAY"])
    never = submit(house, message("silent-" + name, b"x\r\n"), "nobody@" + p.domain, [], ["NOTIFY=NEVER"])
    commands = talk_of(p.tap, "ENVID=Q+2B1" + name).commands()
    assert any("RET=HDRS" in c and "ENVID=Q+2B1" + name in c for c in commands)
    assert any("NOTIFY=SUCCESS,FAILURE" in c and f"ORCPT=rfc822;Pat+2B@{p.domain}" in c for c in commands)
    raw = at_house(house, "wished-" + name)
    report, top, (block,) = report_in(raw)
    assert report["Return-Path"] == "<>" and p.domain in top["Reporting-MTA"] and block["Action"] == "delivered"
    assert block["Final-Recipient"].replace(" ", "").lower() == "rfc822;" + p.pat and block["Status"].startswith("2.")
    assert top["Original-Envelope-Id"] == {"pf": "Q+1pf", "ex": "Q+2B1ex", "osm": None}[name]  # Exim leaves it encoded, OpenSMTPD out
    report, top, (block,) = report_in(at_house(house, "Original-Envelope-Id: lost" + name))
    assert "mx.house.test" in top["Reporting-MTA"] and (block["Action"], block["Status"][:2]) == ("failed", "5.")
    assert block["Status"] == {"pf": "5.1.1", "ex": "5.0.0", "osm": "5.2.4"}[name]  # the peer's own, where it has ENHANCEDSTATUSCODES
    assert block["Diagnostic-Code"].startswith("smtp; 524" if name == "osm" else "smtp; 550") and block["Remote-MTA"].startswith("dns;")
    wait_until(lambda: "did not want to be told" in house.run("trace", never))
    assert not [m for m in house.inbox(HAL) if b"silent-" + name.encode() in m]


@pytest.mark.parametrize("name", ALL)
def test_reports_on_mail_from_peer(world, name):
    house, peers = world
    p = peers[name]
    p.send(message("wish-" + name, b"x\r\n", p.pat), HAL, mail=["RET=HDRS", "ENVID=R+2B2" + name], rcpt=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Hal+2B@house.test"])
    p.send(message("strayed-" + name, b"x\r\n", p.pat), "nobody@house.test")
    p.send(message("mislaid-" + name, b"x\r\n", p.pat), "nobody@lm.test")
    for user in ("on", "off"):
        p.send(message(user + name, b"x\r\n", p.pat), user + "@away.test", mail=["ENVID=" + user + name], rcpt=["NOTIFY=SUCCESS,FAILURE"])
    report, top, (block,) = report_in(at_peer(p, "Original-Envelope-Id: R+2" + name))
    assert "mx.house.test" in top["Reporting-MTA"] and (block["Action"], block["Status"]) == ("delivered", "2.0.0")
    assert block["Original-Recipient"] == "rfc822;Hal+@house.test" and block["Final-Recipient"] == "rfc822; " + HAL
    assert any(c.startswith("MAIL FROM:<>") for t in p.tap.talks for c in t.commands())
    # Its own bounces of what we refuse, with SMTP and with LMTP.
    for to in ("nobody@house.test",) if name == "osm" else ("nobody@house.test", "nobody@lm.test"):  # OpenSMTPD's LMTP is a helper that keeps trying
        raw = at_peer(p, f"rfc822;{to}" if name != "osm" else f"rfc822; {to}")
        assert report_in(raw)[2][0]["Action"] == "failed" and b"5.1.1" in raw
    # Mail that we pass on, to a server that knows no DSN and refuses the one of them: our reports, from nobody.
    report, top, (block,) = report_in(at_peer(p, "Original-Envelope-Id: on" + name))
    assert (block["Action"], block["Final-Recipient"]) == ("relayed", "rfc822; on@away.test") and block["Status"].startswith("2.")
    report, top, (block,) = report_in(at_peer(p, "Original-Envelope-Id: off" + name))
    assert (block["Action"], block["Status"], block["Final-Recipient"]) == ("failed", "5.1.1", "rfc822; off@away.test")
    assert "550 5.1.1 no such user" in block["Diagnostic-Code"]
    # The bounce of a peer to us, of a message that it was given in our name.
    p.send(message("returned-" + name, b"x\r\n"), "nobody@house.test", sender=HAL)
    report, top, (block,) = report_in(at_house(house, "returned-" + name))
    assert report["Return-Path"] == "<>" and block["Action"] == "failed" and block["Status"].startswith("5.")


@pytest.mark.parametrize("name", ALL)
def test_utf8(world, name):
    house, peers = world
    p = peers[name]
    text = b"gr\xc3\xbc\xc3\x9fe\r\n"
    submit(house, message("\u00fcber-" + name, text), f"z\u00f6e@{p.domain}", ["BODY=8BITMIME"], utf8=True)
    if name == "osm":  # does not know it
        report, top, blocks = report_in(at_house(house, "message/global-delivery-status"))
        (block,) = blocks
        assert (block["Action"], block["Status"]) == ("failed", "5.6.7")
        return
    assert at_peer(p, "Subject: \u00fcber-" + name).endswith(message("\u00fcber-" + name, text).replace(b"\r\n", b"\n"))
    assert any(c.startswith("MAIL FROM:") and "SMTPUTF8" in c for c in talk_of(p.tap, "\u00fcber-" + name).commands())
    p.send(message("zur\u00fcck-" + name, text, "z\u00f6e@" + p.domain), "j\u00fcrgen@house.test", sender="z\u00f6e@" + p.domain, mail=["BODY=8BITMIME"], utf8=True)
    assert at_house(house, "Subject: zur\u00fcck-" + name, "uma@house.test").endswith(text)
    assert any(c.startswith("MAIL FROM:") and "SMTPUTF8" in c for c in talk_of(p.back, "zur\u00fcck-" + name).commands())


@pytest.mark.skipif(not postfix.available(), reason="needs root and the unpacked Postfix (script/bootstrap test)")
def test_xclient_as_postfix_takes_it(world):
    house, peers = world
    told = []
    for port, to in ((house.ports["xclient"], HAL), (peers["pf"].port, "pat@pf.test")):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s, s.makefile("rwb") as f:
            codes = []
            for line in ("", "EHLO proxy.test", "XCLIENT ADDR=nonsense", "XCLIENT NAME=[UNAVAILABLE] ADDR=203.0.113.9 HELO=real.test PROTO=ESMTP", "EHLO real.test",
                         "MAIL FROM:<s@else.test>", f"RCPT TO:<{to}>", "DATA", "Subject: by proxy\r\n\r\nx\r\n.", "QUIT"):
                if line:
                    f.write(line.encode() + b"\r\n")
                    f.flush()
                while (reply := f.readline())[3:4] == b"-":
                    pass
                codes.append(reply[:3])
            told.append(codes)
    ours, theirs = told
    assert ours == [b"220", b"250", b"501", b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    assert theirs[:6] == ours[:6] and theirs[6] == b"554"  # this Postfix relays for its own machine only, and the client is another one now
    assert b"([203.0.113.9])" in at_house(house, "Subject: by proxy")


# ---- addresses outside ASCII through two houses (RFC 6531, 6533) --------------------------------------------------------

NARROW, WIDE_A, WIDE_B = "127.0.0.5", "127.0.0.6", "127.0.0.7"


@pytest.fixture(scope="module")
def wide():
    """Two houses that know SMTPUTF8, and a server behind them that does not."""
    path = hh.scratch("wide")
    port = free_port(WIDE_A)
    narrow = Sink(NARROW, port)
    zones = {"a.test": f"@ MX 10 mx\nmx A {WIDE_A}", "b.test": f"@ MX 10 mx\nmx A {WIDE_B}", "narrow.test": f"@ MX 10 mx\nmx A {NARROW}",
             "xn--bcher-kva.test": "@ MX 10 mx.b.test."}
    with nsd.Nsd(path / "nsd", zones) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n[send]\nport = {port}\n"
        a, b = Served(path / "a", "mx.a.test", WIDE_A, {SMTP: port}, config), Served(path / "b", "mx.b.test", WIDE_B, {SMTP: port}, config)
        with a, b:
            a.domain("a.test", "ann")
            a.run("alias", "add", "j\u00fcrgen@a.test", "ann@a.test")
            b.domain("b\u00fccher.test", "bea")
            b.run("alias", "add", "zo\u00eb@b\u00fccher.test", "bea@b\u00fccher.test")
            b.run("alias", "add", "away@b\u00fccher.test", "n\u00f6@narrow.test")
            yield a, b, narrow
    narrow.close()
    hh.remove(path)


def submit_wide(a, to, subject):
    with a.smtp(SUBMISSIONS) as s:
        s.login("ann@a.test", PASSWORD)
        data = message(subject, b"gr\xc3\xbc\xc3\x9fe\r\n", "j\u00fcrgen@a.test")
        say(s, data, to, "j\u00fcrgen@a.test", ["BODY=8BITMIME"], utf8=True)
        return data


@pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")
def test_utf8_through_two_houses(wide):
    a, b, narrow = wide
    data = submit_wide(a, "zo\u00eb@b\u00fccher.test", "gr\u00fc\u00df dich")
    b_inbox = "bea@xn--bcher-kva.test"
    raw = at_house(b, "gr\u00fc\u00df dich", b_inbox)
    assert raw.endswith(data) and "Return-Path: <j\u00fcrgen@a.test>".encode() in raw
    assert b"with UTF8SMTPS" in raw  # RFC 6531 \u00a74.3
    # Back, to the address that the first one wrote from.
    with b.smtp(SUBMISSIONS) as s:
        s.login(b_inbox, PASSWORD)
        back = message("zur\u00fcck", b"x\r\n", "zo\u00eb@b\u00fccher.test")
        say(s, back, "j\u00fcrgen@a.test", "zo\u00eb@b\u00fccher.test", utf8=True)
    assert at_house(a, "Subject: zur\u00fcck", "ann@a.test").endswith(back)


@pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")
@pytest.mark.parametrize("to,by", [("x@narrow.test", "mx.a.test"), ("n\u00f6@narrow.test", "mx.a.test"), ("away@b\u00fccher.test", "mx.b.test")])
def test_next_hop_without_utf8(wide, to, by):
    """5.6.7 and a bounce in the form of RFC 6533, from the house that could not go on: the first, or the second to a sender outside ASCII."""
    a, b, narrow = wide
    subject = "narrow way of " + to.partition("@")[0]
    submit_wide(a, to, subject)
    raw = at_house(a, subject, "ann@a.test")
    report, top, (block,) = report_in(raw)
    assert report["Return-Path"] == "<>" and not report.defects
    # What is forwarded is sent in the name of the house that forwards (SRS), which hears of it and knows whose it was.
    assert report["To"].startswith("SRS0=") if by == "mx.b.test" else report["To"] == "j\u00fcrgen@a.test"
    assert by in top["Reporting-MTA"] and (block["Action"], block["Status"]) == ("failed", "5.6.7")
    address = "away@xn--bcher-kva.test" if by == "mx.b.test" else to  # where the forwarding leads is nobody's business
    assert block["Final-Recipient"].split(";")[1].strip() == address
    assert [p.get_content_type() for p in report.iter_parts()][:2] == ["text/plain", "message/global-delivery-status"]
    assert not narrow.messages
