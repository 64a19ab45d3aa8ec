"""Submission (RFC 6409): what is added and taken out, as whom an account may send, and how much."""
import email
import email.policy
import smtplib
import subprocess
import time

import pytest

from harness.house import BINARY, PASSWORD, SMTP, SUBMISSION, SUBMISSIONS, CommandFailed, Served, remove, scratch, tls_context
from harness.net import wait_until


@pytest.fixture(scope="module")
def house():
    folder = scratch("submission")
    with Served(folder / "s", "mail.a.test") as h:
        h.domain("a.test", "ann", "bob", "cat")
        yield h
    remove(folder)


def sent(house, user, to, message, sender=None):
    """Submits, and returns what came into the mailbox of `to`, which it empties."""
    house.submit(f"{user}@a.test", sender or f"{user}@a.test", [f"{to}@a.test"], message)
    (raw,) = wait_until(lambda: house.inbox(f"{to}@a.test"))
    with house.imap(f"{to}@a.test") as box:
        box.select()
        box.store("1:*", "+FLAGS", "\\Deleted")
        box.expunge()
    return raw


def refused(house, user, message, sender=None):
    with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPSenderRefused)) as error:
        house.submit(f"{user}@a.test", sender or f"{user}@a.test", ["bob@a.test"], message)
    return error.value.smtp_code, error.value.smtp_error.decode()


@pytest.mark.sanitized
def test_what_is_missing_is_added_and_what_is_secret_taken_out(house):
    raw = sent(house, "ann", "bob", b"Subject: x\r\nBcc: cat@a.test,\r\n dog@b.test\r\nBCC : eve@b.test\r\nResent-Bcc: f@b.test\r\n\r\nBcc: text\r\n")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects
    assert message["Date"].datetime and message["Message-ID"].startswith("<") and message["From"] == "ann@a.test"
    for secret in (b"cat@", b"dog@", b"eve@", b"f@b.test", b"127.0.0.1"):
        assert secret not in raw, raw
    assert raw.endswith(b"\r\n\r\nBcc: text\r\n")
    assert b"who has signed in" in raw
    # What is there stays as it is.
    raw = sent(house, "ann", "bob", b"From: Ann <ann@a.test>\r\nDate: Thu, 1 Jan 2026 10:00:00 +0100\r\nMessage-ID: <own@a.test>\r\n\r\nx\r\n")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert len(message.get_all("Date")) == len(message.get_all("Message-ID")) == len(message.get_all("From")) == 1
    # The history knows where it came from.
    ident = raw.split(b"\tid ")[1][:26].decode()
    assert "127.0.0.1" in house.run("trace", ident)


def test_large_and_attached_messages(house):
    inner = b"From: x@b.test\r\nBcc: inner@b.test\r\n\r\nhello\r\n"
    body = (b"Bcc: hidden@b.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
            + inner + b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"Bcc: is only a word here\r\n" * 40000 + b"--b--\r\n")
    raw = sent(house, "ann", "bob", body)
    assert b"hidden@" not in raw and b"\r\nMessage-ID: <" in raw[:2000]
    assert raw.endswith(body[body.index(b"MIME-Version"):])


def test_no_header_at_all(house):
    raw = sent(house, "ann", "bob", b"just a line\r\nDate: this is text\r\n")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_content() == "just a line\r\nDate: this is text\r\n"
    assert message["Date"].datetime and message["From"] == "ann@a.test"


def test_identities_and_rights_to_send_as_others(house):
    assert refused(house, "ann", b"From: bob@a.test\r\n\r\nx\r\n") == (550, "5.7.1 You may not send as the address in the field From")
    assert refused(house, "ann", b"From: ann@a.test\r\nSender: bob@a.test\r\n\r\nx\r\n")[1].endswith("field Sender")
    assert refused(house, "ann", b"From: ann@a.test\r\nResent-From: bob@a.test\r\n\r\nx\r\n")[1].endswith("field Resent-From")
    assert refused(house, "ann", b"From: boss@else.test\r\n\r\nx\r\n")[0] == 550
    assert refused(house, "ann", b"From: boss@else.test\r\n\r\nx\r\n", "boss@else.test")[0] == 550
    house.run("account", "identity", "add", "ann@a.test", "Bob@A.test", "--name", "Bob's desk")
    house.run("account", "identity", "add", "ann@a.test", "@else.test")
    (first, second) = house.rows("account", "identity", "list", "ann@a.test")
    assert (first["identity"], second["identity"], second["name"]) == ("@else.test", "Bob@a.test", "Bob's desk")
    sent(house, "ann", "cat", b"From: bob+x@a.test\r\n\r\nx\r\n", "bob@a.test")
    sent(house, "ann", "cat", b"From: boss@else.test, ann@a.test\r\nSender: ann@a.test\r\n\r\nx\r\n", "any@else.test")
    assert refused(house, "cat", b"From: bob@a.test\r\n\r\nx\r\n")[0] == 550, "the right is ann's alone"
    house.run("account", "identity", "remove", "ann@a.test", "@else.test")
    assert refused(house, "ann", b"From: boss@else.test\r\n\r\nx\r\n")[0] == 550
    with pytest.raises(CommandFailed) as error:
        house.run("account", "identity", "remove", "ann@a.test", "@else.test")
    assert error.value.code == 67 and "no identity" in error.value.err
    # Whoever gets the address of a removed account is not impersonated by those who had the right to the old one.
    house.run("account", "add", "temp@a.test")
    house.run("account", "identity", "add", "ann@a.test", "temp@a.test")
    house.run("account", "remove", "temp@a.test")
    assert [r["identity"] for r in house.rows("account", "identity", "list", "ann@a.test")] == ["Bob@a.test"]
    house.run("account", "identity", "remove", "ann@a.test", "bob@a.test")


def test_what_is_sent_on_keeps_its_author(house):
    resent = b"Resent-From: ann@a.test\r\nResent-To: cat@a.test\r\nReceived: from x\r\n"
    raw = sent(house, "ann", "cat", resent + b"From: author@else.test\r\nSubject: y\r\n\r\nx\r\n")
    assert b"From: author@else.test" in raw
    assert refused(house, "ann", resent + b"From: bob@a.test\r\n\r\nx\r\n")[0] == 550


def test_limits_of_one_message(house):
    house.run("account", "limit", "cat@a.test", "--message-size", "10K", "--recipients", "2")
    assert refused(house, "cat", b"From: cat@a.test\r\n\r\n" + b"x" * 20000)[0] == 552
    with house.smtp(SUBMISSIONS) as s:
        s.login("cat@a.test", PASSWORD)
        assert s.docmd("MAIL FROM:<cat@a.test> SIZE=20000")[0] == 552
        s.mail("cat@a.test")
        assert [s.rcpt(f"{who}@b.test")[0] for who in "abc"] == [250, 250, 452]
    house.run("account", "limit", "cat@a.test", "--defaults")


def test_rates_stop_an_account_and_survive_a_restart(folder):
    """One whose password was stolen: stopped after its limit, told so, told to the operator; others go on."""
    text = b"From: ann@a.test\r\n\r\nx\r\n"
    with Served(folder / "r", "mail.a.test", config="[limits]\naccount_messages_per_hour = 4\n") as house:
        house.domain("a.test", "ann", "bob")

        def burst(user, n):
            codes = []
            with house.smtp(SUBMISSIONS) as s:
                s.login(f"{user}@a.test", PASSWORD)
                for _ in range(n):
                    code, reply = s.mail(f"{user}@a.test")
                    if code == 250:
                        s.rcpt("bob@a.test")
                        code, reply = s.data(f"From: {user}@a.test\r\n\r\nx\r\n")
                    codes.append(code)
            return codes, reply.decode()

        codes, reply = burst("ann", 6)
        assert codes == [250, 250, 250, 250, 450, 450]
        assert "4 messages in an hour" in reply and "try again in" in reply
        assert burst("bob", 1)[0] == [250]
        (shown,) = house.rows("account", "show", "ann@a.test")
        assert shown["limits"]["messages_per_hour"] == 4
        assert shown["sent"]["messages_last_hour"] == 4 and shown["sent"]["refused_last_day"] == 2
        (clerk,) = [r for r in house.rows("status") if r.get("role") == "clerk"]
        assert clerk["counters"]["senders_stopped"] == 1 and clerk["counters"]["submissions_over_rate"] == 2
        assert house.log().count("sender_stopped") == 1
        # A restart of everything gives nobody a new quota, be it one that nobody expected.
        time.sleep(1.5)
        house.kill()
        house.start()
        assert burst("ann", 1)[0] == [450]
        house.run("clock", "advance", "65m")
        assert burst("ann", 5)[0] == [250] * 4 + [450]
        house.run("account", "limit", "ann@a.test", "--forget-sent", "--messages-per-hour", "0", "--messages-per-day", "3")
        codes, reply = burst("ann", 4)
        assert codes == [250, 250, 250, 450] and "3 messages in a day" in reply and "hours" in reply
        house.run("account", "limit", "ann@a.test", "--defaults", "--recipients-per-hour", "5", "--forget-sent")
        with house.smtp(SUBMISSIONS) as s:
            s.login("ann@a.test", PASSWORD)
            s.mail("ann@a.test")
            assert [s.rcpt(f"x{i}@b.test")[0] for i in range(6)] == [250] * 5 + [452], "so many can never be sent to at once"
            s.rset()
            for code in (250, 450):
                s.mail("ann@a.test")
                for i in range(3):
                    s.rcpt(f"x{i}@b.test")
                done, reply = s.data(text)
                assert done == code
            assert b"to 5 recipients in an hour" in reply
        house.send("x@b.test", "bob@a.test", "Subject: a stranger has no such rate\n\nx\n")


DEVICES = """
[submitter printers]
networks = 127.0.0.8/31, ::1
senders = printer@a.test, @scan.a.test
messages_per_hour = 3
"""


def device(house, service, source="127.0.0.8"):
    s = smtplib.SMTP(house.address, house.port(service), timeout=20, source_address=(source, 0))
    s.ehlo("printer")
    return s


@pytest.fixture(scope="module")
def office():
    folder = scratch("devices")
    with Served(folder / "s", "mail.a.test", config=DEVICES) as h:
        h.domain("a.test", "ann", "printer")
        yield h
    remove(folder)


@pytest.mark.sanitized
@pytest.mark.parametrize("service", [SMTP, SUBMISSION])
def test_a_device_submits_without_signing_in(office, service):
    before = len(office.inbox("ann@a.test"))
    with device(office, service) as s:
        # To another house, as a listed sender.
        assert s.mail("printer@a.test")[0] == 250
        assert s.rcpt("someone@elsewhere.test")[0] == 250
        assert s.rcpt("ann@a.test")[0] == 250
        assert s.data("Subject: scan\r\nBcc: x@b.test\r\n\r\nx\r\n")[0] == 250
        # The sender in the header too.
        s.mail("anything@scan.a.test")
        s.rcpt("ann@a.test")
        code, text = s.data("From: ann@a.test\r\n\r\nforged\r\n")
        assert code == 550 and b"field From" in text
    raw = wait_until(lambda: office.inbox("ann@a.test")[before:])[-1]
    assert b"\r\nFrom: <printer@a.test>\r\n" in raw and b"\r\nDate: " in raw and b"Bcc" not in raw and b"127.0.0.8" not in raw


def test_a_device_is_no_open_relay(office):
    with device(office, SMTP) as s:
        for sender in ("ann@a.test", "spam@elsewhere.test", "", "printer@A.test.elsewhere.test", "scan.a.test@elsewhere.test"):
            s.mail(sender)
            assert s.rcpt("victim@elsewhere.test")[0] == 550, "not as others"
            s.rset()
        s.mail("spam@elsewhere.test")
        assert s.rcpt("ann@a.test")[0] == 250, "a device may write to the house as any stranger may"
    with device(office, SUBMISSION) as s:
        for sender in ("ann@a.test", "spam@elsewhere.test", ""):
            assert s.mail(sender)[0] == 550
    for service in (SMTP, SUBMISSION):
        with device(office, service, "127.0.0.10") as s:
            code = s.mail("printer@a.test")[0]
            assert (code, s.rcpt("victim@elsewhere.test")[0]) == ((250, 550) if service == SMTP else (530, 530))
    # Its users sign in as ever.
    with device(office, SUBMISSION) as s:
        s.starttls(context=tls_context())
        s.login("ann@a.test", PASSWORD)
        assert s.mail("ann@a.test")[0] == 250 and s.mail("printer@a.test")[0] == 503


def test_a_device_that_sends_too_much_is_stopped(office):
    codes = []
    with device(office, SMTP) as s:
        for _ in range(5):
            codes.append(s.mail("printer@a.test")[0])
            if codes[-1] == 250:
                s.rcpt("ann@a.test")
                codes[-1] = s.data("x: y\r\n\r\nx\r\n")[0]
    assert codes[-1] == 450 and codes.count(250) <= 3
    assert "sender=submitter:printers" in office.log()


@pytest.mark.parametrize("text,says", [
    ("networks = 0.0.0.0/0\nsenders = a@b.test", "too large to trust"), ("networks = 192.0.2.1/24\nsenders = a@b.test", "no bits set behind the prefix"),
    ("networks = 192.0.2.1", "needs senders"), ("senders = a@b.test", "needs networks or users"),
    ("users = www-data\nsenders = nobody", "no address and no @domain")])
def test_bad_submitters_are_refused(folder, text, says):
    path = folder / "c.conf"
    path.write_text("[submitter x]\n" + text + "\n")
    done = subprocess.run([BINARY, "config", "check", path], capture_output=True, text=True)
    assert done.returncode != 0 and says in done.stdout + done.stderr
