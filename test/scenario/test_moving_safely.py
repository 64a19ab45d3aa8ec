"""Moving in from a server that is known by its certificate, or is not; and the walls around what reads its words."""
import pathlib
import re
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import hashes

from harness import dovecot_server
from harness.certificates import Authority
from harness.dovecot_server import DovecotServer, Maildirs
from harness.house import BINARY
from harness.net import wait_until
from test_moving import ALICE, Liar, contents, message, row

BOB = "bob@example.test"

needs_dovecot = pytest.mark.skipif(not dovecot_server.available(), reason="Dovecot is not unpacked: script/bootstrap test")


def bring(house, url, *more, code=0, verb=("import", "imap"), order=1, user=ALICE):
    place = [url, user][::order]
    done = subprocess.run([BINARY, *verb, *place, *map(str, more), "--password-stdin", *house.where()], input="secret\n",
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


@needs_dovecot
@pytest.mark.parametrize("implicit", (True, False), ids=("imaps", "starttls"))
def test_only_the_right_server_gets_the_password(shared_demo, folder, implicit):
    """By its authority, by its fingerprint, or not at all: and then what to do is told, and nothing has been sent."""
    authority, other = Authority(folder / "authority"), Authority(folder / "other", "Another Authority")
    leaf = authority.leaf("localhost")
    # Two servers at the same name are one to who remembers what was brought: each gets an account of its own.
    user = ALICE if implicit else BOB
    with DovecotServer(folder / "dovecot", tls=leaf, implicit=implicit) as server:
        server.add_user(user, "{PLAIN}secret")
        Maildirs(server, user).put(message(1))
        by_name, by_address = server.url.replace("127.0.0.1", "localhost"), server.url
        # An address is not in the certificate; nor does the system know who signed it.
        for url, more in ((by_name, ()), (by_address, ("--ca", authority.root.pem)), (by_name, ("--ca", other.root.pem)),
                          (by_name, ("--fingerprint", "00" * 32))):
            said = bring(shared_demo, url, *more, code=77, user=user)
            found = re.search(r"its SHA-256 fingerprint is ([0-9a-f]{64})", said)
            assert "the certificate is not accepted: " in said and "Nothing was sent" in said, said
        assert server.passwords == []
        fingerprint = found[1]
        assert fingerprint == leaf.certificate.fingerprint(hashes.SHA256()).hex()
        assert "1 brought here" in bring(shared_demo, by_name, "--ca", authority.root.pem, user=user)
        assert "1 had been before" in bring(shared_demo, by_address.replace("127.0.0.1", "localhost"), "--fingerprint",
                                            ":".join(re.findall("..", fingerprint.upper())), user=user)
        assert "1 messages" in bring(shared_demo, by_address, "--no-verify", user=user)
        assert "6 folders" in bring(shared_demo, by_name, "--ca", authority.root.pem, verb=("export", "imap"), order=-1, user=user)
        assert set(server.passwords) == {"secret"}


def test_what_is_said_of_whom_to_believe(shared_demo, folder):
    (folder / "ca.pem").write_text("nothing\n")
    assert "no fingerprint" in bring(shared_demo, "imaps://127.0.0.1:1", "--fingerprint", "abc", code=64)
    assert "give one of them" in bring(shared_demo, "imaps://127.0.0.1:1", "--fingerprint", "00" * 32, "--no-verify", code=64)
    assert "leave --fingerprint" in bring(shared_demo, "imap://127.0.0.1:1", "--fingerprint", "00" * 32, "--no-tls", code=64)
    assert "not PEM certificates" in bring(shared_demo, "imaps://127.0.0.1:1", "--ca", folder / "ca.pem", code=65)
    # One who says after STARTTLS, still in the clear, what shall count under TLS; and one who has signed in already.
    for greeting, answer, code in ((b"* OK x\r\n", b"m1 OK go on\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", 75), (b"* PREAUTH x\r\n", b"", 77)):
        with Liar({"STARTTLS": lambda c, answer=answer: answer}, greeting=greeting) as server:
            said = bring(shared_demo, server.url, code=code)
            assert "TLS" in said and server.heard.count("AUTHENTICATE") == server.heard.count("LOGIN") == 0


def family(pid):
    return [int(child) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_walls_around_what_reads_a_strangers_words(shared_demo):
    """While a server keeps it waiting: another process than the one that holds the house, without files, network and rights."""
    go = threading.Event()
    asked = threading.Event()

    def wait(command):
        asked.set()
        go.wait(60)
        return b""

    with Liar({"LIST": wait}) as server:
        process = subprocess.Popen([BINARY, "import", "imap", server.url, ALICE, "--no-tls", "--password-stdin", *shared_demo.where()],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        process.stdin.write("secret\n")
        process.stdin.close()
        assert asked.wait(60)
        (mover,) = family(process.pid)
        status = pathlib.Path(f"/proc/{mover}/status").read_text()
        assert re.search(r"^Seccomp:\s+2$", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M)
        names = [path.readlink() for path in pathlib.Path(f"/proc/{mover}/fd").iterdir()]
        assert not [name for name in names if name.is_relative_to(shared_demo.data)], names
        # Without its parent it ends, whatever the server does.
        process.kill()
        process.wait(60)
        wait_until(lambda: not pathlib.Path(f"/proc/{mover}").exists() or
                   "Z (zombie)" in pathlib.Path(f"/proc/{mover}/status").read_text())
        go.set()


@pytest.mark.sanitized
def test_names_and_numbers_of_a_hostile_server(shared_demo):
    """Names with the delimiter of here in them, of UTF-7 that is none, with marks that turn the direction of writing; a folder with more
    messages than it tells of; UIDs at the end of what there is."""
    listed = {b"a/b": "a∕b", b"a.b": "a/b", b"&2D3eAA-": None, b"&AGE-": None, b"x&IC4-y": "x?y", "ж".encode("utf-8"): None,
              b"&BDYEMgQw-": "жва", b"Sent/../../etc": "Sent∕/∕/∕etc"}

    def folders(command):
        return b"".join(b'* LIST () "." {%d}\r\n%s\r\n' % (len(raw), raw) for raw in listed)

    answers = {"LIST": folders,
               "EXAMINE": lambda c: b"* 3 EXISTS\r\n* OK [UIDVALIDITY 4294967295] x\r\n* OK [UIDNEXT 4294967295] x\r\n",
               "FETCH": lambda c: row(1, 4294967294) + row(2, 4294967295),
               "UID FETCH": lambda c: b"".join(b"* 1 FETCH (UID %d BODY[] {17}\r\nSubject: x\r\n\r\nx\r\n)\r\n" % int(uid)
                                               for uid in c.split()[2].split(","))}
    with Liar(answers) as server:
        said = bring(shared_demo, server.url, "--no-tls", "--connections", "1", code=65)
    for raw, name in listed.items():
        assert name is None or f"{name}: 3 messages" in said, (name, said)
    with shared_demo.imap("alice") as box:
        found = contents(box)
        assert len(found["x&IC4-y"][1]) == 2 and not [name for name in found if ".." in name.split("/")], found.keys()
