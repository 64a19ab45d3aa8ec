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
from harness.net import wait_until

pytestmark = pytest.mark.skipif(not dovecot_server.available(), reason="Dovecot is not unpacked: script/bootstrap test")
ALICE = "alice@example.test"


def message(n, size=0):
    return (f"From: a{n}@elsewhere.test\r\nTo: {ALICE}\r\nSubject: number {n}\r\nMessage-ID: <{n}@elsewhere.test>\r\n"
            f"Date: {email.utils.formatdate(1_000_000_000 + n)}\r\n\r\nFrom here on {n}\r\n{'x' * 76}\r\n").encode() + \
        b"0123456789abcdef" * (size // 16) + b"\r\n" * (size > 0)


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


def looked_at(house, user):
    with house.imap(user) as box:
        return contents(box)


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


def files(house, *arguments, code=0):
    """An import from files or an export to them."""
    done = subprocess.run([BINARY, *map(str, arguments), *house.where(), "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return brought(done.stdout)


def bodies(found):
    """All messages by folder, without their UIDs: (flags, date, bytes)."""
    return {name: sorted(((m[2], sorted(m[0]), m[1]) for m in messages.values()), key=lambda m: m[0])
            for name, (_, messages) in found.items() if messages}


def test_out_and_in_again(demo, folder, source):
    """What came from Dovecot is written as a Maildir; Dovecot reads it and tells the same, UIDs and all. Files of every kind come in again."""
    fill(source, 60)
    bring(demo, source)
    there = contents(source_box(source))
    out = folder / "maildir"
    rows, damage = files(demo, "export", "maildir", ALICE, out)
    assert not damage and sum(row["moved"] for row in rows.values()) == 60
    with DovecotServer(folder / "another") as reader:
        reader.add_user(ALICE, "{PLAIN}secret")
        reader.take_mail(ALICE, out)
        read = contents(source_box(reader))
        assert {name: read[name] for name in there} == there
    box = demo.imap("alice")
    box.select("INBOX")
    box.uid("STORE", "2", "+FLAGS", "(\\Flagged NewWord)")
    rows, damage = files(demo, "export", "maildir", ALICE, out)
    assert not damage and sum(row["moved"] for row in rows.values()) == 0
    here = contents(box)
    # In again: into another account, from the Maildir (UIDs kept), from mbox, from single files; twice each.
    for kind, flags in (("maildir", True), ("mbox", True), ("eml", False)):
        account = f"{kind}@example.test"
        demo.run("account", "add", account, "--password-stdin", input=PASSWORD + "\n")
        path = folder / f"in-{kind}"
        files(demo, "export", kind, ALICE, path)
        if kind == "mbox":
            for name in ("Drafts", "Junk", "Trash", "Archive"):
                assert (path / f"{name}.mbox").read_bytes() == b""
        rows, damage = files(demo, "import", kind, path, account)
        assert not damage and sum(row["moved"] for row in rows.values()) == 60, rows
        rows, damage = files(demo, "import", kind, path, account)
        assert not damage and sum(row["moved"] for row in rows.values()) == 0
        found = looked_at(demo, account)
        wanted = bodies(here)
        if kind == "maildir":
            assert {name: v for name, v in found.items() if v[1]} == {name: v for name, v in here.items() if v[1]}
        elif flags:
            assert bodies(found) == wanted
        else:
            assert {name: [m[0] for m in v] for name, v in bodies(found).items()} == {name: [m[0] for m in v] for name, v in wanted.items()}
    box.logout()


def test_out_to_a_server(demo, folder, source):
    """To Dovecot over IMAP; what is there already is not sent again, and a message that is there once though it is here twice is."""
    for n in range(5):
        demo.send("s@elsewhere.test", ALICE, message(n))
    box = demo.imap("alice")
    wait_until(lambda: box.status("INBOX", "(MESSAGES)")[1][0].endswith(b"MESSAGES 5)"))
    box.create("Caf&AOk-/one.two")
    box.select("INBOX")
    box.uid("COPY", "1:2", '"Caf&AOk-/one.two"')
    box.uid("STORE", "3", "+FLAGS", "(\\Seen Work)")

    def send(*more):
        done = subprocess.run([BINARY, "export", "imap", ALICE, source.url, "--no-tls", "--password-stdin", "--json", *more,
                               *demo.where()], input="secret\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return sum(row["moved"] for row in brought(done.stdout)[0].values())

    assert send("--folder", "INBOX") == 5
    assert send() == 2
    assert send() == 0
    box.uid("COPY", "5", "INBOX")
    assert send() == 1
    there, here = bodies(contents(source_box(source))), bodies(contents(box))
    assert there.pop("Café/one_two".encode("utf-7").decode().replace("+", "&")) == here.pop("Caf&AOk-/one.two")
    assert there == here
    box.logout()


def source_box(server, user=ALICE):
    box = imaplib.IMAP4("127.0.0.1", server.port, timeout=60)
    box.login(user, "secret")
    return box
