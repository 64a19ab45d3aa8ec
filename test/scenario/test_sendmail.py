"""The sendmail command as cron, mail programs, scripts and git call it: who may send as whom, and what becomes of it."""
import email
import email.policy
import os
import pwd
import subprocess

import pytest

from harness.house import BINARY, TOP, Served, remove, scratch
from harness.net import wait_until

CONFIG = """
[submitter shop]
users = daemon
senders = shop@a.test, @shop.test
messages_per_hour = 5
"""


@pytest.fixture(scope="module")
def house():
    folder = scratch("sendmail")
    with Served(folder / "s", "mail.a.test", config=CONFIG) as h:
        h.domain("a.test", "ann", "admin", "shop")
        # As a house that is a system service leaves it: passable, closed to reading.
        os.chmod(h.data, 0o711)
        yield h
    remove(folder)


def call(house, *args, text=b"", user=None, name="sendmail", env=None, check=0):
    """Runs the command, under one of its names, as a user; returns what it says."""
    program = house.folder / name
    if not program.exists():
        program.symlink_to(BINARY)
    extra = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user and os.geteuid() == 0 else {}
    if user and os.geteuid() != 0:
        pytest.skip("only root can be others")
    where = ["--dir", str(house.data)]
    done = subprocess.run([str(program), *where, *args], input=text, capture_output=True, timeout=60, cwd="/", env=env, **extra)
    assert done.returncode == check, (done.returncode, done.stdout, done.stderr)
    return (done.stdout + done.stderr).decode()


def newest(house, who, count=1):
    raw = wait_until(lambda: (lambda v: v if len(v) >= count else None)(house.inbox(f"{who}@a.test")))[-1]
    with house.imap(f"{who}@a.test") as box:
        box.select()
        box.store("1:*", "+FLAGS", "\\Deleted")
        box.expunge()
    return raw, email.message_from_bytes(raw, policy=email.policy.default)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")


@pytest.mark.sanitized
@needs_root
def test_cron(house):
    """As Debian's cron calls it; what nobody here is called goes to postmaster."""
    text = (b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@box> run-parts\nMIME-Version: 1.0\n"
            b"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n"
            b"X-Cron-Env: <SHELL=/bin/sh>\n\nh\xc3\xa9llo\n.\n..\nprogress 1\rprogress 2\nno end")
    call(house, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", text=text)
    raw, message = newest(house, "ann")  # the first account has postmaster's mail
    assert message["From"].addresses[0].addr_spec == "root@mail.a.test" and message["From"].addresses[0].display_name == "Cron Daemon"
    assert message["To"].addresses[0].addr_spec == "root@mail.a.test"
    assert message["Date"].datetime and message["Message-ID"]
    assert message.get_content() == "h\xe9llo\r\n.\r\n..\r\nprogress 1\r\nprogress 2\r\nno end\r\n"
    assert raw.startswith(b"Return-Path: <root@mail.a.test>\r\n") and b"a program of this machine" in raw
    ident = raw.split(b"\tid ")[1][:26].decode()
    assert "local user root" in house.run("trace", ident)


@needs_root
def test_recipients_from_the_header(house):
    text = b"To: Ann <ann@a.test>, admin@a.test\nCc: shop@a.test,\n  ann\nBcc: shop@a.test\nSubject: three\n\nx\n"
    call(house, "-t", "-oi", "-f", "admin@a.test", text=text)
    for who in ("ann", "admin", "shop"):
        raw, message = newest(house, who)
        assert "Bcc" not in message and message["Subject"] == "three" and raw.startswith(b"Return-Path: <admin@a.test>")
        assert [a.addr_spec for a in message["Cc"].addresses] == ["shop@a.test", "ann@mail.a.test"]
    # What is sent on goes to those alone to whom it is sent on.
    call(house, "-t", "-f", "admin@a.test", text=b"From: ann@a.test\nTo: shop@a.test\nResent-From: admin@a.test\nResent-To: ann@a.test\n\nx\n")
    newest(house, "ann")
    assert house.inbox("shop@a.test") == []
    assert "no recipients" in call(house, "-t", text=b"Subject: x\n\nx\n", check=64)
    assert "no recipients" in call(house, text=b"x", check=64)


@needs_root
def test_who_may_send_as_whom(house):
    text = b"Subject: x\n\nx\n"
    call(house, "ann@a.test", text=text, user="nobody")
    raw, message = newest(house, "ann")
    assert raw.startswith(b"Return-Path: <nobody@mail.a.test>\r\n") and message["From"].addresses[0].addr_spec == "nobody@mail.a.test"
    assert "5.7.1" in call(house, "-f", "admin@a.test", "ann@a.test", text=text, user="nobody", check=77)
    assert "field From" in call(house, "ann@a.test", text=b"From: admin@a.test\n" + text, user="nobody", check=77)
    assert "5.7.1" in call(house, "-f", "ceo@elsewhere.test", "ann@a.test", text=text, check=77), "not even root lends others' names"
    # A listed user sends as its listed senders, and at its rate.
    codes = []
    for sender in ("shop@a.test", "offers@shop.test", "ann@a.test", "x@shop.test.elsewhere.test"):
        done = subprocess.run([str(house.folder / "sendmail"), "--dir", str(house.data), "-f", sender, "ann@a.test"], input=text, user="daemon",
                              group=pwd.getpwnam("daemon").pw_gid, extra_groups=[], capture_output=True, timeout=60)
        codes.append(done.returncode)
    assert codes == [0, 0, 77, 77]
    newest(house, "ann", 2)
    for _ in range(3):
        call(house, "-f", "shop@a.test", "ann@a.test", text=text, user="daemon")
    assert "5 messages in an hour" in call(house, "-f", "shop@a.test", "ann@a.test", text=text, user="daemon", check=75)
    newest(house, "ann", 3)
    # mailq needs the control socket, which is the operator's.
    assert "only root" in call(house, name="mailq", user="nobody", check=77)
    assert call(house, name="mailq").strip() in ("none", "") and "alias" in call(house, name="newaliases")


def test_smtp_on_standard_input(house):
    said = call(house, "-bs", text=b"EHLO me\r\nMAIL FROM:<admin@a.test>\r\nRCPT TO:<ann@a.test>\r\nDATA\r\nFrom: admin@a.test\r\n\r\nx\r\n.\r\nQUIT\r\n")
    assert said.startswith("220 mail.a.test ") and "250 2.0.0 OK id=" in said and "\r\n221 " in said
    newest(house, "ann")
    assert "would be taken" in call(house, "-bv", "ann@a.test")
    assert "5.1.1" in call(house, "-bv", "nobody-here@a.test", check=67)


def test_what_programs_write(house):
    """Odd input becomes a whole message, or is refused with words."""
    call(house, "-f", "ann@a.test", "ann@a.test", text=b"From ann Mon Jan  1 00:00:00 2026\nSubject: mbox\nno header line\nBcc: is text now\n")
    raw, message = newest(house, "ann")
    assert message["Subject"] == "mbox" and message.get_content() == "no header line\r\nBcc: is text now\r\n"
    call(house, "-F", "An\u00e9 \"Q\"", "-f", "ann@a.test", "ann@a.test", text=b"just text\r\n.\r\nignored\r\n")
    raw, message = newest(house, "ann")
    assert message.get_content() == "just text\r\n" and message["From"].addresses[0].display_name == 'An\u00e9 "Q"'
    call(house, "-i", "-f", "ann@a.test", "ann@a.test", text=b"Subject: long\n\n" + b"y" * 200000 + b"\x00\xff\n" + b"z\n" * 300000)
    raw, message = newest(house, "ann")
    assert raw.count(b"y") >= 200000 and raw.count(b"\r\nz") == 300000
    call(house, "-f", "<>", "ann@a.test", text=b"From: ann@a.test\n\nx\n")
    assert newest(house, "ann")[0].startswith(b"Return-Path: <>")
    assert "no address" in call(house, "-f", "a b c@", "ann@a.test", check=65)
    assert "no option -Z" in call(house, "-Z", "ann@a.test", check=64)
    assert "by itself" in call(house, "-bd", "-q30m", check=64)
    assert "5.1.1" in call(house, "ann@a.test", "ghost@a.test", text=b"Subject: one of two\n\nx\n", check=67)
    assert newest(house, "ann")[1]["Subject"] == "one of two", "who is there gets it"
    call(house, "-N", "never", "-R", "hdrs", "-V", "id+1", "-ti", "-odb", "-O", "DeliveryMode=b", "-h", "3", "-p", "x", "-L", "tag", "-Am", "-m", "-n",
         "-U", "--", "ann@a.test", text=b"Subject: all of them\n\nx\n")
    assert newest(house, "ann")[1]["Subject"] == "all of them"


def test_no_house(folder):
    """Nothing is taken that nobody can keep: the caller is told to come again."""
    text = subprocess.run([BINARY, "sendmail", "--dir", str(folder), "ann@a.test"], input=b"x", capture_output=True)
    assert text.returncode == 75 and b"nothing was sent" in text.stderr


def peer(package, path):
    """A program of a Debian package that script/bootstrap has unpacked, and its environment."""
    program = TOP / "build-peers" / package / "root" / path
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                   "LD_LIBRARY_PATH": str(next((TOP / "build-peers/liblockfile1/root").glob("usr/lib/*"), ""))}
    if not program.exists() or b"error while loading" in subprocess.run([program, "-v"], capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=20).stderr:
        pytest.skip(f"{package} is not here")
    return program, environment


def wrapper(house):
    """What these programs are told is sendmail."""
    path = house.folder / "wrapper"
    path.write_text(f'#!/bin/sh\nexec {BINARY} sendmail --dir {house.data} "$@"\n')
    path.chmod(0o755)
    return path


def test_git_send_email(house):
    program, environment = peer("git-email", "usr/lib/git-core/git-send-email")
    repo = house.folder / "repo"
    repo.mkdir()
    environment |= {"HOME": str(house.folder), "PERL5LIB": str(TOP / "build-peers/libmailtools-perl/root/usr/share/perl5"), "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@a.test", "GIT_COMMITTER_NAME": "Ann",
                    "GIT_COMMITTER_EMAIL": "ann@a.test"}

    def run(*args):
        subprocess.run(args, cwd=repo, check=True, capture_output=True, timeout=60, env=environment)

    run("git", "init", "-q")
    (repo / "f").write_text("From here\n.\n")
    run("git", "add", "f")
    run("git", "commit", "-qm", "a change")
    run("git", "format-patch", "-1", "-q")
    run("git", "config", "sendemail.sendmailCmd", str(wrapper(house)))
    run("perl", str(program), "--from=ann@a.test", "--to=admin@a.test", "--confirm=never", "--suppress-cc=all", "--quiet", "0001-a-change.patch")
    raw, message = newest(house, "admin")
    assert message["Subject"] == "[PATCH] a change" and "+From here\r\n+.\r\n" in message.get_content()


def test_mailx(house):
    program, environment = peer("bsd-mailx", "usr/bin/bsd-mailx")
    (house.folder / ".mailrc").write_text(f"set sendmail={wrapper(house)}\n")
    environment |= {"HOME": str(house.folder), "USER": "root"}
    subprocess.run([program, "-s", "report", "-a", "X-Kind: nightly", "-c", "admin@a.test", "-b", "shop@a.test", "ann"], check=True, input=b"all is well\n.\nand more\n",
                   env=environment, timeout=60)
    for who in ("ann", "admin", "shop"):
        raw, message = newest(house, who)
        assert message["Subject"] == "report" and message["X-Kind"] == "nightly" and b"shop@" not in raw.split(b"\r\n\r\n")[0].split(b"Subject:")[1]
        assert message.get_content() == "all is well\r\n.\r\nand more\r\n"


def test_mutt(house):
    program, environment = peer("mutt", "usr/bin/mutt")
    environment |= {"HOME": str(house.folder), "USER": "root", "EMAIL": "ann@a.test"}
    attachment = house.folder / "data.bin"
    attachment.write_bytes(bytes(range(256)) * 100)
    subprocess.run([program, "-F", "/dev/null", "-e", f'set sendmail="{wrapper(house)} -oem -oi"', "-e", "set use_envelope_from=yes", "-e", "set copy=no", "-s",
                    "gr\u00fc\u00dfe", "-b", "admin@a.test", "-a", str(attachment), "--", "ann@a.test"], check=True, input="h\u00e9\n".encode(), env=environment, timeout=60)
    for who in ("ann", "admin"):
        raw, message = newest(house, who)
        assert message["Subject"] == "gr\u00fc\u00dfe" and message["Bcc"] is None and raw.startswith(b"Return-Path: <ann@a.test>")
        assert next(message.iter_attachments()).get_content() == attachment.read_bytes()
