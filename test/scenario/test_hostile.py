"""Bad input over real sockets: a clear reply, nothing lost, other sessions unharmed."""
import re
import socket
import ssl
import time

import pytest

from harness.house import IMAP, POP3, SMTP, PASSWORD, tls_context
from harness.net import wait_until

pytestmark = pytest.mark.sanitized


def wire(house, service):
    s = socket.create_connection(("127.0.0.1", house.port(service)), timeout=60)
    return s, s.makefile("rb")


def reply(f):
    while True:
        line = f.readline()
        if len(line) < 4 or line[3:4] != b"-":
            return line


def data(house, body, rcpt=b"alice@example.test"):
    s, f = wire(house, SMTP)
    reply(f)
    for command in (b"EHLO c.test", b"MAIL FROM:<s@elsewhere.test>", b"RCPT TO:<" + rcpt + b">", b"DATA"):
        s.sendall(command + b"\r\n")
        line = reply(f)
    assert line.startswith(b"354"), line
    s.sendall(body + b"\r\n.\r\n")
    line = reply(f)
    s.sendall(b"QUIT\r\n")
    s.close()
    return line


def newest(house, user="alice"):
    box = house.imap(user)
    n = int(box.select(readonly=True)[1][0])
    raw = box.fetch(str(n), "(BODY.PEEK[])")[1][0][1]
    structure = box.fetch(str(n), "(BODYSTRUCTURE ENVELOPE RFC822.SIZE)")
    assert structure[0] == "OK"
    box.logout()
    return raw


def goes_through(house, body):
    before = len(house.inbox("alice"))
    line = data(house, body)
    assert line.startswith(b"250"), line[:200]
    wait_until(lambda: len(house.inbox("alice")) == before + 1)
    assert newest(house).endswith(body + b"\r\n")


CASES = {
    "nul bytes": b"Subject: n\r\n\r\na\x00b\x00\x00c",
    "8-bit header": b"Subject: \xff\xfe gr\xfc\xdfe\r\nFrom: \x80\x81@\xff\r\n\r\nx",
    "line of 60,000": b"Subject: long\r\n\r\n" + b"y" * 60000,
    "no header": b"\r\njust a body",
    "no blank line": b"Subject: only a header",
    "headers without end": b"".join(b"X-H%d: v\r\n" % i for i in range(20000)) + b"\r\nbody",
    "header of 60 KB in folds": b"Subject: a\r\n" + b" fold\r\n" * 9000 + b"\r\nx",
    "10,000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\np\r\n" * 10000 + b"--b--",
    "1,000 deep": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(1000)) + b"\r\nx",
    "broken base64": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!$$$===YW\r\nJj=ZZ",
    "parameter flood": b"Content-Type: text/plain" + b"".join(b";\r\n name*%d*=utf-8''x" % i for i in range(5000)) + b"\r\n\r\nx",
    "address flood": b"To: " + b",\r\n ".join(b"a%d@b.test" % i for i in range(20000)) + b"\r\n\r\nx",
    "comment bomb": b"From: " + b"(" * 5000 + b"\r\n\r\nx",
    "encoded word flood": b"Subject: " + b"\r\n ".join([b"=?utf-8?b?w6Q=?="] * 3000) + b"\r\n\r\nx",
    "dots": b"Subject: d\r\n\r\n..\r\n...\r\n..a",
    "message/rfc822 nest": b"Content-Type: message/rfc822\r\n\r\n" * 500 + b"\r\nx",
}


@pytest.mark.parametrize("name", CASES)
def test_odd_messages_are_kept_as_they_are(shared_demo, name):
    # Lines that begin with a dot are stuffed on the way, as every client does.
    body = CASES[name]
    stuffed = re.sub(rb"(?m)^\.", b"..", body)
    before = len(shared_demo.inbox("alice"))
    line = data(shared_demo, stuffed)
    assert line.startswith(b"250"), line[:200]
    wait_until(lambda: len(shared_demo.inbox("alice")) == before + 1)
    assert newest(shared_demo).endswith(body + b"\r\n")


def test_too_long_line_and_message(shared_demo):
    assert data(shared_demo, b"Subject: x\r\n\r\n" + b"z" * 200000).startswith(b"5")
    s, f = wire(shared_demo, SMTP)
    reply(f)
    s.sendall(b"EHLO c.test\r\n")
    lines = []
    while True:
        line = f.readline()
        lines.append(line)
        if line[3:4] == b" ":
            break
    size = int(re.search(rb"SIZE (\d+)", b"".join(lines)).group(1))
    s.sendall(b"MAIL FROM:<s@elsewhere.test> SIZE=%d\r\n" % (size + 1))
    assert reply(f).startswith(b"552")
    s.close()
    # Without announcing it:
    s, f = wire(shared_demo, SMTP)
    reply(f)
    for command in (b"EHLO c.test", b"MAIL FROM:<s@elsewhere.test>", b"RCPT TO:<alice@example.test>", b"DATA"):
        s.sendall(command + b"\r\n")
        reply(f)
    row = b"x" * 998 + b"\r\n"
    sent = 0
    while sent <= size + 1000:
        s.sendall(row * 1000)
        sent += len(row) * 1000
    s.sendall(b".\r\n")
    assert reply(f).startswith(b"552")
    s.sendall(b"NOOP\r\n")
    assert reply(f).startswith(b"250")
    s.close()


def test_large_message_comes_back(shared_demo):
    body = b"Subject: large\r\n\r\n" + b"".join(b"%08d " % i + b"0123456789" * 6 + b"\r\n" for i in range(250000))
    goes_through(shared_demo, body)


def test_commands_of_a_megabyte_and_noise(shared_demo):
    for service in (SMTP, IMAP, POP3):
        for noise in (b"A" * (1 << 20) + b"\r\n", bytes(range(256)) * 400 + b"\r\n", b"\r\n" * 3000, b"a (" + b"(" * 100000 + b"\r\n",
                      b"a LOGIN {4294967295}\r\n", b"a LOGIN {99999999999999999999+}\r\n", b"a ID (" + b'"k" "v" ' * 20000 + b")\r\n"):
            s, f = wire(shared_demo, service)
            f.readline()
            try:
                s.sendall(noise)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass
            s.close()
    shared_demo.imap("alice").logout()


def test_slow_sender_does_not_hinder_others(shared_demo):
    slow = [wire(shared_demo, SMTP) for _ in range(50)]
    for s, f in slow:
        reply(f)
        s.sendall(b"EHLO c.te")
    begin = time.monotonic()
    shared_demo.send("s@elsewhere.test", "bob@example.test", "Subject: quick\r\n\r\nx\r\n")
    assert time.monotonic() - begin < 10
    for s, f in slow:
        s.sendall(b"st\r\nQUIT\r\n")
        s.close()


def test_reader_that_never_reads(shared_demo):
    body = b"Subject: big\r\n\r\n" + (b"0123456789" * 7 + b"\r\n") * 30000
    data(shared_demo, body, b"bob@example.test")
    wait_until(lambda: shared_demo.inbox("bob"))
    raw = socket.create_connection(("127.0.0.1", shared_demo.port(IMAP)), timeout=60)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.sendall(b"a LOGIN bob " + PASSWORD.encode() + b"\r\nb SELECT INBOX\r\n" + b"c FETCH 1:* BODY.PEEK[]\r\n" * 20)
    time.sleep(1)
    assert shared_demo.inbox("bob")
    raw.close()


def test_wrong_passwords_get_the_same_answer(shared_demo):
    answers = set()
    for user, password in (("alice", "wrong"), ("nobody", "wrong"), ("alice@elsewhere.test", PASSWORD), ("", "x"), ("a" * 900, "x"),
                           ("alice", "x" * 900), ("alice\u00e4", "x")):
        s, f = wire(shared_demo, IMAP)
        f.readline()
        s.sendall(f"a LOGIN {{{len(user.encode())}+}}\r\n{user} {{{len(password.encode())}+}}\r\n{password}\r\n".encode())
        line = f.readline()
        answers.add(line)
        s.close()
    assert len(answers) == 1 and next(iter(answers)).startswith(b"a NO"), answers
