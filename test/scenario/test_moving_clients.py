"""The day after a move, as people's programs see it: they sign in with the password that they had, and get what is new and nothing else,
measured by what goes over the wire."""
import base64
import random
import re
import socket
import subprocess

import pytest

from harness import dovecot_server
from harness.dovecot_server import DovecotServer, Maildirs
from harness.house import BINARY, IMAP
from harness.imap import Session
from harness.net import wait_until
from harness.tap import Tap
from test_clients import need, sh
from test_moving import hashed

pytestmark = pytest.mark.skipif(not dovecot_server.available(), reason="Dovecot is not unpacked: script/bootstrap test")
DOMAIN = "move.test"
LARGE = 20_000


def large(n):
    """A message that COMPRESS makes no smaller."""
    return b"Subject: large %d\r\n\r\n" % n + base64.encodebytes(random.Random(n).randbytes(LARGE)).replace(b"\n", b"\r\n")


def move(house, server, name):
    done = subprocess.run([BINARY, "import", "imap", server.url, f"{name}@{DOMAIN}", "--no-tls", "--master", "mover", "--password-stdin",
                           *house.where()], input="master-secret\n", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return int(re.search(r"(\d+) brought here, \d+ had been before, 0 could not be.\n\Z", done.stdout)[1])


def take_over(house, server, folder):
    """The accounts with the hashes of their passwords, and the mail."""
    (folder / "passwd").write_text(server.passwd_file())
    house.run("domain", "add", DOMAIN, "--later", check=False)  # for the second time
    house.run("import", "accounts", folder / "passwd")
    for name in server.users:
        move(house, server, name.partition("@")[0])


def add_person(server, n):
    name = f"user{n:02}"
    server.add_user(f"{name}@{DOMAIN}", hashed(f"secret of {name}", n))
    mail = Maildirs(server, f"{name}@{DOMAIN}")
    for k in range(12):
        mail.put(large(k), ("", "Sent", "Projekte.2001")[k % 3], "SF"[:k % 3], 1_000_000_000 + k)
    return name, mail


def mbsync(folder, name, port):
    """Syncs the person's folders with the server at that port; the bytes that came from there."""
    near = folder / name
    tap = Tap(target=port)
    near.mkdir(exist_ok=True)
    (near / "rc").write_text(f"""IMAPAccount server
Host 127.0.0.1
Port {tap.port}
User {name}@{DOMAIN}
Pass "secret of {name}"
SSLType None
AuthMechs LOGIN

IMAPStore far
Account server

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX Sent Projekte*
Create Near
SyncState *
""")
    sh(near, "mbsync", "-c", near / "rc", "-a", "-q", timeout=120)
    tap.close()
    return sum(talk.bytes["s"] for talk in tap.talks)


def local(folder, name):
    return sorted(path.relative_to(folder) for path in (folder / name).rglob("*") if path.parent.name in ("cur", "new"))


def test_mbsync_downloads_nothing_again(shared_demo, folder, request):
    need("mbsync")
    with DovecotServer(folder / "dovecot") as server:
        server.masters["mover"] = "{PLAIN}master-secret"
        people = [add_person(server, n) for n in range(20 if request.config.getoption("--all") else 2)]
        for name, _ in people:
            assert mbsync(folder, name, server.port) > 12 * LARGE
        take_over(shared_demo, server, folder)
        before = {name: local(folder, name) for name, _ in people}
        for name, _ in people:
            assert mbsync(folder, name, shared_demo.port(IMAP)) < 10_000
            assert local(folder, name) == before[name]
        # One message more is one message more.
        people[0][1].put(large(99), "", "", 1_000_000_099)
        wait_until(lambda: move(shared_demo, server, people[0][0]) == 1)  # Dovecot looks again a second later
        assert LARGE < mbsync(folder, people[0][0], shared_demo.port(IMAP)) < 2 * LARGE
        assert len(local(folder, people[0][0])) == len(before[people[0][0]]) + 1


class Program(Session):
    """A program that keeps a mailbox with QRESYNC (RFC 7162) and remembers what it saw: {UID: flags}, UIDVALIDITY and modseq."""

    def __init__(self):
        self.seen, self.validity, self.modseq = {}, 0, 0

    def sync(self, port, user, password):
        """Comes back to the INBOX; how many bytes that took."""
        tap = Tap(target=port)
        self.socket = socket.create_connection(("127.0.0.1", tap.port), timeout=60)
        self.file, self.write = self.socket.makefile("rb"), self.socket.sendall
        self.begin()
        self.ok(f'LOGIN {user} "{password}"')
        self.ok("ENABLE QRESYNC")
        lines = self.ok("SELECT INBOX" + f" (QRESYNC ({self.validity} {self.modseq}))" * (self.modseq > 0))
        validity = int(re.search(r"UIDVALIDITY (\d+)", "\n".join(lines))[1])
        if validity != self.validity:
            self.seen, self.validity = {}, validity
            lines += self.ok("FETCH 1:* (UID FLAGS BODY.PEEK[])")
        for line in lines:
            self.take(line)
        self.ok("LOGOUT")
        self.file.close()
        self.socket.close()
        tap.close()
        return sum(talk.bytes["s"] for talk in tap.talks)

    def take(self, line):
        if found := re.search(r"HIGHESTMODSEQ (\d+)", line):
            self.modseq = int(found[1])
        elif found := re.match(r"\* VANISHED \(EARLIER\) (.*)", line):
            for first, last in ((part.partition(":")[0], part.partition(":")[2]) for part in found[1].split(",")):
                for uid in [uid for uid in self.seen if int(first) <= uid <= int(last or first)]:
                    del self.seen[uid]
        elif found := re.match(r"\* \d+ FETCH \(", line):
            flags = frozenset(re.search(r"FLAGS \((.*?)\)", line)[1].split()) - {"\\Recent"}
            self.seen[int(re.search(r"UID (\d+)", line)[1])] = flags


def test_a_program_that_knows_modseqs_misses_nothing(shared_demo, folder):
    """Those of the old server were far above what this house would begin with; between its last visit there and its first one here a message
    came, one was read, and one went."""
    with DovecotServer(folder / "dovecot") as server:
        server.masters["mover"] = "{PLAIN}master-secret"
        name, mail = add_person(server, 40)
        user, password = f"{name}@{DOMAIN}", f"secret of {name}"
        program, other = Program(), Program()
        with Visit(server.port, user, password) as box:
            box.ok("ENABLE CONDSTORE")
            box.ok("SELECT INBOX")
            for n in range(60):
                box.ok(f"UID STORE 2 {'+-'[n % 2]}FLAGS (Work)")
            assert program.sync(server.port, user, password) > 4 * LARGE
            assert program.modseq > 60 and len(program.seen) == 4
            mail.put(large(50), "", "", 1_000_000_050)
            box.ok("UID STORE 2 +FLAGS (\\Answered)")
            box.ok("UID STORE 3 +FLAGS (\\Deleted)")
            box.ok("UID EXPUNGE 3")
        take_over(shared_demo, server, folder)
    there = dict(program.seen)
    assert program.sync(shared_demo.port(IMAP), user, password) < 3000
    other.sync(shared_demo.port(IMAP), user, password)
    assert program.seen == other.seen and set(program.seen) == set(there) - {3} | {5} and "\\Answered" in program.seen[2]
    # From here on it hears of what changes here.
    with Visit(shared_demo.port(IMAP), user, password) as box:
        box.ok("SELECT INBOX")
        box.ok("UID STORE 1 +FLAGS (\\Flagged Here)")
        box.ok("UID STORE 4 +FLAGS (\\Deleted)")
        box.ok("UID EXPUNGE 4")
    assert program.sync(shared_demo.port(IMAP), user, password) < 3000
    assert "Here" in program.seen[1] and 4 not in program.seen


class Visit(Session):
    def __init__(self, port, user, password):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file, self.write = self.socket.makefile("rb"), self.socket.sendall
        self.begin()
        self.ok(f'LOGIN {user} "{password}"')

    def close(self):
        self.file.close()
        self.socket.close()
