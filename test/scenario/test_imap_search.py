"""SEARCH and its extensions: ESEARCH (RFC 4731), SEARCHRES (5182), WITHIN (5032), PARTIAL (9394), SAVEDATE (8514), OBJECTID (8474),
FUZZY (6203)."""
import base64
import re

import pytest

from harness.imap import Line


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def fill(box, name, n=12):
    box.fresh(name, [(f"From: s{i % 3}@example.test\nSubject: number {i}\n\nbody {i}\n",
                      "\\Flagged" if i in (2, 10, 11) else "\\Deleted" if i == 5 else "") for i in range(1, n + 1)])


def test_extended_results(box):
    """RFC 4731 §3.1, with its example's shape."""
    fill(box, "es1")
    box.script("""
        C: A282 SEARCH RETURN (MIN COUNT) FLAGGED
        S: * ESEARCH (TAG "A282") COUNT 3 MIN 2
        S: A282 OK done
        C: A283 SEARCH RETURN () FLAGGED
        S: * ESEARCH (TAG "A283") ALL 2,10:11
        S: A283 OK done
        C: A284 SEARCH RETURN (MIN) FLAGGED FROM "nobody"
        S: * ESEARCH (TAG "A284")
        S: A284 OK done
        C: A285 UID SEARCH RETURN (MIN MAX) 1:10
        S: * ESEARCH (TAG "A285") UID MIN 1 MAX 10
        S: A285 OK done
        C: A286 SEARCH RETURN (COUNT) KEYWORD nothing
        S: * ESEARCH (TAG "A286") COUNT 0
        S: A286 OK done
        C: A287 SEARCH RETURN (MIN) UNFLAGGED
        S: * ESEARCH (TAG "A287") MIN 1
        S: A287 OK done
        C: A288 SEARCH RETURN (NONSENSE) ALL
        S: A288 BAD ...
        C: A289 SEARCH RETURN (ALL COUNT) CHARSET UTF-8 SUBJECT "number 1"
        S: * ESEARCH (TAG "A289") COUNT 4 ALL 1,10:12
        S: A289 OK done
        C: A290 SEARCH RETURN (ALL) MODSEQ 1 FLAGGED
        S: * OK [HIGHESTMODSEQ ...
        S: * ESEARCH (TAG "A290") ALL 2,10:11 MODSEQ ...
        S: A290 OK done
        C: A291 SEARCH 10:99
        S: * SEARCH 10 11 12
        S: A291 OK done
        """)


def test_saved_results(box):
    """RFC 5182: "$" stands for what was found."""
    fill(box, "sr1")
    box.script("""
        C: A282 SEARCH RETURN (SAVE) FLAGGED
        S: A282 OK done
        C: A283 FETCH $ (UID)
        S: * 2 FETCH (UID 2)
        S: * 10 FETCH (UID 10)
        S: * 11 FETCH (UID 11)
        S: A283 OK done
        C: A284 SEARCH RETURN (COUNT SAVE) $ 1:10
        S: * ESEARCH (TAG "A284") COUNT 2
        S: A284 OK done
        C: A285 UID SEARCH NOT $ UID 1:3
        S: * SEARCH 1 3
        S: A285 OK done
        C: A286 SEARCH RETURN (SAVE MIN) ALL
        S: * ESEARCH (TAG "A286") MIN 1
        S: A286 OK done
        C: A287 UID STORE $ +FLAGS.SILENT (\\Deleted)
        S: A287 OK done
        C: A288 UID EXPUNGE $
        S: * 1 EXPUNGE
        S: A288 OK done
        C: A289 SEARCH $
        S: * SEARCH
        S: A289 OK done
        C: A28A SEARCH RETURN (SAVE) FLAGGED
        S: A28A OK done
        C: A28B SEARCH RETURN (SAVE) CHARSET x-none SUBJECT a
        S: A28B NO [BADCHARSET ...
        C: A28C COPY $ Archive
        S: A28C OK done
        C: A28D SEARCH RETURN (SAVE PARTIAL 1:2) ALL
        S: * ESEARCH (TAG "A28D") PARTIAL (1:2 1:2)
        S: A28D OK done
        C: A28E SEARCH $
        S: * SEARCH 1 2
        S: A28E OK done
        C: A28F SELECT sr1
        S: * OK [CLOSED] ...
        """)
    box.until("A28F")
    box.script("""
        C: A290 FETCH $ UID
        S: A290 OK done
        """)


def test_parts_of_results(box):
    """RFC 9394 §3.1 and §3.3."""
    fill(box, "pa1")
    box.script("""
        C: A01 UID SEARCH RETURN (PARTIAL -1:-3) ALL
        S: * ESEARCH (TAG "A01") UID PARTIAL (-1:-3 10:12)
        S: A01 OK done
        C: A02 UID SEARCH RETURN (PARTIAL 11:20 COUNT) ALL
        S: * ESEARCH (TAG "A02") UID COUNT 12 PARTIAL (11:20 11:12)
        S: A02 OK done
        C: A03 UID SEARCH RETURN (PARTIAL 1:2) FLAGGED
        S: * ESEARCH (TAG "A03") UID PARTIAL (1:2 2,10)
        S: A03 OK done
        C: A04 UID SEARCH RETURN (PARTIAL 24000:24500) ALL
        S: * ESEARCH (TAG "A04") UID PARTIAL (24000:24500 NIL)
        S: A04 OK done
        C: A05 UID SEARCH RETURN (PARTIAL 1:2 ALL) ALL
        S: A05 BAD ...
        C: 10 UID FETCH 3:12 (UID) (PARTIAL -1:-3)
        S: * 10 FETCH (UID 10)
        S: * 11 FETCH (UID 11)
        S: * 12 FETCH (UID 12)
        S: 10 OK done
        C: 11 UID FETCH 3:12 (UID) (PARTIAL 2:3)
        S: * 4 FETCH (UID 4)
        S: * 5 FETCH (UID 5)
        S: 11 OK done
        C: 12 FETCH 3:12 (UID) (PARTIAL 2:3)
        S: 12 BAD ...
        C: 13 UID FETCH 1:12 (FLAGS) (PARTIAL -1:-30 CHANGEDSINCE 999999999)
        S: * OK [HIGHESTMODSEQ ...
        S: 13 OK done
        """)


def test_ages_and_dates(box):
    """RFC 5032 and RFC 8514."""
    box.fresh("wi1", ["Subject: new\n\nx\n"])
    box.append("wi1", "Subject: old\n\nx\n", date="01-Jan-2001 00:00:00 +0000")
    box.ok("NOOP")
    box.script("""
        C: a1 SEARCH OLDER 86400
        S: * SEARCH 2
        S: a1 OK done
        C: a2 SEARCH YOUNGER 86400
        S: * SEARCH 1
        S: a2 OK done
        C: a3 SEARCH OLDER 0
        S: a3 BAD ...
        C: a4 SEARCH SAVEDSINCE 1-Jan-2010
        S: * SEARCH 1 2
        S: a4 OK done
        C: a5 SEARCH NOT SAVEDBEFORE 1-Jan-2010 BEFORE 1-Jan-2010
        S: * SEARCH 2
        S: a5 OK done
        C: a6 SEARCH SAVEDATESUPPORTED
        S: * SEARCH 1 2
        S: a6 OK done
        C: a7 FETCH 2 (INTERNALDATE SAVEDATE)
        S: * 2 FETCH (INTERNALDATE " 1-Jan-2001 00:00:00 +0000" SAVEDATE "<day> <time> +0000")
        S: a7 OK done
        """)


def test_identifiers(box):
    """RFC 8474: an EMAILID goes with its message, a THREADID with the conversation, a MAILBOXID with the mailbox."""
    made = box.ask("CREATE oi1")[-1]
    mailbox = re.search(r"MAILBOXID \((F\w+)\)", made).group(1)
    box.append("oi1", "Message-ID: <a@x>\nSubject: talk\n\nx\n")
    box.append("oi1", "Message-ID: <b@x>\nIn-Reply-To: <a@x>\nSubject: Re: talk\n\nx\n")
    box.append("oi1", "Message-ID: <c@x>\nSubject: other\n\nx\n")
    assert f"MAILBOXID ({mailbox})" in " ".join(box.ok("SELECT oi1"))
    box.script("""
        C: a1 FETCH 1:3 (EMAILID THREADID)
        S: * 1 FETCH (EMAILID (<e1>) THREADID (<t1>))
        S: * 2 FETCH (EMAILID (<e2>) THREADID (<t1>))
        S: * 3 FETCH (EMAILID (<e3>) THREADID (<t3>))
        S: a1 OK done
        C: a2 SEARCH EMAILID <e2>
        S: * SEARCH 2
        S: a2 OK done
        C: a3 SEARCH OR THREADID <t3> THREADID Tnone
        S: * SEARCH 3
        S: a3 OK done
        C: a4 SEARCH THREADID <t1> NOT EMAILID <e1>
        S: * SEARCH 2
        S: a4 OK done
        C: a5 COPY 2 Archive
        S: a5 OK [COPYUID <v> 2 <u>] done
        """)
    box.known["mailbox"] = mailbox
    box.ok("SELECT Archive")
    assert box.ok(f"UID FETCH {box.known['u']} EMAILID") == [
        f"* {len(box.ok('SEARCH ALL')[0].split()) - 2} FETCH (UID {box.known['u']} EMAILID ({box.known['e2']}))"]
    box.ok("UNSELECT")
    box.ok("RENAME oi1 oi2")
    assert box.ok("STATUS oi2 (MAILBOXID)") == [f"* STATUS oi2 (MAILBOXID ({mailbox}))"]


def test_fuzzy(box):
    """RFC 6203 §3 and §4."""
    box.fresh("fu1", ["Subject: IMAP break\n\nx\n", "Subject: break for an imap day\n\nx\n", "Subject: imap\n\nx\n"])
    box.script("""
        C: A1 SEARCH SUBJECT "IMAP break"
        S: * SEARCH 1
        S: A1 OK done
        C: A2 SEARCH FUZZY (SUBJECT "IMAP break")
        S: * SEARCH 1 2
        S: A2 OK done
        C: B1 UID SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT "IMAP break"
        S: * ESEARCH (TAG "B1") UID ALL 1:2 RELEVANCY (100 50)
        S: B1 OK done
        C: B2 SEARCH RETURN (RELEVANCY) ALL
        S: B2 BAD RELEVANCY ...
        """)


def test_charsets_and_html(box):
    """What is looked at is text: decoded, of any charset, HTML as a person reads it; the search may come in another charset."""
    russian = "привет мир"
    box.fresh("ch1", [
        b"Subject: one\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + russian.encode("koi8-r") + b"\r\n",
        b"Subject: =?utf-8?B?" + base64.b64encode(russian.encode()) + b"?=\r\n\r\nx\r\n",
        b"Subject: three\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p class=secret>Caf&eacute; <b>au</b> lait</p>\r\n",
    ])

    def find(program, *text, charset="utf-8"):
        box.send(f"s1 SEARCH CHARSET {charset} {program} ".encode())
        box.send(b" ".join(b"{%d+}\r\n%s" % (len(t), t) for t in (x.encode(charset) for x in text)) + b"\r\n")
        (line,) = [x for x in box.until("s1") if x.startswith("* SEARCH")]
        return [int(n) for n in line.split()[2:]]
    assert find("BODY", "ПРИВЕТ") == [1]
    assert find("BODY", "мир", charset="koi8-r") == [1]
    assert find("SUBJECT", "Привет", charset="windows-1251") == [2]
    assert find("TEXT", "привет мир") == [1, 2]
    assert find("TEXT", "CAFE\u0301 AU LAIT") == [3]
    assert find("TEXT", "secret") == []
