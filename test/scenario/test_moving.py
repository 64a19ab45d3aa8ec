"""Moving in from Dovecot and out again: message by message, with flags, dates and UIDs, whatever is cut off in the middle."""
import email.utils
import imaplib
import json
import re
import subprocess
import threading

import pytest

from harness import dovecot_server
from harness.dovecot_server import DovecotServer, Maildirs
from harness.house import BINARY, PASSWORD

pytestmark = pytest.mark.skipif(not dovecot_server.available(), reason="Dovecot is not unpacked: script/bootstrap test")
ALICE = "alice@example.test"


def message(n, size=0):
    return (f"From: a{n}@elsewhere.test\r\nTo: {ALICE}\r\nSubject: number {n}\r\nMessage-ID: <{n}@elsewhere.test>\r\n"
            f"Date: {email.utils.formatdate(1_000_000_000 + n)}\r\n\r\nFrom here on {n}\r\n{'x' * 76}\r\n").encode() + \
        b"0123456789abcdef" * (size // 16)


def contents(box):
    """{folder: (uidvalidity, {uid: (flags, date, bytes)})} of all that an IMAP session sees."""
    out = {}
    for line in box.list()[1]:
        attributes, delimiter, name = re.fullmatch(rb'\((.*?)\) "(.)" "?(.*?)"?', line).groups()
        if b"\\Noselect" in attributes:
            continue
        name = name.decode()
        validity = int(re.search(rb"UIDVALIDITY (\d+)", box.status(f'"{name}"', "(UIDVALIDITY)")[1][0]).group(1))
        assert box.select(f'"{name}"', readonly=True)[0] == "OK"
        messages = {}
        for item in box.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if not isinstance(item, tuple):
                continue
            uid = int(re.search(rb"UID (\d+)", item[0]).group(1))
            flags = frozenset(imaplib.ParseFlags(item[0])) - {b"\\Recent"}
            date = imaplib.Internaldate2tuple(item[0])
            messages[uid] = (flags, date, item[1])
        out[name.replace(delimiter.decode(), "/")] = validity, messages
    return out


def brought(out):
    """The rows of an import or export by folder, and what was found damaged."""
    rows = [json.loads(line) for line in out.splitlines()]
    return {row["folder"]: row for row in rows if "messages" in row}, [row for row in rows if "damage" in row]


def arguments(house, server, *more, account=ALICE):
    return ["import", "imap", server.url, account, "--no-tls", "--password-stdin", *more, *house.where()]


def bring(house, server, *more, code=0, account=ALICE):
    done = subprocess.run([BINARY, *arguments(house, server, *more, account=account), "--json"], input="secret\n",
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return brought(done.stdout)


@pytest.fixture
def source(folder):
    with DovecotServer(folder / "dovecot") as server:
        server.add_user(ALICE, "{PLAIN}secret")
        yield server


def fill(server, count, user=ALICE):
    mail = Maildirs(server, user)
    mail.keywords("", ["$Forwarded", "Work"])
    for n in range(count):
        where = ["", "", "Gesendet", "Projekte.B&APw-cher", "a&AOk-.deep.er"][n % 5]
        flags = "".join(f for k, f in enumerate("SRFDT") if n >> k & 1) + ("ab"[n % 2] if where == "" and n % 3 == 0 else "")
        mail.put(message(n, 300_000 if n % 97 == 5 else 0), where, flags, 1_000_000_000 + 1009 * n)
    return mail


class Killed:
    """Ends the importing program when the server has sent so much."""

    def __init__(self, after):
        self.left, self.lock, self.process = after, threading.Lock(), None

    def __call__(self, piece):
        with self.lock:
            self.left -= len(piece)
            if self.left <= 0:
                self.process.kill()
        return piece


@pytest.mark.sanitized
def test_cut_off_and_gone_on(demo, source):
    mail = fill(source, 300)
    theirs = source_box(source)
    there = contents(theirs)
    assert sum(len(m) for _, m in there.values()) == 300
    for after in (30_000, 400_000, 700_000):
        killed = Killed(after)
        source.tamper = lambda n, killed=killed: killed
        killed.process = subprocess.Popen([BINARY, *arguments(demo, source)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL)
        killed.process.stdin.write(b"secret\n")
        killed.process.stdin.close()
        assert killed.process.wait(60) == -9
    source.tamper = None
    rows, damage = bring(demo, source)
    assert not damage and 0 < sum(row["moved"] for row in rows.values()) < 300
    assert all(row["uids_kept"] for row in rows.values())
    ours = demo.imap("alice")
    here = contents(ours)
    assert {name: here[name] for name in there} == there
    assert sum(len(m) for _, m in here.values()) == 300
    roles = dict(re.fullmatch(rb'.*(\\Sent|\\Trash).* "/" (.*)', line).groups() for line in ours.list()[1] if b"\\Sent" in line)
    assert roles == {b"\\Sent": b"Gesendet"}

    # Both are in use: mail comes there and here, things are read, flagged and removed on both sides.
    mail.put(message(900), "", "S", 1_100_000_000)
    theirs.select("INBOX")
    uids = theirs.uid("SEARCH", "ALL")[1][0].split()
    seen_there, flagged_there, gone_there, gone_here, read_here = uids[0], uids[10], uids[20], uids[30], uids[41]
    theirs.uid("STORE", seen_there, "+FLAGS", "(\\Answered Later)")
    theirs.uid("STORE", flagged_there, "FLAGS", "(\\Flagged)")
    theirs.uid("STORE", gone_there, "+FLAGS", "(\\Deleted)")
    theirs.uid("EXPUNGE", gone_there)
    ours.select("INBOX")
    ours.uid("STORE", gone_here, "+FLAGS", "(\\Deleted)")
    ours.uid("EXPUNGE", gone_here)
    ours.uid("STORE", read_here, "+FLAGS", "($Mine)")
    demo.send("s@elsewhere.test", ALICE, b"Subject: new here\r\n\r\nhi\r\n")
    rows, damage = bring(demo, source, "--drop")
    assert not damage and sum(row["moved"] for row in rows.values()) == 1
    assert sum(row["dropped"] for row in rows.values()) >= 1
    theirs.select("INBOX")
    there, here = contents(theirs)["INBOX"], contents(ours)["INBOX"]
    assert there[0] == here[0]
    extra = {uid: m for uid, m in here[1].items() if uid not in there[1]}
    assert [m[2].count(b"Subject: new here") for m in extra.values()].count(1) == 1
    for uid, m in there[1].items():
        if str(uid).encode() in (gone_here,):
            assert uid not in here[1]
        elif str(uid).encode() == read_here:
            assert here[1][uid][0] == m[0] | {b"$Mine"}
        elif b"number 900\r\n" not in m[2]:
            assert here[1][uid] == m
    rows, damage = bring(demo, source, "--drop")
    assert sum(row["moved"] + row["dropped"] for row in rows.values()) == 0
    assert contents(ours)["INBOX"] == here
    ours.logout()
    theirs.logout()


def source_box(server, user=ALICE):
    box = imaplib.IMAP4("127.0.0.1", server.port, timeout=60)
    box.login(user, "secret")
    return box
