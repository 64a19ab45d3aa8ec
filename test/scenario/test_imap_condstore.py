"""CONDSTORE and QRESYNC (RFC 7162), UIDONLY (RFC 9586), by scripts like the RFCs' examples."""
import pytest

from harness.imap import Line


def body(i):
    return f"From: a@example.test\nSubject: m{i}\n\nbody {i}\n"


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def test_modseqs_are_told_once_wanted(box):
    lines = box.fresh("cs1", [body(i) for i in range(3)])
    assert any("[HIGHESTMODSEQ " in line for line in lines)
    box.script("""
        C: a1 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Recent))
        S: a1 OK done
        C: a2 FETCH 1:3 (FLAGS MODSEQ)
        S: * OK [HIGHESTMODSEQ <h>] ...
        S: * 1 FETCH (FLAGS (\\Recent) MODSEQ (<m1>))
        S: * 2 FETCH (FLAGS (\\Recent) MODSEQ (<m2>))
        S: * 3 FETCH (FLAGS (\\Recent) MODSEQ (<h>))
        S: a2 OK done
        C: a3 STORE 2 +FLAGS.SILENT (\\Deleted)
        S: * 2 FETCH (MODSEQ (<n2>))
        S: a3 OK done
        C: a4 FETCH 1:3 (UID) (CHANGEDSINCE <h>)
        S: * 2 FETCH (UID 2 MODSEQ (<n2>))
        S: a4 OK done
        C: a5 SEARCH MODSEQ <h>
        S: * SEARCH 2 3 (MODSEQ <n2>)
        S: a5 OK done
        C: a6 SEARCH MODSEQ "/flags/\\\\draft" all <n2>
        S: * SEARCH 2 (MODSEQ <n2>)
        S: a6 OK done
        C: a7 STATUS cs1 (HIGHESTMODSEQ)
        S: * STATUS cs1 (HIGHESTMODSEQ <n2>)
        S: a7 OK done
        """)
    assert int(box.known["n2"]) > int(box.known["h"])


def test_conditional_store(box, shared_demo):
    """RFC 7162 §3.1.3: examples 3 to 8."""
    box.fresh("cs2", [body(i) for i in range(4)])
    box.ok("ENABLE CONDSTORE")
    (last,) = [line for line in box.ok("STATUS cs2 (HIGHESTMODSEQ)")]
    top = int(last.split("HIGHESTMODSEQ ")[1].rstrip(")"))
    with Line(shared_demo, "alice") as other:
        other.ok("SELECT cs2")
        other.ok("STORE 2 +FLAGS (\\Flagged)")
    box.known["top"] = str(top)
    box.script("""
        C: d1 STORE 1:3 (UNCHANGEDSINCE <top>) +FLAGS.SILENT (\\Seen)
        S: * 2 FETCH (FLAGS (\\Flagged \\Recent) MODSEQ (<f>))
        S: * 1 FETCH (MODSEQ (<m>))
        S: * 3 FETCH (MODSEQ (<m>))
        S: d1 OK [MODIFIED 2] done
        C: d2 UID STORE 4 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)
        S: d2 OK [MODIFIED 4] done
        C: d3 UID STORE 2 (UNCHANGEDSINCE <f>) +FLAGS ($Work)
        S: * FLAGS ...
        S: * OK [PERMANENTFLAGS ...
        S: * 2 FETCH (UID 2 FLAGS (\\Flagged \\Recent $Work) MODSEQ (<w>))
        S: d3 OK done
        C: d4 STORE 1 (UNCHANGEDSINCE) FLAGS ()
        S: d4 BAD ...
        """)


def test_select_with_condstore(box):
    box.fresh("cs3", [body(1)])
    box.script("""
        C: a1 SELECT cs3 (CONDSTORE)
        S: * OK [CLOSED] ...
        S: * FLAGS ...
        S: * OK [PERMANENTFLAGS ...
        S: * 1 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 1] ...
        S: * OK [UIDVALIDITY ...
        S: * OK [UIDNEXT 2] ...
        S: * OK [HIGHESTMODSEQ <h>] ...
        S: * OK [MAILBOXID (F...)] ...
        S: a1 OK [READ-WRITE] selected
        C: a2 STORE 1 FLAGS (\\Seen)
        S: * 1 FETCH (FLAGS (\\Seen) MODSEQ (<n>))
        S: a2 OK done
        C: a3 SELECT cs3 (QRESYNC (1 1))
        S: a3 BAD QRESYNC is not enabled
        C: a4 UID FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)
        S: a4 BAD VANISHED ...
        C: a5 SELECT cs3 (NONSENSE)
        S: a5 BAD ...
        """)


def test_quick_resynchronization(box, shared_demo):
    """RFC 7162 §3.2.5: a client comes back and hears only what changed."""
    lines = box.fresh("qr1", [body(i) for i in range(10)])
    validity = [line.split()[3].rstrip("]") for line in lines if "UIDVALIDITY" in line][0]
    box.ok("UID STORE 1,2,9 +FLAGS.SILENT (\\Deleted)")
    box.ok("UID EXPUNGE 1")
    top = int(box.ok("STATUS qr1 (HIGHESTMODSEQ)")[-1].split("HIGHESTMODSEQ ")[1].rstrip(")"))
    box.ok("UID EXPUNGE 2,9")
    box.ok("UID STORE 4 +FLAGS.SILENT (\\Answered)")
    with Line(shared_demo, "alice") as line:
        line.known.update(v=validity, top=str(top))
        line.script("""
            C: a1 ENABLE QRESYNC
            S: * ENABLED QRESYNC
            S: a1 OK done
            C: a2 SELECT qr1 (QRESYNC (<v> <top>))
            S: * FLAGS ...
            S: * OK [PERMANENTFLAGS ...
            S: * 7 EXISTS
            S: * 0 RECENT
            S: * OK [UNSEEN 1] ...
            S: * OK [UIDVALIDITY <v>] ...
            S: * OK [UIDNEXT 11] ...
            S: * OK [HIGHESTMODSEQ <now>] ...
            S: * OK [MAILBOXID ...
            S: * VANISHED (EARLIER) 2,9
            S: * 2 FETCH (UID 4 FLAGS (\\Answered) MODSEQ (<now>))
            S: a2 OK [READ-WRITE] selected
            C: a3 UID FETCH 1:5 (FLAGS) (CHANGEDSINCE 1 VANISHED)
            S: * VANISHED (EARLIER) 1:2
            S: * 1 FETCH (UID 3 FLAGS () MODSEQ ...
            S: * 2 FETCH (UID 4 FLAGS (\\Answered) MODSEQ (<now>))
            S: * 3 FETCH (UID 5 FLAGS () MODSEQ ...
            S: a3 OK done
            C: a4 STORE 7 +FLAGS (\\Deleted)
            S: * 7 FETCH (UID 10 FLAGS (\\Deleted) MODSEQ (<d>))
            S: a4 OK done
            C: a5 EXPUNGE
            S: * VANISHED 10
            S: a5 OK [HIGHESTMODSEQ <e>] done
            C: a6 UID MOVE 3,5 Archive
            S: * OK [COPYUID ...
            S: * VANISHED 3,5
            S: a6 OK [HIGHESTMODSEQ <f>] done
            C: a7 SELECT qr1 (QRESYNC (<v> <e> 1:4 (1:2 3:4)))
            S: * OK [CLOSED] ...
            S: * FLAGS ...
            S: * OK [PERMANENTFLAGS ...
            S: * 4 EXISTS
            S: * 0 RECENT
            S: * OK [UNSEEN 1] ...
            S: * OK [UIDVALIDITY <v>] ...
            S: * OK [UIDNEXT 11] ...
            S: * OK [HIGHESTMODSEQ <f>] ...
            S: * OK [MAILBOXID ...
            S: * VANISHED (EARLIER) 3
            S: a7 OK [READ-WRITE] selected
            C: a8 SELECT qr1 (QRESYNC (1 <e>))
            S: * OK [CLOSED] ...
            S: * FLAGS ...
            S: * OK [PERMANENTFLAGS ...
            S: * 4 EXISTS
            S: * 0 RECENT
            S: * OK [UNSEEN 1] ...
            S: * OK [UIDVALIDITY <v>] ...
            S: * OK [UIDNEXT 11] ...
            S: * OK [HIGHESTMODSEQ <f>] ...
            S: * OK [MAILBOXID ...
            S: a8 OK [READ-WRITE] selected
            """)


def test_vanished_survives_a_restart_of_the_session_and_idle(box, shared_demo):
    box.fresh("qr2", [body(i) for i in range(5)])
    with Line(shared_demo, "alice") as line:
        line.ok("ENABLE QRESYNC")
        line.ok("SELECT qr2")
        line.send("i1 IDLE\r\n")
        assert line.line() == "+ idling"
        box.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)")
        box.ok("EXPUNGE")
        seen = []
        while not any("VANISHED" in x for x in seen):
            seen.append(line.line())
        assert seen[-1] == "* VANISHED 2:3"
        assert all("UID" in x and "MODSEQ" in x for x in seen[:-1])
        line.send("DONE\r\n")
        assert line.until("i1")[-1].startswith("i1 OK")


def test_only_uids(box):
    """RFC 9586 §3."""
    box.fresh("uo1", [body(i) for i in range(4)])
    box.script("""
        C: 01 ENABLE UIDONLY
        S: * ENABLED UIDONLY
        S: 01 OK done
        C: 07 FETCH 1:4 (UID FLAGS)
        S: 07 BAD [UIDREQUIRED] ...
        C: 08 STORE 1 +FLAGS (\\Seen)
        S: 08 BAD [UIDREQUIRED] ...
        C: 09 SEARCH ALL
        S: 09 BAD [UIDREQUIRED] ...
        C: 0a UID SEARCH 1:2
        S: 0a BAD [UIDREQUIRED] ...
        C: 0b UID SEARCH UID 1:2
        S: * SEARCH 1 2
        S: 0b OK done
        C: 10 UID FETCH 3:4 (FLAGS)
        S: * 3 UIDFETCH (FLAGS (\\Recent))
        S: * 4 UIDFETCH (FLAGS (\\Recent))
        S: 10 OK done
        C: 11 UID FETCH 3 (UID FLAGS)
        S: * 3 UIDFETCH (UID 3 FLAGS (\\Recent))
        S: 11 OK done
        C: 12 UID STORE 1:2 +FLAGS (\\Deleted)
        S: * 1 UIDFETCH (FLAGS (\\Deleted \\Recent))
        S: * 2 UIDFETCH (FLAGS (\\Deleted \\Recent))
        S: 12 OK done
        C: 13 EXPUNGE
        S: * VANISHED 1:2
        S: 13 OK done
        C: 15 UID MOVE 4 Archive
        S: * OK [COPYUID ...
        S: * VANISHED 4
        S: 15 OK done
        """)
