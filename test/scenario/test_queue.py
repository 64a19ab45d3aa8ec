"""The operator's queue: hold, fail, reroute, suspend, suppress, what is under way; and a trace that a person can read."""
import re
import threading

import pytest

from harness import house as hh
from harness.house import SUBMISSIONS, CommandFailed, Served
from harness.net import free_port, wait_until
from harness.sink import Sink

ONE, OTHER = "127.0.0.31", "127.0.0.32"


@pytest.fixture(scope="module")
def world():
    path = hh.scratch("queue")
    port = free_port(ONE)
    one = Sink(ONE, port, {"RCPT:full": "452 4.2.2 mailbox full", "RCPT:nobody": "550 5.1.1 no such user", "RCPT:grey": "450 4.7.1 greylisted, come back later"})
    other = Sink(OTHER, port)
    config = f"[route one.test]\nhost = {ONE}\nport = {port}\n[route gone.test]\nhost = 127.0.0.33\nport = {port}\n[limits]\nsuppress_after = 2\n"
    with Served(path / "a", "mx.a.test", "127.0.0.1", {}, config) as house:
        house.domain("a.test", "ann", "bob", "tiny", "small")
        house.run("alias", "add", "away@a.test", "nobody2@one.test")
        yield house, one, other
    one.close()
    other.close()
    hh.remove(path)


def send(house, recipients, user="ann@a.test"):
    with house.smtp(SUBMISSIONS) as s:
        s.login(user, hh.PASSWORD)
        s.mail(user)
        for one in recipients:
            assert s.rcpt(one)[0] == 250
        code, said = s.data("Subject: x\r\n\r\nhello\r\n")
        assert code == 250, said
        return re.search(rb"[0-9A-Z]{26}", said).group().decode()


def states(house, number):
    return {r["address"]: r["state"] for m in house.rows("queue", "list", number) for r in m["recipients"]}


@pytest.mark.sanitized
def test_a_trace_that_a_person_can_read(world):
    house, one, _ = world
    number = send(house, ["bob@a.test", "fine@one.test", "nobody@one.test", "full@one.test", "x@gone.test"])
    wait_until(lambda: sorted(states(house, number).values()).count("deferred") == 1 and "x@gone.test: not yet" in house.run("trace", number), 20, "five ends")
    wait_until(lambda: "bob@a.test: delivered" in house.run("trace", number))
    text = house.run("trace", number)
    for words in ("Submitted by a signed-in user", "accepted for 5 recipients", "bob@a.test: delivered to the mailbox of bob@a.test",
                  "fine@one.test: taken by the next server", "nobody@one.test: failed for good", "(the mailbox does not exist or is closed)",
                  "full@one.test: not yet", "(the mailbox is full)", "x@gone.test: not yet", "returned to the sender"):
        assert words in text, (words, text)
    (shown,) = house.rows("queue", "show", number)
    assert [row["kind"] for row in shown["history"]][0] == "received"
    assert {r["address"]: r.get("class") for r in shown["recipients"]}["full@one.test"] == "full"
    house.run("queue", "remove", number)


@pytest.mark.sanitized
def test_fail_now(world):
    house, _, _ = world
    number = send(house, ["full@one.test", "full2@one.test"])
    wait_until(lambda: list(states(house, number).values()).count("deferred") == 2, 20, "the deferral")
    assert house.rows("queue", "fail", "full2@one.test")[0]["recipients"] == 1
    wait_until(lambda: set(states(house, number)) >= {"full@one.test"} and "ended" in house.run("trace", number))
    report = wait_until(lambda: next((m for m in house.inbox("ann@a.test") if number.encode() in m and b"full2@one.test" in m), None), 20, "the bounce")
    assert b"Status: 5.7.0" in report and b"<full@one.test>" not in report
    house.run("queue", "fail", number)
    wait_until(lambda: house.rows("queue", "list", number) == [])


@pytest.mark.sanitized
def test_reroute(world):
    house, one, other = world
    number = send(house, ["full@one.test", "x@gone.test"])
    # That nobody answers there is known from before: it is not tried in vain.
    wait_until(lambda: states(house, number) == {"full@one.test": "deferred", "x@gone.test": "site-paused"}, 20, "the deferral")
    assert "does not answer" in house.run("trace", number)
    with pytest.raises(CommandFailed, match="host:port"):
        house.run("queue", "reroute", number, "--to", "nonsense")
    assert house.rows("queue", "reroute", "@gone.test", "--to", f"{OTHER}:{other.port}")[0]["recipients"] == 1
    wait_until(lambda: any(to == ("x@gone.test",) for to, _ in other.messages), 20, "the other way")
    house.run("queue", "reroute", number, "--to", f"{OTHER}:{other.port}")
    wait_until(lambda: house.rows("queue", "list", number) == [], 20, "the rest")
    assert f"by way of {OTHER}:{other.port}" in house.run("trace", number)


def test_suspend_and_resume(world):
    house, one, _ = world
    house.run("queue", "suspend", "one.test", "--for", "2h")
    with pytest.raises(CommandFailed, match="over already"):
        house.run("queue", "suspend", "one.test", "--until", "2020-01-01")
    (row,) = house.rows("queue", "suspensions")
    assert row["name"] == "one.test" and row["active"] is True and row["until"]
    number = send(house, ["sus@one.test", "bob@a.test"])
    wait_until(lambda: "bob@a.test: delivered" in house.run("trace", number))
    assert states(house, number)["sus@one.test"] == "suspended" and not any("sus@one.test" in to for to, _ in one.messages)
    house.stop()
    house.start()  # it is still suspended
    assert house.rows("queue", "suspensions") == [row]
    house.run("queue", "resume", "one.test")
    wait_until(lambda: any("sus@one.test" in to for to, _ in one.messages), 20, "the mail")
    with pytest.raises(CommandFailed, match="not suspended"):
        house.run("queue", "resume", "one.test")


def test_suppression(world):
    house, one, _ = world
    for n in range(2):
        number = send(house, ["nobody2@one.test"])
        wait_until(lambda: house.rows("queue", "list", number) == [], 20, "the refusal")
    (row,) = [r for r in house.rows("queue", "suppress", "list") if r["address"] == "nobody2@one.test"]
    assert row["by"] == "failures" and row["failures"] >= 2 and "no such user" in row["reason"]
    tried = len(one.commands)
    with house.smtp(SUBMISSIONS) as s:
        s.login("ann@a.test", hh.PASSWORD)
        s.mail("ann@a.test")
        code, said = s.rcpt("Nobody2@One.test")
        assert code == 550 and said.startswith(b"5.1.1") and b"no such user" in said and b"queue suppress remove" in said
    with house.smtp() as s:  # nobody's business
        s.ehlo()
        s.mail("s@elsewhere.test")
        assert b"does not relay" in s.rcpt("nobody2@one.test")[1]
    # What leads there is bounced.
    number = send(house, ["away@a.test"])
    wait_until(lambda: "list of suppressed addresses" in house.run("trace", number), 20, "the refusal")
    assert len(one.commands) == tried
    house.run("queue", "suppress", "remove", "nobody2@one.test")
    house.run("queue", "suppress", "add", "bob@a.test", "--reason", "by hand")
    # Mail for mailboxes here is never touched by it.
    house.send("s@elsewhere.test", "bob@a.test", "Subject: still\r\n\r\nhello\r\n")
    wait_until(lambda: any(b"Subject: still" in m for m in house.inbox("bob@a.test")))
    house.run("queue", "suppress", "remove", "bob@a.test")
    assert house.rows("queue", "suppress", "list") == []


def rcpt(house, address, user=None):
    with house.smtp(SUBMISSIONS if user else hh.SMTP) as s:
        s.ehlo()
        if user:
            s.login(user, hh.PASSWORD)
        s.mail(user or "s@elsewhere.test")
        code, said = s.rcpt(address)
        return code, said.decode()


@pytest.mark.sanitized
def test_full_mailboxes_are_refused_before_the_data(world):
    house, _, _ = world
    for user in ("tiny", "small"):
        house.run("account", "quota", f"{user}@a.test", "4000")
    for alias, targets in (("one@a.test", ["tiny@a.test"]), ("both@a.test", ["tiny@a.test", "small@a.test"]), ("abuse@a.test", ["tiny@a.test"])):
        house.run("alias", "add", alias, *targets)
    big = "Subject: big\r\n\r\n" + "x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 60
    # What does not fit is taken the first time, and waits.
    house.send("s@elsewhere.test", ["tiny@a.test"], "Subject: fits\r\n\r\nhello\r\n")
    house.send("s@elsewhere.test", ["tiny@a.test"], big)
    wait_until(lambda: rcpt(house, "tiny@a.test")[0] == 452, 20, "the refusal")
    assert rcpt(house, "tiny@a.test")[1].startswith("4.2.2 This mailbox is full")
    assert rcpt(house, "tiny@a.test", "ann@a.test")[0] == 452 and rcpt(house, "one@a.test")[0] == 452
    assert rcpt(house, "both@a.test")[0] == 250 and rcpt(house, "abuse@a.test")[0] == 250 and rcpt(house, "bob@a.test")[0] == 250
    house.send("s@elsewhere.test", ["small@a.test"], big)
    wait_until(lambda: rcpt(house, "both@a.test")[0] == 452, 20, "both")
    # Room is made: by the person, and by the postmaster; and after some minutes it is tried again anyway.
    box = house.imap("tiny@a.test")
    box.select()
    box.store("1", "+FLAGS", r"\Deleted")
    box.expunge()
    box.logout()
    wait_until(lambda: rcpt(house, "tiny@a.test")[0] == 250, 20, "room")
    assert rcpt(house, "small@a.test")[0] == 452
    house.run("account", "quota", "small@a.test", "1M")
    assert rcpt(house, "small@a.test")[0] == 250
    house.run("queue", "retry", "tiny@a.test")
    wait_until(lambda: rcpt(house, "tiny@a.test")[0] == 452, 20, "the refusal")
    house.run("clock", "advance", "6m")
    assert rcpt(house, "tiny@a.test")[0] == 250
    house.run("queue", "remove", "@a.test")


def test_what_is_under_way_is_told(world):
    house, one, _ = world
    one.delay_s = 3
    one.replies["END"] = "451 4.3.0 not now"
    number = send(house, ["hangs@one.test"])
    wait_until(lambda: states(house, number).get("hangs@one.test") == "in-flight", 20, "the attempt")
    (answer,) = house.rows("queue", "remove", number)
    assert answer["recipients"] == 0 and answer["under_way"] == 1 and "at this moment" in answer["note"]
    wait_until(lambda: house.rows("queue", "list", number) == [], 20, "the removal")
    assert "removed it" in house.run("trace", number)
    one.delay_s = 0
    del one.replies["END"]
