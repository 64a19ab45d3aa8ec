"""POP3 as its clients use it: two sessions at once, snapshots, UTF-8, SASL, and what the operator changes meanwhile."""
import poplib
import shutil
import subprocess
import time

import pytest

from harness.house import PASSWORD, POP3, POP3S
from harness.net import wait_until

pytestmark = pytest.mark.sanitized


def fill(house, user, *subjects):
    for subject in subjects:
        house.send("list@elsewhere.test", [f"{user}@example.test"], f"From: list@elsewhere.test\r\nSubject: {subject}\r\n\r\nbody\r\n".encode())
    wait_until(lambda: house.pop3(user).stat()[0] >= len(subjects))


def test_snapshots(demo):
    fill(demo, "alice", "one", "two", "three")
    a, b = demo.pop3("alice"), demo.pop3("alice")
    names = a.uidl()[1]
    assert names == b.uidl()[1] and len(names) == 3
    a.dele(1)
    a.dele(2)
    a.quit()
    # What the other session had counted stays counted; what is gone is told, and marking it harms nobody.
    assert b.stat()[0] == 3 and b.uidl()[1] == names
    with pytest.raises(poplib.error_proto, match="removed by another session"):
        b.retr(1)
    assert b.retr(3)[1][1] == b"Subject: three" or b"Subject: three" in b.retr(3)[1]
    fill(demo, "alice", "four")
    assert b.stat()[0] == 3
    b.dele(1)
    b.dele(3)
    b.quit()
    c = demo.pop3("alice")
    assert c.stat()[0] == 1 and b"Subject: four" in c.top(1, 0)[1]
    # A connection that is cut removes nothing.
    c.dele(1)
    c.close()
    assert demo.pop3("alice").stat()[0] == 1


def test_all_in_order(demo):
    """A client that takes one after the other gets what was read ahead; what another session removes meanwhile is gone."""
    texts = [f"Subject: {n}\r\n\r\n" + f".line {n}\r\n..\r\n" * (n * 37 % 300) for n in range(1, 71)]
    with demo.imap("alice") as i:
        for text in texts:
            i.append("INBOX", None, None, text.encode())
    a, b = demo.pop3("alice"), demo.pop3("alice")
    for n in range(1, 41):
        assert b"\r\n".join(a.retr(n)[1]) + b"\r\n" == texts[n - 1].encode()
    for n in (41, 42, 43, 60, 70):
        b.dele(n)
    b.quit()
    for n in range(41, 71):
        if n in (41, 42, 43, 60, 70):
            with pytest.raises(poplib.error_proto, match="removed by another session"):
                a.retr(n)
        else:
            assert b"\r\n".join(a.retr(n)[1]) + b"\r\n" == texts[n - 1].encode()
            assert b"\r\n".join(a.top(n, 1)[1]) + b"\r\n" == "".join(texts[n - 1].splitlines(True)[:3]).encode()


def test_capabilities_languages_and_utf8(demo):
    c = demo.pop3()
    capabilities = c.capa()
    assert capabilities["UTF8"] == ["USER"] and "LANG" in capabilities and capabilities["EXPIRE"] == ["NEVER"]
    assert capabilities["SASL"][:2] == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"] and "LOGIN-DELAY" not in capabilities
    assert c._longcmd("LANG")[1] == [b"en English"]
    assert c.utf8().startswith(b"+OK")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        c.user("bób"), c.pass_("wröng")
    fill(demo, "bob", "gr\u00fc\u00dfe")
    plain, modern = demo.pop3("bob"), demo.pop3()
    modern.utf8(), modern.user("bob"), modern.pass_(PASSWORD)
    assert "Subject: gr\u00fc\u00dfe".encode() in modern.retr(1)[1]
    assert b"Subject: =?utf-8?B?Z3LDvMOfZQ==?=" in plain.retr(1)[1]


def test_disabled_at_once(demo):
    c = demo.pop3("alice")
    demo.run("account", "disable", "alice@example.test")
    began = time.monotonic()
    with pytest.raises((poplib.error_proto, OSError)):
        while True:
            c.noop()
            time.sleep(0.02)
    assert time.monotonic() - began < 1
    with pytest.raises(poplib.error_proto):
        demo.pop3("alice")
    demo.run("account", "enable", "alice@example.test")
    demo.pop3("alice").quit()


def test_getmail(demo, folder):
    if shutil.which("getmail") is None:
        pytest.skip("getmail is not installed")
    fill(demo, "alice", "one", "two")
    (folder / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {demo.port(POP3)}\nusername = alice\npassword = {PASSWORD}\n"
        f"[destination]\ntype = MDA_external\npath = /usr/bin/tee\narguments = ('-a', '{folder}/mbox')\nallow_root_commands = true\n[options]\ndelete = true\n")
    done = subprocess.run(["getmail", f"--getmaildir={folder}", "--rcfile=getmailrc"], capture_output=True, timeout=60,
                          env={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "mbox").read_bytes().count(b"Subject: ") == 2
    assert demo.pop3("alice").stat()[0] == 0


def test_clients_by_scram(demo, folder):
    """mpop and fetchmail, of which the first proves the password."""
    if shutil.which("mpop") is None:
        pytest.skip("mpop is not installed")
    fill(demo, "bob", "one", "two")
    (folder / "mpoprc").write_text(
        f"defaults\ntls on\ntls_certcheck off\nuser bob\npassword {PASSWORD}\nhost 127.0.0.1\nuidls_file {folder}/uidls\nkeep on\n"
        f"delivery mbox {folder}/mbox\n" + "".join(f"account {m}\nauth {m}\nport {demo.port(POP3S)}\ntls_starttls off\n"
                                                  for m in ("scram-sha-1", "scram-sha-256", "plain", "user")))
    (folder / "mpoprc").chmod(0o600)
    for mechanism in ("scram-sha-1", "scram-sha-256", "plain", "user"):
        (folder / "uidls").unlink(missing_ok=True)
        done = subprocess.run(["mpop", "-C", folder / "mpoprc", mechanism], capture_output=True, timeout=30)
        if done.returncode == 69 and b"not supported" in done.stderr:
            continue
        assert done.returncode == 0, (mechanism, done)
    assert (folder / "mbox").read_bytes().count(b"Subject: one") >= 3
