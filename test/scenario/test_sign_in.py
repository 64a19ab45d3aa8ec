"""Signing in by SASL: each mechanism over each protocol, beside GNU SASL and a client of our own that can do what no good client does."""
import base64
import hashlib
import hmac
import os
import re
import shutil
import socket
import subprocess

import pytest

from harness.house import IMAP, IMAPS, PASSWORD, POP3, POP3S, SUBMISSION, SUBMISSIONS, Served, remove, scratch, tls_context

pytestmark = pytest.mark.sanitized


class Scram:
    """A client of SCRAM (RFC 5802). `flag`: the GS2 flag; `binding`: what is bound to."""

    def __init__(self, name, password, digest="sha256", flag="n", binding=b""):
        self.password, self.digest, self.binding = password.encode(), digest, binding
        self.gs2 = f"{flag},,".encode()
        self.bare = b"n=%s,r=%s" % (name.replace("=", "=3D").replace(",", "=2C").encode(), base64.b64encode(os.urandom(12)))

    def first(self):
        return self.gs2 + self.bare

    def final(self, server_first):
        parts = dict(p.split(b"=", 1) for p in server_first.split(b","))
        self.salt, self.iterations = parts[b"s"], int(parts[b"i"])
        salted = hashlib.pbkdf2_hmac(self.digest, self.password, base64.b64decode(self.salt), self.iterations)
        key = hmac.digest(salted, b"Client Key", self.digest)
        without = b"c=%s,r=%s" % (base64.b64encode(self.gs2 + self.binding), parts[b"r"])
        message = self.bare + b"," + server_first + b"," + without
        signature = hmac.digest(hashlib.new(self.digest, key).digest(), message, self.digest)
        self.verifier = b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", self.digest), message, self.digest))
        return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))


class Client:
    """A connection under TLS on which AUTH is spoken; `say` returns the last line of the reply."""

    def __init__(self, house, service, tls=True):
        self.service = service
        port = {"imap": (IMAP, IMAPS), "pop3": (POP3, POP3S), "smtp": (SUBMISSION, SUBMISSIONS)}[service][tls]
        self.socket = socket.create_connection(("127.0.0.1", house.port(port)), timeout=30)
        if tls:
            self.socket = tls_context().wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        self.read()
        if service == "smtp":
            self.send("EHLO client.test")
            self.offers = b""
            while b"250-" in (got := self.read()):
                self.offers += got
        else:
            self.send("CAPA" if service == "pop3" else "x CAPABILITY")
            self.offers, end = b"", {"pop3": b".\r\n", "imap": b"x OK"}[service]
            while not (got := self.read()).startswith(end):
                self.offers += got

    def send(self, text):
        self.socket.sendall(text.encode() + b"\r\n")

    def read(self):
        return self.file.readline()

    def auth(self, mechanism, initial=None):
        word = {"imap": "x AUTHENTICATE", "pop3": "AUTH", "smtp": "AUTH"}[self.service]
        return self.say(f"{word} {mechanism}" + ("" if initial is None else " " + base64.b64encode(initial).decode()))

    def say(self, text):
        self.send(text)
        return self.read()

    def answer(self, data):
        return self.say(base64.b64encode(data).decode())

    def challenge(self, reply):
        assert reply.startswith((b"+ ", b"334 ")), reply
        return base64.b64decode(reply.split(b" ", 1)[1])

    def good(self, reply):
        return reply.startswith((b"x OK", b"+OK", b"235 "))

    def refused(self, reply):
        return reply.startswith((b"x NO [AUTHENTICATIONFAILED]", b"-ERR [AUTH]", b"535 "))

    def end_point(self):
        return hashlib.sha256(self.socket.getpeercert(True)).digest()

    def scram(self, mechanism, client):
        reply = self.auth(mechanism, client.first())
        if not reply.startswith((b"+ ", b"334 ")):
            return reply
        reply = self.answer(client.final(self.challenge(reply)))
        if reply.startswith((b"+ ", b"334 ")):
            assert self.challenge(reply) == client.verifier
            reply = self.say("")
        return reply


SERVICES = ("imap", "pop3", "smtp")


@pytest.fixture(scope="module")
def house():
    """One that offers channel binding for submission too, and signs in without TLS where a test wants it."""
    path = scratch("sign-in")
    config = "short_names = yes\ncleartext_sign_in = yes\nsubmission_channel_binding = yes\n"
    with Served(path / "house", "mx.example.test", house_config=config) as served:
        served.domain("example.test", "alice", "bob")
        yield served
    remove(path)


def test_submission_offers_no_binding_unless_told(shared_demo):
    """mutt and neomutt with GNU SASL would choose it, without being able to bind, and send nothing."""
    c = Client(shared_demo, "smtp")
    assert b"SCRAM-SHA-256" in c.offers and b"-PLUS" not in c.offers
    assert c.scram("SCRAM-SHA-256-PLUS", Scram("alice", PASSWORD, flag="p=tls-server-end-point", binding=c.end_point())).startswith(b"504 ")
    # A client that could bind says so, and is right that nothing was offered.
    assert c.good(c.scram("SCRAM-SHA-256", Scram("alice", PASSWORD, flag="y")))


def test_scram(house):
    for service in SERVICES:
        for digest, name in (("sha256", "SCRAM-SHA-256"), ("sha1", "SCRAM-SHA-1")):
            c = Client(house, service)
            assert f"{name}-PLUS".encode() in c.offers and b"PLAIN" in c.offers
            assert (b"LOGIN" in c.offers.replace(b"LOGINDISABLED", b"")) == (service == "smtp")
            reply = c.scram(name, Scram("alice", PASSWORD, digest))
            assert c.good(reply), reply
            c = Client(house, service)
            reply = c.scram(f"{name}-PLUS", Scram("alice@example.test", PASSWORD, digest, "p=tls-server-end-point", c.end_point()))
            assert c.good(reply), reply
    c = Client(house, "imap", tls=False)
    assert b"-PLUS" not in c.offers
    assert c.good(c.scram("SCRAM-SHA-256", Scram("alice", PASSWORD, flag="y")))


def test_scram_refused(house):
    c = Client(house, "smtp")
    right = c.end_point()
    for mechanism, client in (
            ("SCRAM-SHA-256", Scram("alice", "wrong")),
            ("SCRAM-SHA-256", Scram("nobody", PASSWORD)),
            # We did offer a binding: somebody has taken it out of the list.
            ("SCRAM-SHA-256", Scram("alice", PASSWORD, flag="y")),
            # The channel of another connection: somebody sits in between.
            ("SCRAM-SHA-256-PLUS", Scram("alice", PASSWORD, flag="p=tls-server-end-point", binding=right[::-1])),
    ):
        reply = c.scram(mechanism, client)
        assert c.refused(reply), (mechanism, reply)
    c = Client(house, "smtp")
    assert c.scram("SCRAM-SHA-256-PLUS", Scram("alice", PASSWORD, flag="p=tls-unique")).startswith(b"504 ")
    assert c.scram("SCRAM-SHA-256", Scram("alice", PASSWORD, flag="p=tls-server-end-point", binding=right)).startswith(b"501 ")
    assert c.scram("SCRAM-SHA-256-PLUS", Scram("alice", PASSWORD)).startswith(b"501 ")
    # A proof that was good once is worth nothing again.
    client = Scram("alice", PASSWORD)
    first = c.challenge(c.auth("SCRAM-SHA-256", client.first()))
    proof = client.final(first)
    assert c.say("*").startswith(b"501 5.0.0")
    c.challenge(c.auth("SCRAM-SHA-256", client.first()))
    assert c.answer(proof).startswith(b"501 ")
    assert c.good(c.scram("SCRAM-SHA-256", Scram("alice", PASSWORD)))


def salt_of(house, name):
    c = Client(house, "imap")
    client = Scram(name, "x")
    client.final(c.challenge(c.auth("SCRAM-SHA-256", client.first())))
    return client.salt, client.iterations


def test_names_cannot_be_probed(house):
    nobody, nobody_else, alice = salt_of(house, "nobody"), salt_of(house, "somebody"), salt_of(house, "alice")
    assert nobody[1] == alice[1] and len(nobody[0]) == len(alice[0]) and len({nobody, nobody_else, alice}) == 3
    assert salt_of(house, "nobody") == nobody == salt_of(house, "NoBody@Example.TEST")
    assert salt_of(house, "ALICE@example.test") == alice
    bob = salt_of(house, "bob")
    house.run("account", "disable", "bob@example.test")
    assert salt_of(house, "bob") == bob
    house.run("account", "enable", "bob@example.test")


def test_app_passwords_by_scram(house):
    text = house.rows("account", "app-password", "add", "alice@example.test", "phone")[0]["password"]
    c = Client(house, "imap")
    assert c.good(c.scram("SCRAM-SHA-256", Scram("alice", text)))
    c = Client(house, "imap")
    assert c.refused(c.scram("SCRAM-SHA-1", Scram("alice", text[:-1] + "0", "sha1")))
    assert c.good(c.scram("SCRAM-SHA-1", Scram("alice", text, "sha1")))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN"])
def test_gsasl(house, mechanism):
    """GNU SASL, which binds by tls-exporter under TLS 1.3."""
    if shutil.which("gsasl") is None:
        pytest.skip("gsasl is not installed")
    for kind, port in (("smtp", SUBMISSION), ("imap", IMAP)):
        if (kind, mechanism) == ("imap", "LOGIN"):
            continue
        bare = ["--no-cb", "--no-starttls"] if re.fullmatch(r"SCRAM-SHA-\d+", mechanism) else ["--x509-ca-file="]
        done = subprocess.run(["gsasl", f"--{kind}", f"--connect=127.0.0.1:{house.port(port)}", "-a", "alice", "-p", PASSWORD, "-m", mechanism,
                               *bare], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        assert b"server trusted" in done.stdout + done.stderr, done
