"""Real mail in and out: every message of the corpus over SMTP, back over IMAP and POP3 byte for byte below the added trace
fields; and through Python's own clients."""
import hashlib
import poplib
import re
import smtplib

import pytest

from harness.house import Demo, SMTP
from harness.net import wait_until


# Real lines are longer than what poplib takes by itself.
poplib._MAXLINE = 70000


def corpus_messages(corpus):
    """(path, bytes with CRLF line ends and without the mbox `From ` line)"""
    for path in sorted(corpus.rglob("*")):
        if not path.is_file() or path.name == "cmds":
            continue
        raw = path.read_bytes()
        if raw.startswith(b"From "):
            raw = raw[raw.index(b"\n") + 1:]
        if not raw.endswith(b"\n"):
            raw += b"\n"
        yield path, re.sub(rb"(?<!\r)\n", b"\r\n", raw)


def send_all(house, messages, recipient):
    """Sends with dot-stuffing over one connection (a new one after each 200); returns {index: reply code}."""
    codes = {}
    s = None
    for i, (path, raw) in enumerate(messages):
        if i % 200 == 0:
            if s is not None:
                s.quit()
            s = smtplib.SMTP(house.address, house.port(SMTP), timeout=60)
            s.ehlo("corpus.test")
        s.mail("")
        s.rcpt(recipient)
        s.putcmd("data")
        assert s.getreply()[0] == 354
        s.send(re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n")
        codes[i] = s.getreply()[0]
    s.quit()
    return codes


def below_trace(raw):
    """The message as it was sent: without our Return-Path and the first Received field."""
    head = re.match(rb"(Return-Path: [^\r]*\r\n)?(Delivered-To: [^\r]*\r\n)?Received: [^\r]*\r\n([ \t][^\r]*\r\n)*", raw)
    assert head, raw[:300]
    return raw[head.end():]


def test_whole_corpus_in_and_out(corpus, folder):
    messages = list(corpus_messages(corpus))
    assert len(messages) == 6294
    with Demo(folder / "demo", plain=True) as house:
        codes = send_all(house, messages, "alice@example.test")
        refused = [i for i, code in codes.items() if code != 250]
        bare = [i for i, (path, raw) in enumerate(messages) if re.search(rb"\r(?!\n)", raw)]
        assert refused == bare and len(bare) == 8
        assert all(codes[i] == 550 for i in refused)
        expected = sorted(hashlib.sha256(raw).digest() for i, (path, raw) in enumerate(messages) if codes[i] == 250)

        def count():
            with house.imap("alice") as box:
                return int(box.select(readonly=True)[1][0]) == len(expected)
        wait_until(count, 60)
        box = house.imap("alice")
        box.select(readonly=True)
        got = []
        kind, data = box.fetch("1:*", "(BODY.PEEK[])")
        got = [item[1] for item in data if isinstance(item, tuple)]
        sizes = box.fetch("1:*", "(RFC822.SIZE)")[1]
        box.logout()
        assert sorted(hashlib.sha256(below_trace(raw)).digest() for raw in got) == expected
        assert [int(re.search(rb"SIZE (\d+)", s).group(1)) for s in sizes] == [len(raw) for raw in got]

        pop = house.pop3("alice")
        assert pop.stat()[0] == len(expected)
        for i, raw in enumerate(got, 1):
            # poplib strips the line ends; lines in the corpus end in CRLF all.
            assert b"".join(line + b"\r\n" for line in pop.retr(i)[1]) == raw
        pop.quit()


def test_imap_envelopes_of_the_corpus(corpus, folder):
    """ENVELOPE, BODYSTRUCTURE and every section of real mail parse with imaplib and never end the session."""
    with Demo(folder / "demo", plain=True) as house:
        messages = [m for n, m in enumerate(corpus_messages(corpus)) if n % 12 == 0]
        codes = send_all(house, messages, "bob@example.test")
        accepted = sum(code == 250 for code in codes.values())
        wait_until(lambda: len(house.imap("bob").select()[1]) and int(house.imap("bob").select()[1][0]) == accepted, 30)
        box = house.imap("bob")
        box.select(readonly=True)
        for items in ("(ENVELOPE)", "(BODYSTRUCTURE)", "(BODY.PEEK[HEADER] BODY.PEEK[TEXT])", "(BODY.PEEK[1] BODY.PEEK[1.MIME])",
                      "(BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)])", "(BODY.PEEK[]<10.100>)"):
            kind, data = box.fetch("1:*", items)
            assert kind == "OK" and len([d for d in data if d != b")"]) >= accepted, items
        kind, found = box.search(None, "SUBJECT", "re")
        assert kind == "OK" and found[0]
        box.logout()
