"""The main job as a newcomer meets it: what the demo prints works, a stranger's message arrives and is read."""
import re
import subprocess

import pytest

from harness.house import IMAPS, PASSWORD, POP3S, SMTP, SUBMISSION, tls_context, Demo
from harness.net import wait_until

pytestmark = pytest.mark.sanitized

MESSAGE = b"From: Stranger <stranger@elsewhere.test>\r\nTo: alice@example.test\r\nSubject: hello\r\n\r\nFirst line\r\n.dot\r\n"


def test_printed_curl_commands_work(demo):
    """Each curl command of the instructions is run as printed, in order."""
    text = "".join(demo.greeting)
    # A command may go on over lines that end in a backslash.
    commands = [c.strip() for c in re.findall(r"^\s*((?:printf|echo|curl)\b.*(?:\\\n.*)*)$", text, re.M)]
    assert any("smtp://" in c for c in commands), text
    assert any("imaps://" in c for c in commands), text
    assert any("pop3s://" in c for c in commands), text
    for command in commands:
        if "smtp" in command:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=demo.folder)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
    wait_until(lambda: demo.inbox("alice") or demo.inbox("bob"), what="the message in the Inbox")
    for command in commands:
        if "imaps" in command or "pop3s" in command:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=demo.folder)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert done.stdout.strip(), command


def test_stranger_to_inbox(demo):
    demo.send("stranger@elsewhere.test", "alice@example.test", MESSAGE)
    (raw,) = wait_until(lambda: demo.inbox("alice"))
    assert raw.endswith(MESSAGE)
    head = raw[: -len(MESSAGE)].decode()
    assert re.match(r"Return-Path: <stranger@elsewhere.test>\r\n", head)
    assert re.search(r"Received: from .*\r\n(\s.*\r\n)*.*\bid [0-9A-Z]{26}\b", head), head
    box = demo.pop3("alice")
    assert b"\r\n".join(box.retr(1)[1]) + b"\r\n" == raw
    box.quit()


def test_id_of_the_reply_traces(demo):
    with demo.smtp() as s:
        s.ehlo("mail.elsewhere.test")
        s.mail("stranger@elsewhere.test")
        s.rcpt("bob@example.test")
        code, text = s.data(MESSAGE)
    assert code == 250
    ident = re.search(rb"[0-9A-Z]{26}", text).group().decode()
    story = wait_until(lambda: (lambda t: t if "delivered" in t else None)(demo.run("trace", ident)))
    assert "bob@example.test" in story


def test_submission_between_users(demo):
    demo.submit("alice", "alice@example.test", ["bob@example.test"], "From: alice@example.test\nTo: bob@example.test\nSubject: x\n\nhi\n")
    (raw,) = wait_until(lambda: demo.inbox("bob"))
    assert b"\r\nDate: " in raw and b"\r\nMessage-ID: <" in raw, "submission adds what is missing"
    assert b"127.0.0.1" not in raw, "the client's address stays out"


def test_starttls_submission(demo):
    with demo.smtp(SUBMISSION) as s:
        s.starttls(context=tls_context())
        s.login("alice", PASSWORD)
        s.sendmail("alice@example.test", ["bob@example.test"], "Subject: y\n\nhi\n")
    assert wait_until(lambda: demo.inbox("bob"))


def test_restart_keeps_mail(folder):
    with Demo(folder / "demo") as house:
        house.send("s@elsewhere.test", ["alice@example.test", "bob@example.test"], MESSAGE)
        wait_until(lambda: house.inbox("alice") and house.inbox("bob"))
        uid_validity = house.imap("alice").select()[1]
    house.start()
    try:
        assert len(house.inbox("alice")) == 1 and len(house.inbox("bob")) == 1
        assert house.imap("alice").select()[1] == uid_validity
    finally:
        assert house.stop() == 0


def test_graceful_reload(demo):
    import os
    import signal
    box = demo.imap("alice")
    os.kill(demo.process.pid, signal.SIGHUP)
    demo.send("s@elsewhere.test", "alice@example.test", MESSAGE)
    wait_until(lambda: demo.inbox("alice"))
    assert box.noop()[0] == "OK", "a session lives on over a reload"
    box.logout()
