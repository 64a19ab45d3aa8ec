"""Addresses: names that stand for domains, in both forms of an international name, groups, blocked addresses under a catch-all, who
may write, archives, and postmaster, who is always reached."""
import concurrent.futures

import pytest

from harness.house import CommandFailed, Served
from harness.net import wait_until

TEXT = "From: x@far.test\r\nTo: y@example.test\r\nSubject: {}\r\n\r\nbody\r\n"


@pytest.fixture(scope="module")
def house():
    from harness import house as hh
    path = hh.scratch("addresses")
    with Served(path / "house", "mail.example.test") as served:
        served.domain("example.test", "alice", "bob", "carol", "archive")
        served.domain("bücher.test", "dora")
        served.run("domain", "alias", "Beispiel.test", "example.test")
        served.run("domain", "alias", "xn--bcher-kva.example", "bücher.test")
        yield served
    hh.remove(path)


def judged(house, sender, *recipients, options=()):
    """The codes and texts that a stranger gets at RCPT."""
    with house.smtp() as s:
        s.ehlo()
        s.mail(sender, list(options))
        return [s.rcpt(one) for one in recipients]


def codes(house, sender, *recipients, **kw):
    return [code for code, _ in judged(house, sender, *recipients, **kw)]


def count(house, user, subject):
    return sum(f"Subject: {subject}\r".encode() in m for m in house.inbox(user))


def arrives(house, user, subject):
    wait_until(lambda: count(house, user, subject) == 1, 20, f"{subject} for {user}")


def settled(house):
    wait_until(lambda: not house.rows("queue", "list"), 20, "an empty queue")


def test_names_of_domains(house):
    listed = {row["name"]: row for row in house.rows("domain", "alias", "list")}
    assert listed["xn--bcher-kva.example"]["unicode"] == "bücher.example"
    assert listed["beispiel.test"]["domain"] == "example.test"
    assert {row["unicode"] for row in house.rows("domain", "list")} == {"example.test", "bücher.test"}
    assert codes(house, "x@far.test", "Alice@BEISPIEL.test", "dora@xn--bcher-kva.test", "dora@XN--BCHER-KVA.example",
                 "dora@beispiel.test", "x@neu.test") == [250, 250, 250, 550, 550]
    assert codes(house, "x@far.test", "dora@bücher.test", "DORA@BÜCHER.EXAMPLE", "dora@bu\u0308cher.test",
                 options=["SMTPUTF8"]) == [250, 250, 250]
    house.send("x@far.test", ["alice@example.test", "alice@beispiel.test", "ALICE+x@Example.test"], TEXT.format("names"))
    settled(house)
    assert count(house, "alice@example.test", "names") == 1
    # One may sign in, and send, by the other name.
    house.submit("alice@beispiel.test", "alice@beispiel.test", "dora@xn--bcher-kva.example",
                 TEXT.format("by-name").replace("x@far.test", "alice@beispiel.test"))
    arrives(house, "dora@xn--bcher-kva.test", "by-name")
    for args, words in ((("domain", "alias", "example.test", "bücher.test"), "there already"),
                        (("domain", "alias", "x.test", "nowhere.test"), "there is no domain"),
                        (("domain", "remove", "example.test"), "stand for it"),
                        (("account", "add", "eve@beispiel.test"), "only stands for example.test"),
                        (("domain", "alias", "remove", "example.test"), "stands for no other")):
        with pytest.raises(CommandFailed, match=words):
            house.run(*args)


def test_local_parts(house):
    house.run("account", "add", "Grün@example.test")
    assert codes(house, "x@far.test", "grün@example.test", "GRÜN@beispiel.test", "gru\u0308n@example.test",
                 options=["SMTPUTF8"]) == [250, 250, 250]
    with pytest.raises(CommandFailed, match="already"):
        house.run("account", "add", "GRU\u0308N@example.test")
    house.run("account", "remove", "grün@example.test")


def test_groups(house):
    house.run("group", "add", "inner@example.test", "bob@example.test", "carol@example.test")
    house.run("group", "add", "all@example.test", "inner@example.test", "alice@beispiel.test", "bob+x@example.test")
    house.run("group", "add", "big@example.test", "all@example.test", "inner@example.test", "--owner", "carol@example.test")
    house.send("x@far.test", ["big@example.test", "bob@example.test"], TEXT.format("group"))
    settled(house)
    assert [count(house, f"{user}@example.test", "group") for user in ("alice", "bob", "carol")] == [1, 1, 1]
    assert b"Return-Path: <big-bounces@example.test>" in [
        m for m in house.inbox("alice@example.test") if b"Subject: group\r" in m][0]
    house.send("", "big-bounces@example.test", TEXT.format("bounced"))
    arrives(house, "carol@example.test", "bounced")
    row, = [r for r in house.rows("group", "list") if r["address"] == "big@example.test"]
    assert row["members"] == ["all@example.test", "inner@example.test"] and row["owner"] == "carol@example.test"
    assert row["who"] == "anyone"
    house.run("group", "leave", "all@example.test", "alice@beispiel.test")
    house.run("group", "join", "all@example.test", "carol+y@example.test")
    row, = [r for r in house.rows("group", "list") if r["address"] == "all@example.test"]
    assert row["members"] == ["inner@example.test", "bob+x@example.test", "carol+y@example.test"]
    for args, words in ((("group", "join", "inner@example.test", "big@example.test"), "circle"),
                        (("group", "join", "all@example.test", "BOB+x@example.test"), "a member of"),
                        (("group", "leave", "all@example.test", "x@far.test"), "not a member"),
                        (("group", "remove", "nobody@example.test"), "there is no group"),
                        (("alias", "remove", "all@example.test"), "is a group"),
                        (("group", "add", "alice@example.test", "x@far.test"), "is an account already"),
                        (("alias", "add", "me@example.test", "me@beispiel.test"), "circle")):
        with pytest.raises(CommandFailed, match=words):
            house.run(*args)
    for name in ("big", "all", "inner"):
        house.run("group", "remove", f"{name}@example.test")


def test_catch_all_and_blocked(house):
    house.run("alias", "add", "@example.test", "bob@example.test")
    house.run("alias", "block", "spam@example.test")
    house.run("alias", "block", "alice+shop@example.test")
    assert codes(house, "x@far.test", "any@example.test", "Spam@beispiel.test", "spam+x@example.test",
                 "alice+shop@example.test", "alice+other@example.test") == [250, 550, 550, 550, 250]
    blocked = [row["address"] for row in house.rows("alias", "list") if row["blocked"]]
    assert blocked == ["alice+shop@example.test", "spam@example.test"]
    for address in ("postmaster@example.test", "Abuse@beispiel.test", "alice@example.test", "@example.test"):
        with pytest.raises(CommandFailed):
            house.run("alias", "block", address)
    house.run("alias", "remove", "spam@example.test")
    assert codes(house, "x@far.test", "spam@example.test") == [250]
    house.run("alias", "remove", "@example.test")
    assert codes(house, "x@far.test", "spam@example.test") == [550]


def test_postmaster_and_abuse(house):
    names = [f"{name}@{domain}" for name in ("postmaster", "ABUSE", "abuse+x")
             for domain in ("example.test", "beispiel.test", "xn--bcher-kva.test", "xn--bcher-kva.example")]
    assert codes(house, "x@far.test", *names, "postmaster") == [250] * (len(names) + 1)
    # Whatever is set up leads somewhere, also when that is closed to others, or gone.
    house.run("group", "add", "closed@example.test", "bob@example.test")
    house.run("group", "who", "closed@example.test", "signed-in")
    house.run("alias", "add", "postmaster@example.test", "closed@example.test")
    with pytest.raises(CommandFailed, match="anyone may write"):
        house.run("alias", "who", "postmaster@example.test", "members")
    assert codes(house, "x@far.test", "postmaster@example.test", "abuse@beispiel.test") == [250, 250]
    house.send("x@far.test", "abuse@beispiel.test", TEXT.format("complaint"))
    settled(house)
    assert sum(count(house, f"{user}@example.test", "complaint") for user in ("alice", "bob", "carol", "archive")) == 1
    house.run("alias", "remove", "postmaster@example.test")
    house.run("group", "remove", "closed@example.test")


def test_who_may_write(house):
    house.run("group", "add", "staff@example.test", "bob@example.test", "friend@far.test")
    house.run("alias", "add", "door@example.test", "staff@example.test")

    def who(*rule):
        house.run("group", "who", "staff@example.test", *rule)
        assert [r["who"] for r in house.rows("group", "list")] == [rule[0]]
        return [codes(house, sender, "staff@example.test", "door@example.test")[0] == 250
                for sender in ("x@other.test", "Friend@FAR.test", "bob@beispiel.test", "alice@example.test", "")]
    assert who("members") == [False, True, True, False, False]
    assert who("domain") == [False, False, True, True, False]
    assert who("listed", "@other.test", "alice@example.test") == [True, False, False, True, False]
    assert who("signed-in") == [False] * 5
    code, text = judged(house, "bob@example.test", "staff@example.test")[0]
    assert (code, text) == (550, b"5.7.1 This address takes mail of certain senders only, and yours is not among them")
    assert codes(house, "bob@example.test", "door@example.test") == [550]  # no way around
    house.submit("alice@example.test", "alice@example.test", "staff@example.test",
                 TEXT.format("inside").replace("x@far.test", "alice@example.test"))
    arrives(house, "bob@example.test", "inside")
    assert who("anyone") == [True] * 5
    for rule in (("listed",), ("nobody",), ("members", "x@far.test"), ("listed", "no address")):
        with pytest.raises(CommandFailed):
            house.run("group", "who", "staff@example.test", *rule)
    house.run("queue", "remove", "--all")
    house.run("alias", "remove", "door@example.test")
    house.run("group", "remove", "staff@example.test")


def test_a_member_that_is_closed(house):
    """Who gets the bounces hears of a member that gets no mail, though the others do."""
    def told():
        return sum(b"Final-Recipient: rfc822; carol@example.test\r\n" in m for m in house.inbox("alice@example.test"))
    before = told()
    house.run("group", "add", "crew@example.test", "bob@example.test", "carol@example.test", "--owner", "alice@example.test")
    house.run("account", "disable", "carol@example.test")
    house.send("x@far.test", "crew@example.test", TEXT.format("to crew"))
    arrives(house, "bob@example.test", "to crew")
    wait_until(lambda: told() == before + 1, 20, "a report for the owner")
    house.run("account", "enable", "carol@example.test")
    settled(house)
    house.run("group", "remove", "crew@example.test")


def test_nobody_stays_out_of_the_archive(house):
    """The marks that keep archives' copies from going round are of one message each."""
    seen = []
    house.run("domain", "bcc", "example.test", "archive@far.test")
    house.submit("alice@example.test", "alice@example.test", "bob@example.test",
                 TEXT.format("marked").replace("x@far.test", "alice@example.test"))
    wait_until(lambda: count(house, "bob@example.test", "marked") == 1, 20, "the message")
    for m in house.inbox("bob@example.test"):
        if b"Subject: marked\r" in m:
            seen += [line for line in m.split(b"\r\n") if line.startswith(b"Posthouse-Passed:")]
    assert len(seen) == 1
    house.run("domain", "bcc", "example.test", "archive@example.test")
    house.send("x@far.test", "alice@example.test", seen[0].decode() + "\r\n" + TEXT.format("sneaked"))
    arrives(house, "archive@example.test", "sneaked")
    house.run("domain", "bcc", "off", "example.test")
    house.run("queue", "remove", "--all")


def test_archives(house):
    """Each message once, of nobody's knowledge, and never in a circle."""
    house.run("domain", "bcc", "example.test", "archive@example.test")

    def archived(subject):
        settled(house)
        return count(house, "archive@example.test", subject)
    house.send("x@far.test", ["alice@example.test", "bob@beispiel.test"], TEXT.format("in"))
    assert archived("in") == 1
    house.submit("alice@example.test", "alice@example.test", "dora@xn--bcher-kva.test",
                 TEXT.format("out").replace("x@far.test", "alice@example.test"))
    assert archived("out") == 1
    house.submit("alice@example.test", "alice@example.test", "bob@example.test",
                 TEXT.format("within").replace("x@far.test", "alice@example.test"))
    assert archived("within") == 1
    house.send("x@far.test", "archive@example.test", TEXT.format("direct"))
    assert archived("direct") == 1
    house.send("x@far.test", "dora@xn--bcher-kva.test", TEXT.format("others"))
    assert archived("others") == 0
    house.run("domain", "bcc", "example.test", "archive@example.test", "--in")
    row, = [r for r in house.rows("domain", "list") if r["name"] == "example.test"]
    assert (row["bcc"], row["bcc_in"], row["bcc_out"]) == ("archive@example.test", True, False)
    house.submit("alice@example.test", "alice@example.test", "dora@xn--bcher-kva.test",
                 TEXT.format("out2").replace("x@far.test", "alice@example.test"))
    assert archived("out2") == 0
    # An archive that cannot be reached harms nobody, and nobody is told.
    house.run("domain", "bcc", "example.test", "gone@example.test")
    house.submit("alice@example.test", "alice@example.test", "bob@example.test",
                 TEXT.format("lost").replace("x@far.test", "alice@example.test"))
    arrives(house, "bob@example.test", "lost")
    settled(house)
    assert not [m for m in house.inbox("alice@example.test") if b"delivery-status" in m and b"Subject: lost" in m]
    assert "archive_unreachable" in house.log()
    house.run("domain", "bcc", "off", "example.test")
    with pytest.raises(CommandFailed, match="there is no domain"):
        house.run("domain", "bcc", "far.test", "archive@example.test")


@pytest.mark.sanitized
def test_at_once_and_after_a_crash(house):
    """Many change a group while mail comes in for it; what was answered is there after the power went."""
    house.run("group", "add", "busy@example.test", "alice@example.test")

    def join(i):
        house.run("group", "join", "busy@example.test", f"m{i}@far.test")

    def write(i):
        with house.smtp() as s:
            s.ehlo()
            s.mail("x@other.test")
            return s.rcpt("busy@example.test")[0]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        joins = [pool.submit(join, i) for i in range(16)]
        writes = [pool.submit(write, i) for i in range(16)]
        for one in joins:
            one.result()
        assert {one.result() for one in writes} == {250}
    house.kill()
    house.start()
    row, = house.rows("group", "list")
    assert sorted(row["members"]) == sorted(["alice@example.test"] + [f"m{i}@far.test" for i in range(16)])
    house.run("group", "remove", "busy@example.test")
