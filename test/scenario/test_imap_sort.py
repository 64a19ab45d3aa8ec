"""SORT, SORT=DISPLAY, ESORT and THREAD (RFC 5256, 5957, 5267)."""
import re

import pytest

from harness.imap import Line


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "bob") as line:
        yield line


def mail(subject, sender="x@example.test", date="Mon, 1 Jan 2024 00:00:00 +0000", extra="", size=0):
    return f"From: {sender}\nSubject: {subject}\nDate: {date}\n{extra}\n" + "x" * size + "\n"


def test_orders(box):
    box.fresh("so1", [
        mail("Re: banana", "Zoe <anna@example.test>", "Mon, 1 Jan 2024 10:00:00 +0100", "To: c@x\n", 50),
        mail("apple", "=?utf-8?q?=C3=89mile?= <bert@example.test>", "Mon, 1 Jan 2024 09:30:00 +0000", "To: a@x\nCc: zz@x\n", 10),
        mail("Banana (fwd)", "carl@example.test", "Mon, 1 Jan 2024 03:00:00 -0500", "To: b@x\nCc: b@x\n", 100),
        "From: dora@example.test\nSubject: [list] Re: Apple\n\nno date\n",
    ])
    box.script("""
        C: A282 SORT (SUBJECT) UTF-8 ALL
        S: * SORT 2 4 1 3
        S: A282 OK done
        C: A283 SORT (SUBJECT REVERSE DATE) UTF-8 1:3
        S: * SORT 2 1 3
        S: A283 OK done
        C: A284 SORT (REVERSE SUBJECT FROM) US-ASCII ALL
        S: * SORT 1 3 2 4
        S: A284 OK done
        C: A285 SORT (DATE) UTF-8 ALL
        S: * SORT 3 1 2 4
        S: A285 OK done
        C: A286 SORT (DISPLAYFROM) UTF-8 ALL
        S: * SORT 3 4 2 1
        S: A286 OK done
        C: A287 SORT (FROM) UTF-8 ALL
        S: * SORT 1 2 3 4
        S: A287 OK done
        C: A288 UID SORT (REVERSE SIZE) UTF-8 ALL
        S: * SORT 3 1 2 4
        S: A288 OK done
        C: A289 SORT (TO) UTF-8 ALL
        S: * SORT 4 2 3 1
        S: A289 OK done
        C: A28A SORT (CC REVERSE ARRIVAL) UTF-8 ALL
        S: * SORT ...
        S: A28A OK done
        C: A28B SORT (SUBJECT) UTF-8 FROM nobody
        S: * SORT
        S: A28B OK done
        C: A28C SORT (WEATHER) UTF-8 ALL
        S: A28C BAD ...
        C: A28D SORT (SUBJECT) X-NONE ALL
        S: A28D NO [BADCHARSET ...
        C: E01 UID SORT RETURN () (REVERSE DATE) UTF-8 ALL
        S: * ESEARCH (TAG "E01") UID ALL 4,2,1,3
        S: E01 OK done
        C: E02 SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG "E02") COUNT 4 MIN 3 MAX 4
        S: E02 OK done
        C: E03 SORT RETURN (PARTIAL 2:3) (DATE) UTF-8 ALL
        S: * ESEARCH (TAG "E03") PARTIAL (2:3 1:2)
        S: E03 OK done
        C: E04 SORT RETURN (SAVE) (DATE) UTF-8 SUBJECT apple
        S: E04 OK done
        C: E05 SEARCH $
        S: * SEARCH 2 4
        S: E05 OK done
        """)


def test_threads_by_references(box):
    """RFC 5256: the tree of the THREAD response's description, (2)(3 6 (4 23)(44 7 96)), with smaller numbers, a lost parent, and
    subjects that belong together."""
    def ref(i, refs, subject, hour):
        return mail(subject, date=f"Mon, 1 Jan 2024 {hour:02}:00:00 +0000",
                    extra=f"Message-ID: <{i}@x>\n" + (f"References: {' '.join(f'<{r}@x>' for r in refs)}\n" if refs else ""))
    box.fresh("th1", [
        ref(1, [], "alone", 1),
        ref(2, [], "talk", 2),
        ref(3, [2], "Re: talk", 3),
        ref(4, [2, 3], "Re: talk", 4),
        ref(5, [2, 3, 4], "Re: talk", 5),
        ref(6, [2, 3], "Re: talk", 6),
        ref(7, [2, 3, 6], "Re: talk", 7),
        ref(8, [99], "lost", 8),
        ref(9, [99], "lost too", 9),
        ref(10, [], "same", 10),
        ref(11, [], "Re: same", 11),
        ref(12, [], "equal", 12),
        ref(13, [], "equal", 13),
    ])
    box.script("""
        C: A1 THREAD REFERENCES UTF-8 ALL
        S: * THREAD (1)(2 3 (4 5)(6 7))((8)(9))(10 11)((12)(13))
        S: A1 OK done
        C: A2 UID THREAD REFERENCES UTF-8 SUBJECT lost
        S: * THREAD ((8)(9))
        S: A2 OK done
        C: A3 THREAD ORDEREDSUBJECT UTF-8 2:13
        S: * THREAD (2 (3)(4)(5)(6)(7))(8)(9)(10 11)(12 13)
        S: A3 OK done
        C: A4 THREAD ORDEREDSUBJECT US-ASCII TEXT "gewp"
        S: * THREAD
        S: A4 OK done
        C: A5 THREAD MAGIC UTF-8 ALL
        S: A5 BAD ...
        """)


def test_loops_of_references_end(box):
    box.fresh("th2", [mail("a", extra="Message-ID: <1@x>\nReferences: <2@x>\n"), mail("b", extra="Message-ID: <2@x>\nReferences: <1@x>\n"),
                      mail("c", extra="Message-ID: <3@x>\nReferences: <3@x>\n"), mail("d", extra="Message-ID: <3@x>\n")])
    (line,) = box.ok("THREAD REFERENCES UTF-8 ALL")
    assert sorted(int(n) for n in re.findall(r"\d+", line)) == [1, 2, 3, 4]
