"""Searches that are kept up to date (RFC 5267), of several mailboxes (RFC 7377), of very many messages (RFC 9738), and the progress of
long ones (RFC 9585)."""
import re

import pytest

from harness.house import PASSWORD, Served
from harness.imap import Line


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def mail(subject):
    return f"From: a@example.test\nSubject: {subject}\n\nbody\n"


def test_updates_of_a_search(box, shared_demo):
    """RFC 5267 §4.3."""
    box.fresh("cx1", [mail(f"m{i}") for i in range(6)])
    box.script("""
        C: B01 UID SEARCH RETURN (UPDATE COUNT) DELETED KEYWORD $Junk
        S: * ESEARCH (TAG "B01") UID COUNT 0
        S: B01 OK done
        C: B01 UID SEARCH RETURN (UPDATE) FLAGGED
        S: B01 BAD ...
        C: B02 SEARCH RETURN (CONTEXT COUNT) UNDELETED UNKEYWORD $Junk
        S: * ESEARCH (TAG "B02") COUNT 6
        S: B02 OK done
        C: B03 STORE 2:3 +FLAGS.SILENT (\\Deleted $Junk)
        S: * FLAGS ...
        S: * OK [PERMANENTFLAGS ...
        S: * ESEARCH (TAG "B01") UID ADDTO (0 2 0 3)
        S: B03 OK done
        C: B04 STORE 3 -FLAGS.SILENT ($Junk)
        S: * ESEARCH (TAG "B01") UID REMOVEFROM (0 3)
        S: B04 OK done
        C: B05 EXPUNGE
        S: * ESEARCH (TAG "B01") UID REMOVEFROM (0 2)
        S: * 2 EXPUNGE
        S: * 2 EXPUNGE
        S: B05 OK done
        C: B06 SEARCH RETURN (UPDATE ALL) SUBJECT new
        S: * ESEARCH (TAG "B06")
        S: B06 OK done
        C: B07 SEARCH RETURN (UPDATE COUNT) 1:2
        S: * NO [NOUPDATE "B07"] ...
        S: * ESEARCH (TAG "B07") COUNT 2
        S: B07 OK done
        """)
    with Line(shared_demo, "alice") as other:
        other.append("cx1", mail("something new"), "\\Deleted $Junk")
    box.script("""
        C: B08 NOOP
        S: * 5 EXISTS
        S: * ... RECENT
        S: * ESEARCH (TAG "B01") UID ADDTO (0 7)
        S: * ESEARCH (TAG "B06") ADDTO (0 5)
        S: B08 OK done
        C: B09 CANCELUPDATE "B01"
        S: B09 OK no further updates
        C: B0A STORE 5 -FLAGS.SILENT (\\Deleted)
        S: B0A OK done
        C: B0B CANCELUPDATE "B01"
        S: B0B BAD ...
        C: B0C SELECT cx1
        S: * OK [CLOSED] ...
        """)
    box.until("B0C")
    box.script("""
        C: B0D CANCELUPDATE "B06"
        S: B0D BAD ...
        """)


def test_updates_of_a_sorted_search_while_idle(box, shared_demo):
    box.fresh("cx2", [mail(s) for s in ("delta", "bravo", "foxtrot")])
    box.script("""
        C: E01 UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNSEEN
        S: * ESEARCH (TAG "E01") UID ALL 2,1,3
        S: E01 OK done
        C: E02 IDLE
        S: + idling
        """)
    with Line(shared_demo, "alice") as other:
        other.append("cx2", mail("charlie"))
        box.script("""
            S: * 4 EXISTS
            S: * ... RECENT
            S: * ESEARCH (TAG "E01") UID ADDTO (2 4)
            """)
        other.ok("SELECT cx2")
        other.ok("STORE 2 +FLAGS.SILENT (\\Seen)")
        box.script("""
            S: * 2 FETCH ...
            S: * ESEARCH (TAG "E01") UID REMOVEFROM (1 2)
            """)
        other.ok("STORE 2 -FLAGS.SILENT (\\Seen)")
        box.script("""
            S: * 2 FETCH ...
            S: * ESEARCH (TAG "E01") UID ADDTO (1 2)
            """)
        other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        other.ok("EXPUNGE")
        assert box.line().startswith("* 1 FETCH")
        assert box.line() == '* ESEARCH (TAG "E01") UID REMOVEFROM (3 1)'
        assert box.line() == "* 1 EXPUNGE"
    box.send("DONE\r\n")
    box.until("E02")


def test_several_mailboxes(box):
    """RFC 7377 §3, with its names."""
    for name, subjects in (("folder1", ("chad", "x")), ("folder2/banana", ("chad",)), ("folder2/peach/deep", ("y", "chad")), ("folder3", ("chad",))):
        box.ok(f"CREATE {name}")
        for subject in subjects:
            box.append(name, mail(subject))
    box.script("""
        C: tag1 ESEARCH IN (mailboxes "folder1" subtree "folder2") unseen
        S: * ESEARCH (TAG "tag1" MAILBOX folder1 UIDVALIDITY <v1>) UID ALL 1:2
        S: * ESEARCH (TAG "tag1" MAILBOX folder2/banana UIDVALIDITY <v2>) UID ALL 1
        S: * ESEARCH (TAG "tag1" MAILBOX folder2/peach/deep UIDVALIDITY <v3>) UID ALL 1:2
        S: tag1 OK done
        C: tag2 ESEARCH IN (mailboxes "folder1" subtree-one "folder2") subject "chad"
        S: * ESEARCH (TAG "tag2" MAILBOX folder1 UIDVALIDITY <v1>) UID ALL 1
        S: * ESEARCH (TAG "tag2" MAILBOX folder2/banana UIDVALIDITY <v2>) UID ALL 1
        S: tag2 OK done
        C: tag3 ESEARCH IN (mailboxes ("folder3" "none" "folder1")) RETURN (COUNT MIN) SUBJECT chad
        S: * ESEARCH (TAG "tag3" MAILBOX folder1 UIDVALIDITY <v1>) UID COUNT 1 MIN 1
        S: * ESEARCH (TAG "tag3" MAILBOX folder3 UIDVALIDITY <v4>) UID COUNT 1 MIN 1
        S: tag3 OK done
        C: tag4 ESEARCH UNSEEN
        S: tag4 BAD no mailbox is selected
        C: tag5 ESEARCH IN (personal) SUBJECT "no such subject at all"
        S: tag5 OK done
        C: tag6 SELECT folder3
        S: * FLAGS ...
        """)
    box.until("tag6")
    box.script("""
        C: tag7 ESEARCH RETURN (SAVE COUNT) ALL
        S: * ESEARCH (TAG "tag7" MAILBOX folder3 UIDVALIDITY <v4>) UID COUNT 1
        S: tag7 OK done
        C: tag8 FETCH $ UID
        S: * 1 FETCH (UID 1)
        S: tag8 OK done
        C: tag9 ESEARCH IN (selected personal) RETURN (SAVE) ALL
        S: tag9 BAD ...
        C: tagA ESEARCH IN (weather) ALL
        S: tagA BAD ...
        """)


def test_no_more_messages_than_the_limit(folder):
    """RFC 9738 §3.1."""
    with Served(folder / "limited", "limited.test", config="[limits]\nimap_messages = 3\n") as house:
        house.domain("limited.test", "carol")
        with Line(house, "carol@limited.test", PASSWORD) as box:
            assert "MESSAGELIMIT=3" in box.ok("CAPABILITY")[0].split()
            box.fresh("ml", [mail(f"m{i}") for i in range(6)])
            box.script("""
                C: 03 FETCH 1:* (UID)
                S: * 4 FETCH (UID 4)
                S: * 5 FETCH (UID 5)
                S: * 6 FETCH (UID 6)
                S: 03 OK [MESSAGELIMIT 3 4] ...
                C: 04 FETCH 1:3 (UID)
                S: * 1 FETCH (UID 1)
                S: * 2 FETCH (UID 2)
                S: * 3 FETCH (UID 3)
                S: 04 OK done
                C: 05 UID SEARCH UID 2:6 UNDELETED
                S: * SEARCH 4 5 6
                S: 05 OK [MESSAGELIMIT 3 4] ...
                C: 06 UID COPY 1:6 Trash
                S: 06 NO [MESSAGELIMIT 3 4] ...
                C: 07 UID STORE 1:6 +FLAGS.SILENT (\\Deleted)
                S: 07 OK [MESSAGELIMIT 3 4] ...
                C: 08 UID FETCH 1:6 (UID) (PARTIAL -1:-5)
                S: 08 NO [MESSAGELIMIT 3] ...
                C: 09 UID SEARCH UIDAFTER 4
                S: * SEARCH 5 6
                S: 09 OK [MESSAGELIMIT 3 4] ...
                C: 0a UID SEARCH UIDBEFORE 3 UID 1:3
                S: * SEARCH 1 2
                S: 0a OK done
                C: 0b EXPUNGE
                S: * 4 EXPUNGE
                S: * 4 EXPUNGE
                S: * 4 EXPUNGE
                S: 0b OK done
                """)


def test_progress_of_a_long_search(folder):
    """RFC 9585 §4, with the shortest of intervals."""
    with Served(folder / "slow", "slow.test", config="[limits]\nimap_progress_ms = 1\n") as house:
        house.domain("slow.test", "carol")
        with Line(house, "carol@slow.test", PASSWORD) as box:
            box.fresh("pr", [mail(f"m{i}") for i in range(10)])
            for _ in range(6):
                box.ok("COPY 1:* pr")
            told = []
            for _ in range(20):
                told += [line for line in box.ok("SEARCH SENTSINCE 1-Jan-2100") if "INPROGRESS" in line]
            assert told
            for line in told:
                done, goal = map(int, re.fullmatch(r'\* OK \[INPROGRESS \("x\d+" (\d+) (\d+)\)\] .*', line).groups())
                assert 0 < done < goal == 640
