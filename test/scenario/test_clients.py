"""The programs that people read and send mail with, from Debian, against a running house."""
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from harness.house import IMAP, IMAPS, PASSWORD, POP3, POP3S, SMTP, SUBMISSION, SUBMISSIONS, Demo
from harness.net import wait_until


def need(name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def sh(folder, *args, input=None, check=True, timeout=120, **env):
    done = subprocess.run([str(a) for a in args], input=input, capture_output=True, timeout=timeout, cwd=folder,
                          env={**os.environ, "HOME": str(folder), **env})
    if check:
        assert done.returncode == 0, f"{args}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
    return done


def fill(house, user, n, body=""):
    with house.smtp() as s:
        for i in range(n):
            s.sendmail("list@elsewhere.test", [f"{user}@example.test"],
                       f"From: list@elsewhere.test\r\nTo: {user}@example.test\r\nMessage-ID: <m{i}.{user}@elsewhere.test>\r\n"
                       f"Subject: number {i}\r\n\r\nbody {i} {body}\r\n")
    wait_until(lambda: int(house.imap(user).select(readonly=True)[1][0]) >= n, 60)


def test_curl(demo, folder):
    need("curl")
    (folder / "m.eml").write_bytes(b"From: s@elsewhere.test\r\nSubject: by curl\r\n\r\nhello\r\n")
    sh(folder, "curl", "-sS", "--ssl-reqd", "-k", f"smtp://127.0.0.1:{demo.port(SMTP)}", "--mail-from", "s@elsewhere.test",
       "--mail-rcpt", "alice@example.test", "-T", "m.eml")
    sh(folder, "curl", "-sS", "-k", f"smtps://127.0.0.1:{demo.port(SUBMISSIONS)}", "-u", f"bob:{PASSWORD}", "--mail-from",
       "bob@example.test", "--mail-rcpt", "alice@example.test", "-T", "-", input=b"From: bob@example.test\r\nSubject: two\r\n\r\nx\r\n")
    wait_until(lambda: len(demo.inbox("alice")) == 2)
    out = sh(folder, "curl", "-sS", "-k", f"imaps://127.0.0.1:{demo.port(IMAPS)}/INBOX;UID=1", "-u", f"alice:{PASSWORD}").stdout
    assert b"Subject: by curl" in out
    out = sh(folder, "curl", "-sS", "-k", "--ssl-reqd", f"imap://127.0.0.1:{demo.port(IMAP)}/INBOX?SUBJECT%20two", "-u", f"alice:{PASSWORD}").stdout
    assert out.strip() == b"* SEARCH 2"
    out = sh(folder, "curl", "-sS", "-k", f"pop3s://127.0.0.1:{demo.port(POP3S)}/2", "-u", f"alice:{PASSWORD}").stdout
    assert b"Subject: two" in out
    out = sh(folder, "curl", "-sS", "-k", "--ssl-reqd", f"pop3://127.0.0.1:{demo.port(POP3)}/", "-u", f"alice:{PASSWORD}").stdout
    assert out.split()[::2] == [b"1", b"2"]


def test_swaks(demo, folder):
    need("swaks")
    for args in (["--tls"], [], ["--tls", "--pipeline"]):
        sh(folder, "swaks", "--server", "127.0.0.1", "--port", demo.port(SMTP), "--from", "s@elsewhere.test", "--to", "alice@example.test", *args)
    for mechanism in ("PLAIN", "LOGIN"):
        sh(folder, "swaks", "--server", "127.0.0.1", "--port", demo.port(SUBMISSION), "--tls", "--auth", mechanism, "--auth-user", "bob",
           "--auth-password", PASSWORD, "--from", "bob@example.test", "--to", "alice@example.test")
    wait_until(lambda: len(demo.inbox("alice")) == 5)
    assert sh(folder, "swaks", "--server", "127.0.0.1", "--port", demo.port(SUBMISSION), "--tls", "--auth", "PLAIN", "--auth-user", "bob",
              "--auth-password", "wrong", "--quit-after", "AUTH", check=False).returncode == 28


def test_msmtp_and_mpop(demo, folder):
    need("msmtp"), need("mpop")
    (folder / "msmtprc").write_text(
        f"defaults\ntls on\ntls_certcheck off\nauth on\nuser alice\npassword {PASSWORD}\nhost 127.0.0.1\nfrom alice@example.test\n"
        f"account starttls\nport {demo.port(SUBMISSION)}\naccount implicit\nport {demo.port(SUBMISSIONS)}\ntls_starttls off\n")
    (folder / "msmtprc").chmod(0o600)
    for account in ("starttls", "implicit"):
        sh(folder, "msmtp", "-C", folder / "msmtprc", "-a", account, "bob@example.test", input=f"Subject: {account}\n\nhi\n".encode())
    wait_until(lambda: len(demo.inbox("bob")) == 2)
    (folder / "mpoprc").write_text(
        f"defaults\ntls on\ntls_certcheck off\nauth plain\nuser bob\npassword {PASSWORD}\nhost 127.0.0.1\nuidls_file {folder}/uidls\nkeep on\n"
        f"delivery mbox {folder}/mbox\naccount s\nport {demo.port(POP3S)}\ntls_starttls off\naccount c\nport {demo.port(POP3)}\ntls_starttls on\n")
    (folder / "mpoprc").chmod(0o600)
    sh(folder, "mpop", "-C", folder / "mpoprc", "s")
    assert (folder / "mbox").read_text().count("\nSubject: ") == 2
    sh(folder, "mpop", "-C", folder / "mpoprc", "c")


def test_fetchmail(demo, folder):
    need("fetchmail")
    fill(demo, "bob", 5)
    for n, (proto, port, ssl) in enumerate((("imap", IMAPS, "ssl"), ("pop3", POP3S, "ssl"), ("imap", IMAP, "sslproto TLS1.2+"), ("pop3", POP3, "sslproto TLS1.2+"))):
        rc = folder / f"fetchmailrc{n}"
        rc.write_text(f'poll 127.0.0.1 protocol {proto} service {demo.port(port)} user "bob" password "{PASSWORD}" {ssl} no sslcertck '
                      f'keep fetchall mda "cat >>{folder}/got{n}"\n')
        rc.chmod(0o600)
        sh(folder, "fetchmail", "-f", rc, "-i", folder / f"ids{n}", "--pidfile", folder / f"pid{n}", "--nosyslog", FETCHMAILHOME=str(folder))
        assert (folder / f"got{n}").read_text().count("Subject: number") == 5


def mbsync_config(house, folder, user="alice"):
    (folder / "Mail").mkdir(exist_ok=True)
    rc = folder / "mbsyncrc"
    rc.write_text(f"""IMAPAccount house
Host 127.0.0.1
Port {house.port(IMAPS)}
User {user}
Pass {PASSWORD}
SSLType IMAPS
CertificateFile {folder}/cert.pem
AuthMechs PLAIN

IMAPStore far
Account house

MaildirStore near
Path {folder}/Mail/
Inbox {folder}/Mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""")
    out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{house.port(IMAPS)}"], input=b"", capture_output=True).stdout
    (folder / "cert.pem").write_bytes(out[out.index(b"-----BEGIN"):out.index(b"-----END CERTIFICATE-----") + 26])
    return rc


def test_mbsync_two_ways(demo, folder):
    """1,000 messages down, local changes up, remote changes down; no flag lost, nothing doubled."""
    need("mbsync")
    fill(demo, "alice", 1000)
    rc = mbsync_config(demo, folder)
    sync = ("mbsync", "-c", rc, "-a", "-q")
    sh(folder, *sync, timeout=300)
    inbox = folder / "Mail" / "INBOX"

    def near():
        return list((inbox / "cur").iterdir()) + list((inbox / "new").iterdir())
    assert len(near()) == 1000
    # Local: flag 100, delete 50, add 30, and a new folder with 10.
    files = sorted(near())
    for f in files[:100]:
        f.rename(inbox / "cur" / (f.name.split(":2,")[0] + ":2,FS"))
    for f in files[100:150]:
        f.unlink()
    for i in range(30):
        (inbox / "new" / f"9{i}.local").write_text(f"Message-ID: <local{i}@near>\nSubject: local {i}\n\nx\n")
    for name in ("cur", "new", "tmp"):
        (folder / "Mail" / "Projects" / name).mkdir(parents=True)
    for i in range(10):
        (folder / "Mail" / "Projects" / "new" / f"8{i}.local").write_text(f"Message-ID: <project{i}@near>\nSubject: project {i}\n\nx\n")
    # Remote: flag 100 others, delete 50 others, move 20 to Archive.
    box = demo.imap("alice")
    box.select()
    box.uid("STORE", "801:900", "+FLAGS", "(\\Answered)")
    box.uid("STORE", "901:950", "+FLAGS", "(\\Deleted)")
    box.expunge()
    kind, data = box.uid("MOVE", "951:970", "Archive")
    assert kind == "OK"
    box.logout()
    sh(folder, *sync, timeout=300)
    sh(folder, *sync, timeout=300)
    assert len(near()) == 1000 - 50 + 30 - 50 - 20
    box = demo.imap("alice")
    assert int(box.select()[1][0]) == 910
    assert len(box.uid("SEARCH", "FLAGGED", "SEEN")[1][0].split()) == 100
    assert len(box.uid("SEARCH", "ANSWERED")[1][0].split()) == 100
    assert len([f for f in near() if "R" in f.name.split(":2,")[-1]]) == 100
    assert int(box.select("Projects")[1][0]) == 10
    assert int(box.select("Archive")[1][0]) == 20
    box.logout()
    assert len(list((folder / "Mail" / "Archive" / "cur").iterdir()) + list((folder / "Mail" / "Archive" / "new").iterdir())) == 20


def test_neomutt_in_a_terminal(demo, folder):
    """Opens the Inbox, reads a message, replies to it through submission, deletes it."""
    need("neomutt")
    pexpect = pytest.importorskip("pexpect")
    fill(demo, "alice", 3, body="find me")
    (folder / "reply.sh").write_text('#!/bin/sh\nprintf "the answer\\n" >> "$1"\n')
    (folder / "reply.sh").chmod(0o755)
    (folder / "muttrc").write_text(f"""set folder = "imaps://alice@127.0.0.1:{demo.port(IMAPS)}/"
set spoolfile = "+INBOX"
set imap_user = "alice"
set imap_pass = "{PASSWORD}"
set smtp_url = "smtps://alice@127.0.0.1:{demo.port(SUBMISSIONS)}/"
set smtp_pass = "{PASSWORD}"
set from = "alice@example.test"
set realname = "Alice"
set use_from = yes
set ssl_verify_host = no
set ssl_verify_dates = no
set certificate_file = "{folder}/certs"
set editor = "{folder}/reply.sh"
set record = "+Sent"
set copy = yes
set delete = yes
set mail_check = 5
set timeout = 1
set sleep_time = 0
set wait_key = no
set quit = yes
set abort_unmodified = no
set reply_to = yes
set include = yes
set fast_reply = yes
set crypt_use_gpgme = no
""")
    child = pexpect.spawn("neomutt", ["-n", "-F", str(folder / "muttrc")], env={**os.environ, "HOME": str(folder), "TERM": "xterm"},
                          dimensions=(30, 120), timeout=30, cwd=str(folder))
    try:
        if child.expect(["accept always|\\(a\\)ccept|\\(o\\)nce", "number 2"]) == 0:
            child.send("a")
            child.expect("number 2")
        child.send("\r")
        child.expect("find me")
        child.send("i")
        child.send("r")
        child.expect("Re: number")
        child.send("y")
        child.expect("Mail sent")
        time.sleep(1)
        child.send("d")
        time.sleep(0.5)
        child.send("q")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    box = demo.imap("alice")
    wait_until(lambda: int(box.select("Sent")[1][0]) == 1, 20, "the copy in Sent")
    sent = box.fetch("1", "(BODY.PEEK[])")[1][0][1]
    assert b"the answer" in sent and b"To: list@elsewhere.test" in sent
    assert b"In-Reply-To: <m" in sent
    # (The answer itself comes back: nobody knows elsewhere.test.)
    box.select("INBOX")
    wait_until(lambda: box.noop() and len(box.search(None, "SUBJECT", "number")[1][0].split()) == 2, 20, "the deletion")
    box.logout()
