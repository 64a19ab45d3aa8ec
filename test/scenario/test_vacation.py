"""Out of office: who is answered, who is not, once in a period, also across restarts and repeated deliveries."""
import email
import email.policy
import time

import pytest

from harness.house import CommandFailed, Served
from harness.net import wait_until

TEXT = "Ich bin bis Montag im Grünen.\nSchöne Grüße\n\n.\nAlice\n"


@pytest.fixture(scope="module")
def house():
    from harness import house as hh
    path = hh.scratch("vacation")
    served = Served(path / "house", "mail.example.test")
    with served:
        served.domain("example.test", "alice", "bob", "carol", "grün")
        served.run("domain", "alias", "beispiel.test", "example.test")
        served.run("alias", "add", "info@example.test", "alice@example.test")
        served.run("group", "add", "team@example.test", "alice@example.test", "carol@example.test")
        yield served
    hh.remove(path)


def away(house, *args, text=TEXT, account="alice@example.test"):
    house.run("account", "vacation", account, "--text-file", "-", *args, input=text)


def message(to="alice@example.test", *fields, subject="Hallo"):
    return "\r\n".join([f"To: {to}", f"Subject: {subject}", "Message-ID: <m1@example.test>",
                        "References: <m0@example.test>", *fields, "", "Bist du da?"]).encode()


def answers(house, user):
    mails = [email.message_from_bytes(m, policy=email.policy.default) for m in house.inbox(f"{user}@example.test")]
    return [m for m in mails if "(vacation)" in (m["Auto-Submitted"] or "")]


def settled(house):
    """Every message that was sent has been delivered or has ended."""
    wait_until(lambda: not house.rows("queue", "list"), 20)


def test_answer(house):
    away(house)
    house.send("bob@example.test", "alice@example.test", message())
    wait_until(lambda: answers(house, "bob"), 20)
    m, = answers(house, "bob")
    assert m["Return-Path"] == "<>"
    assert m["Auto-Submitted"].startswith("auto-replied")
    assert m["From"].addresses[0].addr_spec == "alice@example.test"
    assert m["To"].addresses[0].addr_spec == "bob@example.test"
    assert m["Subject"] == "Auto: Hallo"
    assert m["In-Reply-To"] == "<m1@example.test>"
    assert m["References"] == "<m0@example.test> <m1@example.test>"
    assert m["Date"] and m["Message-ID"]
    assert m.get_content().replace("\r\n", "\n").strip() == TEXT.strip()
    shown, = house.rows("account", "vacation", "show", "alice@example.test")
    assert shown["active"] and shown["text"] == TEXT and shown["days"] == 7 and shown["until"] is None
    assert any("out-of-office text" in row["text"] for row in house.rows("trace", "bob@example.test"))

    # Once in the period; also after a restart, and not because another message came meanwhile.
    house.send("Bob+x@example.test", "alice@example.test", message())
    house.send("bob@example.test", "alice@example.test", message())
    settled(house)
    assert house.stop() == 0
    house.start()
    house.send("bob@example.test", "alice@example.test", message())
    settled(house)
    assert len(answers(house, "bob")) == 2  # Bob+x is another sender
    house.run("clock", "advance", "8d")
    house.send("bob@example.test", "alice@example.test", message("Alice <info@beispiel.test>"))
    wait_until(lambda: len(answers(house, "bob")) == 3, 20)
    # A new text is told anew.
    away(house, "--subject", "Weg – bis Montag", text="Neu.")
    house.send("bob@example.test", "alice@example.test", message(subject="x"))
    wait_until(lambda: len(answers(house, "bob")) == 4, 20)
    assert answers(house, "bob")[-1]["Subject"] == "Weg – bis Montag"


def test_no_answer(house):
    """Lists, robots, bulk, null senders, mail that is not for the account by its header, the account itself."""
    away(house)
    before = len(answers(house, "carol"))
    sent = [("carol@example.test", message("alice@example.test", field)) for field in (
        "List-Id: <a.list>", "list-unsubscribe: <mailto:x@y>", "Precedence: bulk", "Precedence: List",
        "Auto-Submitted: auto-generated", "Auto-Submitted: (no) auto-replied; x=y", "X-Auto-Response-Suppress: OOF, DR",
        "Content-Type: multipart/report; boundary=x")]
    sent += [("carol@example.test", message("team@example.test")), ("carol@example.test", message("x@far.test"))]
    sent += [(sender, message()) for sender in ("carol-request@example.test", "owner-carol@example.test",
                                                "MAILER-DAEMON@example.test", "alice@example.test", "")]
    for sender, text in sent:
        house.send(sender, "alice@example.test", text)
    settled(house)
    assert len(answers(house, "carol")) == before
    assert not answers(house, "alice")
    # The same sender is answered when nothing stands against it.
    house.send("carol@example.test", "alice@example.test", message("alice@example.test", "Auto-Submitted: no"))
    wait_until(lambda: len(answers(house, "carol")) == before + 1, 20)


def test_period_and_dates(house):
    now = house.rows("clock", "show")[0]["now"] if house.rows("clock", "show") else time.strftime("%Y-%m-%d")
    year = int(now[:4])
    away(house, "--from", f"{year + 1}-06-01", "--until", f"{year + 1}-06-02", account="carol@example.test")
    shown, = house.rows("account", "vacation", "show", "carol@example.test")
    assert not shown["active"] and shown["until"].startswith(f"{year + 1}-06-03T00:00:00")
    before = len(answers(house, "bob"))
    house.send("bob@example.test", "carol@example.test", message("carol@example.test"))
    settled(house)
    assert len(answers(house, "bob")) == before
    for args, words in ((("--until", "gestern"), "is not a date"), (("--until", "2020-01-01"), "over already"),
                        (("--from", f"{year + 2}-01-02", "--until", f"{year + 2}-01-01"), "before it begins"),
                        (("--days", "0"), "1 to 365")):
        with pytest.raises(CommandFailed, match=words):
            away(house, *args, account="carol@example.test")
    with pytest.raises(CommandFailed, match="empty"):
        away(house, text=" \n", account="carol@example.test")
    house.run("account", "vacation", "off", "carol@example.test")
    with pytest.raises(CommandFailed, match="no out-of-office text"):
        house.run("account", "vacation", "off", "carol@example.test")


@pytest.mark.sanitized
def test_unicode_sender(house):
    """An account with a local part outside ASCII is answered, and answers."""
    away(house, account="grün@example.test")
    with house.smtp() as s:
        s.ehlo()
        s.mail("bob@example.test", ["SMTPUTF8"])
        s.rcpt("GRÜN@beispiel.test")
        code, _ = s.data("To: GRÜN@beispiel.test\r\nSubject: Grüße\r\n\r\nx\r\n".encode())
        assert code == 250
    wait_until(lambda: any(m["Subject"] == "Auto: Grüße" for m in answers(house, "bob")), 20)


def test_crash(house):
    """Deliveries that are repeated after a crash are answered once."""
    away(house, text="Weg.")
    before = len(answers(house, "bob"))
    for i in range(3):
        house.send("bob@example.test", "alice@example.test", message())
        house.send("carol@example.test", "alice@example.test", message())
        if i == 0:
            house.kill()
            house.start()
            house.run("clock", "advance", "8d")  # the test clock begins anew
    settled(house)
    time.sleep(1.5)
    settled(house)
    texts = [m.get_content().strip() for m in answers(house, "bob")]
    assert texts.count("Weg.") == 1 and len(texts) == before + 1
