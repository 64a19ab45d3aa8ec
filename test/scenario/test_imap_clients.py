"""More programs that keep or change mail over IMAP, from Debian, both ways: no flag is lost, nothing is doubled. And a client of our own that
comes back with QRESYNC after every break."""
import os
import random
import shutil
import ssl
import subprocess

import pytest

pexpect = pytest.importorskip("pexpect")

from harness.house import IMAP, IMAPS, PASSWORD
from harness.imap import Line, fetched
from harness.imap_mirror import Mirror
from harness.net import wait_until


def need(name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def sh(folder, *args, timeout=300, **env):
    done = subprocess.run([str(a) for a in args], capture_output=True, timeout=timeout, cwd=folder, stdin=subprocess.DEVNULL,
                          env={**os.environ, "HOME": str(folder), **env})
    assert done.returncode == 0, f"{args}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="replace")


def certificate(house, folder):
    """The house's own, as a file."""
    (folder / "cert.pem").write_text(ssl.get_server_certificate((house.address, house.port(IMAPS))))
    return folder / "cert.pem"


def mail(i, words=""):
    return f"From: list@elsewhere.test\nTo: alice@example.test\nMessage-ID: <m{i}@elsewhere.test>\nSubject: number {i}\n\nbody {i} {words}\n"


def fill(box, name, n):
    for i in range(n):
        box.append(name, mail(i))


def flags_by_subject(box, name):
    """{subject: flags} of a mailbox, without \\Recent."""
    box.ok(f"SELECT {name}")
    out = {}
    for row in fetched(box.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")).values():
        (subject,) = [v for k, v in row.items() if k.startswith("BODY[")]
        subject = subject.decode().split(": ", 1)[1].strip()
        assert subject not in out, f"{subject} is there twice"
        out[subject] = set(row["FLAGS"]) - {"\\Recent"}
    return out


MAILDIR = {"F": "\\Flagged", "S": "\\Seen", "R": "\\Answered", "D": "\\Draft", "T": "\\Deleted"}


def maildir(folder):
    """{subject: (path, flags)} of a Maildir."""
    out = {}
    for path in list((folder / "cur").iterdir()) + list((folder / "new").iterdir()):
        subject = next(line for line in path.read_text().splitlines() if line.startswith("Subject: "))[9:]
        assert subject not in out, f"{subject} is there twice"
        out[subject] = (path, {MAILDIR[c] for c in path.name.partition(":2,")[2] if c in MAILDIR})
    return out


def test_offlineimap_two_ways(shared_demo, folder):
    need("offlineimap")
    box = Line(shared_demo, "alice")
    fill(box, "INBOX", 60)
    box.ok("SELECT INBOX")
    box.ok("STORE 1:10 +FLAGS (\\Seen)")
    box.ok("STORE 5:15 +FLAGS (\\Flagged)")
    # (The shared_demo's certificate is of no name that 127.0.0.1 could have.)
    fingerprint = sh(folder, "openssl", "x509", "-in", certificate(shared_demo, folder), "-noout", "-fingerprint", "-sha1")
    fingerprint = fingerprint.split("=")[1].strip().replace(":", "").lower()
    (folder / "offlineimaprc").write_text(f"""[general]
accounts = house
metadata = {folder}/state
ui = basic
[Account house]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {folder}/Mail
[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {shared_demo.port(IMAPS)}
remoteuser = alice
remotepass = {PASSWORD}
ssl = yes
cert_fingerprint = {fingerprint}
ssl_version = tls1_2
tls_level = tls_compat
usecompression = yes
folderfilter = lambda name: name in ("INBOX", "Projects", "Archive")
""")
    sync = ("offlineimap", "-o", "-c", folder / "offlineimaprc")
    sh(folder, *sync)
    near = maildir(folder / "Mail" / "INBOX")
    assert {s: f for s, (_, f) in near.items()} == flags_by_subject(box, "INBOX") and len(near) == 60
    # Here: answered and deleted ones, new ones, a new folder. There: flags taken back, moved ones.
    for i in range(20, 30):
        path, _ = near[f"number {i}"]
        path.rename(folder / "Mail" / "INBOX" / "cur" / (path.name.partition(":2,")[0] + ":2,RS"))
    for i in range(30, 35):
        near[f"number {i}"][0].unlink()
    for name in ("cur", "new", "tmp"):
        (folder / "Mail" / "Projects" / name).mkdir(parents=True)
    for i in range(5):
        (folder / "Mail" / "INBOX" / "new" / f"9{i}.local").write_text(mail(100 + i))
        (folder / "Mail" / "Projects" / "cur" / f"8{i}.local:2,F").write_text(mail(200 + i))
    box.ok("SELECT INBOX")
    box.ok("UID STORE 1:5 -FLAGS (\\Seen)")
    box.ok("UID STORE 41:45 +FLAGS (\\Flagged $Work)")
    box.ok("UID MOVE 51:55 Archive")
    for _ in range(2):
        sh(folder, *sync)
    there = flags_by_subject(box, "INBOX")
    assert {s: f for s, (_, f) in maildir(folder / "Mail" / "INBOX").items()} == {s: f - {"$Work"} for s, f in there.items()}
    assert len(there) == 60 - 5 + 5 - 5
    assert all(there[f"number {i}"] == {"\\Answered", "\\Seen"} for i in range(20, 30))
    assert all("\\Seen" not in there[f"number {i}"] for i in range(5)) and all("$Work" in there[f"number {i}"] for i in range(40, 45))
    assert flags_by_subject(box, "Projects") == {f"number {200 + i}": {"\\Flagged"} for i in range(5)}
    assert set(maildir(folder / "Mail" / "Archive")) == {f"number {i}" for i in range(50, 55)}
    box.close()


def test_imapfilter(shared_demo, folder):
    need("imapfilter")
    box = Line(shared_demo, "bob")
    fill(box, "INBOX", 40)
    box.ok("CREATE Lists")
    box.ok("SELECT INBOX")
    box.ok("STORE 1:20 +FLAGS (\\Seen)")
    box.ok("STORE 3 +FLAGS ($Kept)")
    (folder / "config.lua").write_text(f"""options.timeout = 60
options.certificates = false
options.hostnames = false
options.starttls = true
far = IMAP {{ server = '127.0.0.1', port = {shared_demo.port(IMAPS)}, username = 'bob', password = '{PASSWORD}', ssl = 'auto' }}
some = far.INBOX:contain_subject('number 1') * far.INBOX:is_seen()
some:mark_flagged()
others = far.INBOX:is_unseen() * far.INBOX:match_subject('number 2.')
others:move_messages(far.Lists)
far.INBOX:contain_body('body 39'):delete_messages()
far.INBOX:is_flagged():add_flags({{ '$Mine' }})
far.INBOX:contain_subject('number 0'):copy_messages(far.Lists)
""")
    certificate(shared_demo, folder)
    sh(folder, "imapfilter", "-c", "config.lua", SSL_CERT_FILE=f"{folder}/cert.pem")
    there, lists = flags_by_subject(box, "INBOX"), flags_by_subject(box, "Lists")
    flagged = {"number 1", *(f"number {i}" for i in range(10, 20))}
    assert {s for s, f in there.items() if "\\Flagged" in f} == flagged == {s for s, f in there.items() if "$Mine" in f}
    assert set(lists) == {"number 0", *(f"number {i}" for i in range(20, 30))}
    assert there["number 2"] == {"\\Seen", "$Kept"} and lists["number 0"] == {"\\Seen"}
    assert "number 39" not in there and len(there) == 40 - 10 - 1
    assert all("\\Seen" in there[f"number {i}"] for i in range(20)) and all("\\Seen" not in there[f"number {i}"] for i in range(30, 39))
    box.close()


def terminal(folder, *command, size=(30, 120)):
    return pexpect.spawn(command[0], [str(a) for a in command[1:]], dimensions=size, timeout=60, cwd=str(folder),
                         env={**os.environ, "HOME": str(folder), "TERM": "xterm", "XDG_CONFIG_HOME": f"{folder}/config",
                              "XDG_CACHE_HOME": f"{folder}/cache", "XDG_DATA_HOME": f"{folder}/share", "XDG_RUNTIME_DIR": str(folder)})


def test_aerc_in_a_terminal(shared_demo, folder):
    """Reads, flags, archives and deletes; hears of a new message, and of flags that somebody else sets."""
    need("aerc")
    box = Line(shared_demo, "admin")
    fill(box, "INBOX", 4)
    (folder / "config" / "aerc").mkdir(parents=True)
    (folder / "config" / "aerc" / "aerc.conf").write_text("[general]\ndefault-save-path=\n[ui]\nmouse-enabled=false\n")
    accounts = folder / "config" / "aerc" / "accounts.conf"
    accounts.write_text(f"""[house]
source = imap+insecure://admin:{PASSWORD}@127.0.0.1:{shared_demo.port(IMAP)}
outgoing = /bin/true
default = INBOX
from = Alice <admin@example.test>
copy-to = Sent
archive = Archive
""")
    accounts.chmod(0o600)
    child = terminal(folder, "aerc")
    try:
        child.expect("number 0")
        child.send(":flag<Enter>".replace("<Enter>", "\r"))  # the newest, which is number 3
        wait_until(lambda: "\\Flagged" in flags_by_subject(box, "INBOX")["number 3"], 60, "the flag")
        child.send(":next\r")
        child.send(":read\r")
        wait_until(lambda: "\\Seen" in flags_by_subject(box, "INBOX")["number 2"], 60, "the mark as read")
        child.send(":archive flat\r")
        wait_until(lambda: set(flags_by_subject(box, "Archive")) == {"number 2"}, 60, "the archived message")
        shared_demo.send("list@elsewhere.test", "admin@example.test", mail(7))
        child.expect("number 7")
        child.send(":select 0\r")
        child.send(":delete\r")
        wait_until(lambda: "number 7" not in flags_by_subject(box, "INBOX"), 60, "the deletion")
        child.send(":quit -f\r")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    there = flags_by_subject(box, "INBOX")
    assert set(there) == {"number 0", "number 1", "number 3"} and there["number 3"] >= {"\\Flagged"}
    assert "\\Seen" in flags_by_subject(box, "Archive")["number 2"]
    box.close()


def test_neomutt_comes_back_with_its_cache(shared_demo, folder):
    """With a header cache and QRESYNC: what changed while it was away is there at once, and what it changes arrives."""
    need("neomutt")
    shared_demo.run("account", "add", "nina@example.test", "--password-stdin", input=PASSWORD + "\n")
    box = Line(shared_demo, "nina@example.test")
    fill(box, "INBOX", 30)
    (folder / "muttrc").write_text(f"""set folder = "imaps://nina@127.0.0.1:{shared_demo.port(IMAPS)}/"
set spoolfile = "+INBOX"
set imap_user = "nina"
set imap_pass = "{PASSWORD}"
set imap_qresync = yes
set imap_condstore = yes
set header_cache = "{folder}/headers"
set ssl_verify_host = no
set ssl_verify_dates = no
set certificate_file = "{folder}/certs"
set delete = yes
set quit = yes
set sleep_time = 0
set wait_key = no
set sort = mailbox-order
set mark_old = no
set index_format = "%Z <%s>"
set crypt_use_gpgme = no
set imap_idle = no
""")

    def session(*keys):
        child = terminal(folder, "neomutt", "-n", "-F", folder / "muttrc", size=(60, 120))
        try:
            if child.expect(["\\(a\\)ccept always|\\(o\\)nce", "<number \\d+>"]) == 0:
                child.send("a")
                child.expect("<number \\d+>")
            for key in keys:
                child.send(key)
            child.send("q")
            child.expect(pexpect.EOF)
            return child.before.decode(errors="replace")
        finally:
            child.close(force=True)

    session("5\r", "\r", "i", "F")  # goes to one, opens it, comes back, flags it
    # (It need not be the fifth that it shows as 5.)
    first = flags_by_subject(box, "INBOX")
    (flagged,) = [s for s, f in first.items() if "\\Flagged" in f]
    assert "\\Seen" in first[flagged]
    box.ok("SELECT INBOX")
    box.ok("UID STORE 10:15 +FLAGS (\\Flagged \\Seen)")
    box.ok("UID STORE 20 +FLAGS (\\Deleted)")
    box.ok("UID EXPUNGE 20")
    box.append("INBOX", mail(50))
    before = flags_by_subject(box, "INBOX")
    box.ok("UNSELECT")
    session("=", "d")  # deletes the first
    after = flags_by_subject(box, "INBOX")
    assert set(before) - set(after) == {"number 0"} and len(after) == 29
    assert {s: f for s, f in after.items()} == {s: f for s, f in before.items() if s != "number 0"}
    box.close()


@pytest.mark.sanitized
def test_a_client_that_comes_back_with_qresync(shared_demo):
    """It is away again and again while others change the mailbox in every way; each time it knows all of it from what is told at
    SELECT, and what it had before."""
    rng = random.Random(8437)
    other = Line(shared_demo, "bob")
    other.ok("CREATE Away")
    other.ok("CREATE Elsewhere")
    fill(other, "Away", 40)
    mirror = Mirror(shared_demo, "bob", "Away", {"QRESYNC"})
    other.ok("SELECT Away")

    def change():
        there = [int(u) for u in next((line for line in other.ok("UID SEARCH ALL") if line.startswith("* SEARCH")), "").split()[2:]]
        some = ",".join(map(str, rng.sample(there, min(len(there), rng.randint(1, 6)))))
        kind = rng.randrange(6)
        if kind == 0 or not there:
            fill(other, "Away", rng.randint(1, 5))
        elif kind == 1:
            other.ok(f"UID STORE {some} +FLAGS (\\Deleted)")
            other.ok(f"UID EXPUNGE {some}")
        elif kind == 2:
            other.ok(f"UID MOVE {some} Elsewhere")
        elif kind == 3:
            other.ok(f"UID COPY {some} Away")
        else:
            other.ok(f"UID STORE {some} {rng.choice('+-')}FLAGS ({rng.choice(['$One', chr(92) + 'Seen', chr(92) + 'Flagged $Two'])})")

    for turn in range(40):
        mirror.settle()
        mirror.drop()
        for _ in range(rng.randint(0, 6)):
            change()
        mirror.connect()
        # Nothing more is asked for: only what it had and what it was told.
        rows = fetched(other.ok("UID FETCH 1:* (UID FLAGS MODSEQ)")).values()
        truth = {int(row["UID"]): (frozenset(row["FLAGS"]) - {"\\Recent"}, int(row["MODSEQ"][0])) for row in rows}
        assert {u: (mirror.flags[u], mirror.modseqs[u]) for u in mirror.view} == truth, f"turn {turn}"
        if mirror.view and turn % 3 == 0:
            mirror.do(f"UID STORE {rng.choice(mirror.view)} +FLAGS ($Mine)")
    mirror.close()
    other.close()
