"""Moving in from Dovecot and out again: message by message, with flags, dates and UIDs, whatever is cut off in the middle."""
import email.utils
import imaplib
import json
import re
import socket
import subprocess
import threading

import pytest

from harness import dovecot_server
from harness.dovecot_server import DovecotServer, Maildirs, crypt
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


# ---- a move day ----

SCHEMES = {"SHA512-CRYPT": crypt.METHOD_SHA512, "SHA256-CRYPT": crypt.METHOD_SHA256, "MD5-CRYPT": crypt.METHOD_MD5}


def hashed(password, n):
    scheme, method = list(SCHEMES.items())[n % len(SCHEMES)]
    return f"{{{scheme}}}{crypt.crypt(password, crypt.mksalt(method))}"


def test_move_day(demo, folder, request):
    """Postfix and Dovecot with twenty accounts become this house: the same names, passwords, aliases and UIDs; mail that came there after the
    first pass comes with the last. (Mail of all of them with --all.)"""
    names, everything = [f"user{n:02}" for n in range(20)], request.config.getoption("--all")
    with DovecotServer(folder / "dovecot") as server:
        server.masters["mover"] = "{PLAIN}master-secret"
        mails = {}
        with_mail = names if everything else names[:4]
        for n, name in enumerate(names):
            server.add_user(f"{name}@move.test", hashed(f"secret of {name}", n))
            if name in with_mail:
                mails[name] = fill(server, 6, f"{name}@move.test")
        (folder / "passwd").write_text("# users\n" + server.passwd_file() + "locked@move.test:*:::::\nbroken\n:x\n")
        (folder / "domains").write_text("move.test OK\n# old\nalso.test   OK\n")
        (folder / "virtual").write_text("sales@move.test  user01@move.test,\n   User02@move.test\nuser03@move.test user03@move.test, user04@move.test\n"
                                        "user05@move.test user05@move.test\n@old.test @move.test\nlist@move.test :include:/etc/list\n"
                                        "@also.test user06@move.test\nuser07@move.test away@elsewhere.test\n")
        assert "added" in demo.run("import", "domains", folder / "domains")
        out = demo.run("import", "accounts", folder / "passwd", check=False)
        assert out.splitlines()[-1] == "21 taken over, 0 there already, 2 refused."
        rows = [json.loads(line) for line in demo.run("import", "aliases", folder / "virtual", "--json", check=False).splitlines()]
        assert [row["result"] for row in rows] == ["added", "is forwarded", "leads to itself", "stands for that domain", "refused", "added",
                                                   "is forwarded"]

        def move(some):
            moved = 0
            for name in some:
                done = subprocess.run([BINARY, *arguments(demo, server, "--master", "mover", "--connections", "1", "--json",
                                                          account=f"{name}@move.test")],
                                      input="master-secret\n", capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, (done.stdout, done.stderr)
                moved += sum(row["moved"] for row in brought(done.stdout)[0].values())
            return moved

        assert move(with_mail) == 6 * len(with_mail)
        mails["user00"].put(message(77))
        assert move(with_mail[:2]) == 1
        for name in (*with_mail[:2], names[-1]):
            with imaplib.IMAP4("127.0.0.1", server.port) as theirs, demo.imap(f"{name}@move.test", f"secret of {name}") as ours:
                theirs.login(f"{name}@move.test", f"secret of {name}")
                there, here = contents(theirs), contents(ours)
                assert name not in with_mail or {folder: here[folder] for folder in there} == there
    # The MX has been switched: everything arrives here.
    for address in ("sales@move.test", "user09@old.test", "anybody@also.test"):
        demo.send("s@elsewhere.test", address, f"Subject: to {address}\r\n\r\nhi\r\n".encode())
    for name, address in (("user01", "sales@move.test"), ("user02", "sales@move.test"), ("user09", "user09@old.test"),
                          ("user06", "anybody@also.test")):
        with demo.imap(f"{name}@move.test", f"secret of {name}") as box:
            wait_until(lambda: box.select("INBOX", readonly=True)[0] == "OK" and
                       box.search(None, "SUBJECT", f'"to {address}"')[1][0] != b"", 60)


# ---- servers that lie ----

class Liar:
    """An IMAP server that says what it is told to: `answers` maps the beginning of a command to a function from its words to bytes,
    or to None, which ends the connection."""

    def __init__(self, answers, greeting=b"* PREAUTH ready\r\n"):
        self.answers, self.greeting, self.heard = answers, greeting, ""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"imap://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            self.talk(client)
        except OSError:
            pass  # the client has had enough

    def talk(self, client):
        with client, client.makefile("rb") as lines:
            client.sendall(self.greeting)
            for line in lines:
                while literal := re.search(rb"\{(\d+)\}\r\n\Z", line):
                    client.sendall(b"+ go on\r\n")
                    line += lines.read(int(literal.group(1))) + lines.readline()
                self.heard += line.decode("latin-1")
                tag, _, command = line.decode("latin-1").strip().partition(" ")
                for beginning, answer in self.answers.items():
                    if command.startswith(beginning):
                        said = answer(command)
                        if said is None:
                            return
                        client.sendall(said)
                        if said.endswith(b"short"):
                            return
                        break
                client.sendall(f"{tag} OK done\r\n".encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def row(seq, uid, flags="", date="17-Jul-1996 02:44:25 -0700", size=20):
    return f'* {seq} FETCH (UID {uid} FLAGS ({flags}) INTERNALDATE "{date}" RFC822.SIZE {size})\r\n'.encode()


@pytest.mark.sanitized
def test_a_server_that_lies(shared_demo):
    """UIDs that come twice or go back, sizes and dates that are none, bodies that are missing, and a message at which the connection always
    ends: everything else arrives, once, and what does not is told."""
    listed = (row(1, 5) + row(2, 6, "\\Seen") + row(3, 6) + row(4, 4, date="99-Xyz-0000 00:00:00 +0000") + row(5, 9, size=4294967295) +
              row(6, 10) + row(7, 11, "\\Seen $Fine b\\ad") + b"* 400 FETCH (UID 400 FLAGS ())\r\n* 0 FETCH (UID 3 FLAGS ())\r\n")
    text = {5: b"Subject: five\r\n\r\nx", 6: b"Subject: six\r\n\r\nx", 9: b"Subject: nine\r\n\r\nx", 11: b"Subject: eleven\r\n\r\nx"}
    by_place = {3: b"Subject: again\r\n\r\nx", 4: b"Subject: back\r\n\r\nx"}

    def uid_fetch(command):
        out = b""
        for uid in map(int, command.split()[2].split(",")):
            if uid == 10:
                return None  # as far as it came, and then nothing
            out += b"* 1 FETCH (UID %d BODY[] {%d}\r\n%s)\r\n" % (uid, len(text[uid]), text[uid])
        return out

    def fetch(command):
        if "INTERNALDATE" in command:
            return listed
        seq = int(command.split()[1])
        return b"* %d FETCH (BODY[] {%d}\r\n%s)\r\n" % (seq, len(by_place[seq]), by_place[seq])

    answers = {"LIST": lambda c: b'* LIST () "." INBOX\r\n* LIST () "." "odd \x01\xff name"\r\n* LIST () "." "&bad"\r\n* LIST (\\Noselect) "." x\r\n',
               "EXAMINE": lambda c: b"* 7 EXISTS\r\n* OK [UIDVALIDITY 3] x\r\n* OK [UIDNEXT 12] x\r\n" if "INBOX" in c else b"* 0 EXISTS\r\n",
               "UID FETCH": uid_fetch, "FETCH": fetch}
    with Liar(answers) as server:
        rows, damage = bring(shared_demo, server, "--connections", "1", code=65)
        assert [row["message"] for row in damage] == ["UID 10"]
        assert rows["INBOX"]["moved"] == 6 and rows["INBOX"]["uids_kept"]
        rows, damage = bring(shared_demo, server, "--connections", "1", code=65)
        assert rows["INBOX"]["moved"] == 0 and len(damage) == 1
    found = looked_at(shared_demo, "alice")["INBOX"]
    assert found[0] == 3
    subjects = {uid: m[2].split(b"\r\n")[0] for uid, m in found[1].items()}
    assert sorted(subjects.values()) == [b"Subject: " + word for word in (b"again", b"back", b"eleven", b"five", b"nine", b"six")]
    assert {uid: subjects[uid] for uid in (5, 6)} == {5: b"Subject: five", 6: b"Subject: six"}
    assert all(m[0] == {b"\\Seen", b"$Fine"} for m in found[1].values() if b"eleven" in m[2])


@pytest.mark.soak
def test_a_folder_of_200000(shared_demo):
    """All of it comes, from a server that lets go in the middle now and then."""
    count, cuts = 200_000, []
    text = b"Subject: %d\r\n\r\nx"

    def listed(command):
        first, last = map(int, re.match(r"FETCH (\d+):(\d+) ", command).groups())
        return b"".join(row(n, n, "\\Seen") for n in range(first, last + 1))

    def uid_fetch(command):
        uids = list(map(int, command.split()[2].split(",")))
        if len(uids) > 1 and uids[0] // 50_000 > len(cuts):
            cuts.append(uids[0])
            return None
        return b"".join(b"* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n" % (n, n, len(text % n), text % n)
                        for n in uids)

    answers = {"LIST": lambda c: b'* LIST () "/" Many\r\n', "UID FETCH": uid_fetch, "FETCH": listed,
               "EXAMINE": lambda c: b"* %d EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n* OK [UIDNEXT %d] x\r\n" % (count, count + 1)}
    with Liar(answers) as server:
        done = subprocess.run([BINARY, *arguments(shared_demo, server, "--json")], input="secret\n",
                              capture_output=True, text=True, timeout=3000)
        assert done.returncode == 0, done.stderr
        rows, damage = brought(done.stdout)
    assert not damage and rows["Many"]["messages"] == rows["Many"]["moved"] + rows["Many"]["known"] == count and rows["Many"]["uids_kept"]
    with shared_demo.imap("alice") as box:
        assert box.status("Many", "(MESSAGES UIDNEXT)")[1][0] == b"Many (MESSAGES %d UIDNEXT %d)" % (count, count + 1)
        box.select("Many", readonly=True)
        assert box.uid("FETCH", str(count), "(BODY.PEEK[])")[1][0][1] == text % count


BODIES_THAT_LIE = [b"* 1 FETCH (UID 5 BODY[] {99999999999999999999}\r\n", b"* 1 FETCH (UID 5 BODY[] {1000000}\r\nshort",
                   b"* 1 FETCH (UID 5 BODY[] {3}\r\ntoo long)\r\n", b"* BYE [UNAVAILABLE] too busy\r\n", b"\0" * 3_000_000,
                   b"(" * 100_000 + b"\r\n"]


@pytest.mark.sanitized
def test_bodies_that_lie(shared_demo, request):
    """The one message that such an answer is about is told, and the program ends. (Each costs pauses: half of them, all with --all.)"""
    for answer in BODIES_THAT_LIE[::1 if request.config.getoption("--all") else 2]:
        served = []

        def uid_fetch(command):
            served.append(1)
            return answer if len(served) % 2 else None

        answers = {"LIST": lambda c: b'* LIST () "/" INBOX\r\n', "UID FETCH": uid_fetch, "FETCH": lambda c: row(1, 5),
                   "EXAMINE": lambda c: b"* 1 EXISTS\r\n* OK [UIDVALIDITY 4] x\r\n* OK [UIDNEXT 6] x\r\n"}
        with Liar(answers) as server:
            rows, damage = bring(shared_demo, server, "--connections", "1", code=65)
            assert [row["message"] for row in damage] == ["UID 5"] and rows["INBOX"]["moved"] == 0


def test_what_cannot_be(shared_demo, folder):
    """Each refusal says why and what to do, and nothing is half done."""
    def refused(code, *arguments, input="secret\n"):
        done = subprocess.run([BINARY, *map(str, arguments), *shared_demo.where()], input=input, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    (folder / "Maildir" / "cur").mkdir(parents=True)
    (folder / "Maildir" / "cur" / "1.a:2,S").write_bytes(b"Subject: one\n\nx\n")
    (folder / "Maildir" / "cur" / "2.b").symlink_to("/etc/passwd")
    (folder / "Maildir" / "cur" / "3.c").write_bytes(b"")
    (folder / "Maildir" / "cur" / "4.d").mkdir()
    # What other programs leave in a Maildir is none of its messages.
    for name in ("dovecot.index", "dovecot-uidlist", ".DS_Store", "new/.hidden", "tmp/half", ".Sent/maildirfolder", ".Sent/sieve"):
        path = folder / "Maildir" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x00\xff nothing of mine\n")
    assert "no account nobody@example.test" in refused(77, "import", "maildir", folder / "Maildir", "nobody@example.test")
    assert "cannot be read" in refused(66, "import", "maildir", folder / "nowhere", "bob@example.test")
    (folder / "empty").mkdir()
    assert "no Maildir there" in refused(77, "import", "maildir", folder / "empty", "bob@example.test")
    assert "no mbox file there" in refused(77, "import", "mbox", folder / "empty", "bob@example.test")
    assert "write imaps://HOST" in refused(64, "import", "imap", "http://127.0.0.1", "bob@example.test")
    assert "cannot be reached" in refused(75, "import", "imap", "imap://127.0.0.1:1", "bob@example.test", "--no-tls", "--password-stdin")
    out = refused(65, "import", "maildir", folder / "Maildir", "bob@example.test")
    assert "cur/3.c: it is empty" in out and "INBOX: 2 messages, 1 brought here" in out
    assert [m[2] for m in looked_at(shared_demo, "bob")["INBOX"][1].values()] == [b"Subject: one\r\n\r\nx\r\n"]
    with DovecotServer(folder / "dovecot") as server:
        server.add_user(ALICE, "{PLAIN}secret")
        Maildirs(server, ALICE).put(b"Subject: large\n\n" + b"x" * 76 + b"\n" * 200_000)
        assert "AUTHENTICATIONFAILED" in refused(77, *arguments(shared_demo, server)[:-2], input="wrong\n")
        shared_demo.run("account", "quota", "admin@example.test", "100000")
        out = refused(73, *arguments(shared_demo, server, "--user", ALICE, account="admin@example.test")[:-2])
        assert "no room for more in admin@example.test" in out
