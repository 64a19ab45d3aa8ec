"""Smart hosts: with sign-in over TLS, chosen by the recipients' or the sender's domain; source addresses; what the next server is told of
a message; and a server that fails at each step."""
import re
import socket
import struct
import time

import pytest

from harness import nsd
from harness.certificates import Authority
from harness.house import PASSWORD, SMTP, Served
from harness.net import free_port, wait_until
from harness.smtp_server import SmtpServer

pytestmark = [pytest.mark.sanitized, pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")]

HOUSE, PEER, RELAY, IMPLICIT, WRONG, FAULTY, SOURCE = (f"127.0.0.{n}" for n in (1, 60, 61, 62, 63, 64, 99))


class World:
    pass


@pytest.fixture(scope="module")
def world():
    from harness import house as hh
    path = hh.scratch("relays")
    w = World()
    port, relay_port = free_port(HOUSE), free_port(RELAY)
    authority = Authority(path / "certificates")
    users = {"house": "s3cret"}
    secret = path / "password"
    secret.write_text("s3cret\nnot this line\n")
    secret.chmod(0o600)
    (path / "wrong").write_text("guess\n")
    w.peer = SmtpServer(PEER, port)
    w.relay = SmtpServer(RELAY, relay_port, certificate=authority.leaf("relay.test"), users=users)
    w.implicit = SmtpServer(IMPLICIT, relay_port, certificate=authority.leaf("implicit.test"), users=users, implicit=True)
    w.wrong = SmtpServer(WRONG, relay_port, certificate=authority.leaf("other.test"), users=users)
    w.faulty = SmtpServer(FAULTY, port)
    zones = {"a.test": f"@ MX 10 mx\nmx A {HOUSE}", "peer.test": f"@ MX 10 mx\nmx A {PEER}", "faulty.test": f"@ MX 10 mx\nmx A {FAULTY}",
             "relay.test": f"@ A {RELAY}", "implicit.test": f"@ A {IMPLICIT}", "wrong.test": f"@ A {WRONG}",
             "many.test": "".join(f"@ MX {i} h{i}\n" for i in range(10, 110)) + f"h10 A {PEER}",
             "shared.test": "@ MX 10 mx.peer.test."}
    with nsd.Nsd(path / "nsd", zones) as dns:
        config = f"""[dns]
stubs = {dns.stubs()}
resolv_conf =
[send]
port = {port}
ca_file = {authority.root.pem}
[relay one]
host = relay.test
port = {relay_port}
user = house
password_file = {secret}
[relay two]
host = implicit.test
port = {relay_port}
tls = implicit
user = house
password_file = {secret}
[relay unsure]
host = wrong.test
port = {relay_port}
user = house
password_file = {secret}
[relay mistaken]
host = relay.test
port = {relay_port}
user = house
password_file = {path / "wrong"}
[route by-one.test]
relay = one
[route by-unsure.test]
relay = unsure
[route by-mistaken.test]
relay = mistaken
[sender b.test]
relay = two
[sender c.test]
bind = {SOURCE}
helo = mx.c.test
[limits]
send_command_timeout_ms = 2000
send_greeting_timeout_ms = 2000
send_data_timeout_ms = 2000
"""
        w.house = Served(path / "house", "mx.a.test", HOUSE, {SMTP: free_port(HOUSE)}, config)
        with w.house:
            for domain in ("a.test", "b.test", "c.test"):
                w.house.domain(domain, "ann")
            yield w
    for s in (w.peer, w.relay, w.implicit, w.wrong, w.faulty):
        s.close()
    hh.remove(path)


def send(w, sender, to, subject, mail=(), rcpt=(), body="x\r\n", headers=""):
    with w.house.smtp(465) as s:
        s.login(sender, PASSWORD)
        code, text = s.mail(sender, mail)
        assert code == 250, text
        assert s.rcpt(to, rcpt)[0] == 250
        code, text = s.data(f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{headers}\r\n{body}".encode())
        assert code == 250, text
        return re.search(rb"[0-9A-Z]{26}", text).group().decode()


def taken(server, subject):
    wait_until(lambda: subject in server.subjects(), 30, subject)
    return next(m for m in server.messages if f"Subject: {subject}\r\n".encode() in m["data"])


def test_relays_by_recipient_and_sender(world):
    w = world
    send(w, "ann@a.test", "x@by-one.test", "by-one")
    message = taken(w.relay, "by-one")
    assert message["tls"] and message["user"] == "house"
    send(w, "ann@b.test", "x@peer.test", "by-two")
    message = taken(w.implicit, "by-two")
    assert message["tls"] and message["user"] == "house"
    assert "by-two" not in w.peer.subjects()


def test_a_relay_that_is_not_sure_gets_no_password(world):
    w = world
    ident = send(w, "ann@a.test", "x@by-unsure.test", "unsure")
    story = wait_until(lambda: (lambda t: t if "deferred" in t else None)(w.house.run("trace", ident)), 30)
    assert "certificate" in story and "[relay unsure]" in story
    assert not [c for c in w.wrong.commands if c.startswith("AUTH")]
    ident = send(w, "ann@a.test", "x@by-mistaken.test", "mistaken")
    story = wait_until(lambda: (lambda t: t if "deferred" in t else None)(w.house.run("trace", ident)), 30)
    assert "535" in story and "guess" not in story and "guess" not in w.house.log()


def test_source_address_and_name(world):
    w = world
    seen = []
    w.peer.replies["connect"] = lambda s: (seen.append(s.getpeername()[0]), "220 peer.test")[1]
    send(w, "ann@c.test", "x@peer.test", "from-c")
    taken(w.peer, "from-c")
    assert seen[-1] == SOURCE and "EHLO mx.c.test" in w.peer.commands
    w.peer.replies.clear()


def test_what_the_next_server_is_told(world):
    w = world
    before = w.peer.connections
    ident = send(w, "ann@a.test", "x@peer.test", "told", ["RET=HDRS", "ENVID=abc", "BODY=8BITMIME"],
         ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;y@peer.test"])
    message = taken(w.peer, "told")
    assert "RET=HDRS" in message["mail"] and "ENVID=abc" in message["mail"] and "BODY=8BITMIME" in message["mail"]
    assert "NOTIFY=SUCCESS,FAILURE" in message["rcpts"][0] and "ORCPT=rfc822;y@peer.test" in message["rcpts"][0]
    assert any(c.startswith("BDAT ") for c in w.peer.commands)
    # The next one goes over the same connection, once it is free; a domain that shares its server, too.
    for to, subject in (("x@peer.test", "again"), ("x@shared.test", "by-shared")):
        wait_until(lambda: not w.house.rows("queue", "list", ident), 30)
        ident = send(w, "ann@a.test", to, subject)
        taken(w.peer, subject)
    assert w.peer.connections <= before + 1
    send(w, "ann@a.test", "x@many.test", "of-many")
    taken(w.peer, "of-many")


def test_seven_bits(world):
    w = world
    w.faulty.extensions = ["PIPELINING"]
    send(w, "ann@a.test", "x@faulty.test", "seven", ["BODY=8BITMIME"], body="gr\u00fc\u00df\r\n",
         headers="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n")
    message = taken(w.faulty, "seven")
    assert message["data"].isascii() and b"gr=C3=BC=C3=9F" in message["data"] and "8BITMIME" not in message["mail"]
    ident = send(w, "ann@a.test", "b\u00f6b@faulty.test", "utf8", ["SMTPUTF8"])
    story = wait_until(lambda: (lambda t: t if "failed" in t else None)(w.house.run("trace", ident)), 30)
    assert "5.6.7" in story


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def stall(s):
    time.sleep(3)


@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("fault", [
    pytest.param(reset, id="reset"), pytest.param("HTTP/1.1 200 OK", id="http"), pytest.param("421 4.3.2 bye", id="421"),
    pytest.param(stall, id="stall", marks=pytest.mark.soak), pytest.param("999 what", id="999", marks=pytest.mark.soak),
    pytest.param("199 x", id="199", marks=pytest.mark.soak),
    pytest.param("250-never\r\n451 ends", id="mixed", marks=pytest.mark.soak)])
def test_faults_defer_and_lose_nothing(world, step, fault):
    w = world
    w.faulty.extensions = ["8BITMIME"]
    w.faulty.replies = {step: fault}
    if step in ("connect", "EHLO"):
        w.faulty.replies["MAIL"] = "421 4.3.2 a new one, please"
    name = f"fault-{step}-{fault if isinstance(fault, str) else fault.__name__}"[:30].replace("\r\n", "")
    ident = send(w, "ann@a.test", "x@faulty.test", name)
    wait_until(lambda: "deferred" in w.house.run("trace", ident), 30, "deferral")
    w.faulty.replies = {}
    w.house.run("clock", "advance", "1h")
    w.house.run("queue", "retry", ident, check=False)  # it may have gone already
    taken(w.faulty, name)
    assert w.faulty.subjects().count(name) == 1
