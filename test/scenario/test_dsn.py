"""Reports as senders ask for them (RFC 3461, 3464, 6533): each outcome, the right fields, parsed with Python's email."""
import email
import email.policy
import re
from email.utils import parsedate_to_datetime

import pytest

from harness import house as hh
from harness.house import SMTP, SUBMISSIONS, Served
from harness.net import free_port, wait_until
from harness.sink import Sink

pytestmark = pytest.mark.sanitized

PLAIN, KNOWS = "127.0.0.5", "127.0.0.6"


@pytest.fixture(scope="module")
def world():
    path = hh.scratch("dsn")
    port = free_port(PLAIN)
    config = "".join(f"[route {name}.test]\nhost = {address}\nport = {port}\n" for name, address in (("plain", PLAIN), ("knows", KNOWS)))
    plain = Sink(PLAIN, port, {"RCPT:no": "550 5.1.1 no such user", "RCPT:later": "451 4.2.0 not now"})
    knows = Sink(KNOWS, port, {"RCPT:later": "451 4.2.0 not now"}, ("PIPELINING", "8BITMIME", "DSN", "SMTPUTF8", "DELIVERBY"))
    with Served(path / "a", "mx.a.test", "127.0.0.1", {}, config) as house:
        house.domain("a.test", "ann", "bob", "cid")
        house.run("alias", "add", "both@a.test", "bob@a.test", "cid@a.test")
        yield house, plain, knows
    plain.close()
    knows.close()
    hh.remove(path)


def send(house, recipients, mail=(), options=(), sender="ann@a.test", text="body"):
    """`recipients`: {address: [options]} or addresses."""
    with house.smtp(SUBMISSIONS) as s:
        s.login("ann@a.test", hh.PASSWORD)
        code, said = s.mail(sender, list(mail))
        assert code == 250, said
        for address in recipients:
            code, said = s.rcpt(address, recipients[address] if isinstance(recipients, dict) else list(options))
            assert code == 250, said
        code, said = s.data(f"From: {sender}\r\nTo: x\r\nSubject: asked\r\n\r\n{text}\r\n")
        assert code == 250, said
        return re.search(rb"[0-9A-Z]{26}", said).group().decode()


def reports(house, number, n=1, seconds=20):
    """The reports about a message in ann's mailbox, parsed."""
    def look():
        found = [raw for raw in house.inbox("ann@a.test") if number.encode() in raw and b"report-type=delivery-status" in raw]
        return found if len(found) >= n else None
    return [email.message_from_bytes(raw, policy=email.policy.default) for raw in wait_until(look, seconds, f"report about {number}")]


# RFC 3464 §2.3: what each outcome is told with.
STATUS = {"delivered": "2.", "relayed": "2.", "expanded": "2.", "delayed": "4.", "failed": ("4.", "5.")}


def check_block(block):
    action = str(block["Action"])
    assert block["Status"].startswith(STATUS[action]) and re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", block["Status"])
    assert re.fullmatch(r"rfc822; ?\S+@\S+", str(block["Final-Recipient"])) and parsedate_to_datetime(block["Last-Attempt-Date"])
    elsewhere = block["Diagnostic-Code"] is not None and block["Diagnostic-Code"].startswith("smtp; ")
    assert elsewhere == (block["Remote-MTA"] is not None), str(block)
    assert action not in ("delivered", "expanded") or not elsewhere
    assert action != "relayed" or elsewhere
    assert (block["Will-Retry-Until"] is not None) == (action == "delayed")


def fields(report):
    """(the fields of the message, {final recipient: its fields})."""
    assert report["Auto-Submitted"] == "auto-replied" and report["Return-Path"] == "<>"
    assert report.get_content_type() == "multipart/report" and len(report.get_payload()) == 3
    text, status, original = report.get_payload()
    assert text.get_content_type() == "text/plain"
    blocks = status.get_payload()
    assert not report.defects and str(report["From"]).startswith("Mail") and report["To"] == "ann@a.test" and report["Date"].datetime and report["Message-ID"]
    assert blocks[0]["Reporting-MTA"] == "dns; mx.a.test" and parsedate_to_datetime(blocks[0]["Arrival-Date"])
    for block in blocks[1:]:
        check_block(block)
    return blocks[0], {str(b["Final-Recipient"]).split(";")[1].strip(): b for b in blocks[1:]}, original


def test_success_here_and_elsewhere_in_one_report(world):
    house, plain, knows = world
    wants = ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;My+2Bname@a.test"]
    number = send(house, {"bob@a.test": wants, "yes@plain.test": wants, "no@plain.test": ["NOTIFY=SUCCESS"], "both@a.test": ["NOTIFY=SUCCESS"],
                          "yes@knows.test": wants}, mail=["RET=HDRS", "ENVID=QQ+2B1"])
    (report,) = reports(house, number)
    top, each, original = fields(report)
    assert top["Original-Envelope-Id"] == "QQ+1" and top["Reporting-MTA"] == "dns; mx.a.test"
    assert {name: str(b["Action"]) for name, b in each.items()} == {
        "bob@a.test": "delivered", "yes@plain.test": "relayed", "both@a.test": "expanded"}
    assert each["bob@a.test"]["Original-Recipient"] == "rfc822;My+name@a.test" and each["bob@a.test"]["Status"].startswith("2.")
    assert each["yes@plain.test"]["Remote-MTA"].startswith("dns; ") and each["yes@plain.test"]["Diagnostic-Code"].startswith("smtp; 250")
    assert original.get_content_type() == "text/rfc822-headers"
    # The server that knows DSN was told all, and reports by itself.
    asked = [line for line in knows.commands if line.startswith("RCPT TO:<yes@")][-1]
    assert "NOTIFY=SUCCESS,FAILURE" in asked and "ORCPT=rfc822;My+2Bname@a.test" in asked
    assert any("ENVID=QQ+2B1" in line and "RET=HDRS" in line for line in knows.commands)
    # What failed was not asked for, and nobody hears of it; each is told once.
    assert "did not want to be told" in house.run("trace", number)
    assert len(reports(house, number)) == 1
    wait_until(lambda: house.rows("queue", "list", number) == [], 20, "its end")


def test_failure_and_never(world):
    house, plain, _ = world
    number = send(house, {"no1@plain.test": ["NOTIFY=FAILURE", "ORCPT=rfc822;no1@plain.test"], "no2@plain.test": [], "no3@plain.test": ["NOTIFY=NEVER"]},
                  mail=["ENVID=7"])
    (report,) = reports(house, number)
    top, each, original = fields(report)
    assert set(each) == {"no1@plain.test", "no2@plain.test"}
    block = each["no1@plain.test"]
    assert (block["Action"], block["Status"]) == ("failed", "5.1.1")
    assert block["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user" and block["Original-Recipient"] == "rfc822;no1@plain.test"
    assert original.get_content_type() == "message/rfc822" and top["Original-Envelope-Id"] == "7"


def test_delay_and_deliver_by(world):
    house, plain, _ = world
    number = send(house, {"later1@plain.test": ["NOTIFY=DELAY"], "later2@plain.test": ["NOTIFY=FAILURE"]})
    back = send(house, ["later3@knows.test"], mail=["BY=3600;R"])
    told = send(house, ["later4@plain.test"], mail=["BY=3600;N"])
    wait_until(lambda: "not yet" in house.run("trace", told), 20, "the first attempt")
    house.run("clock", "advance", "70m")
    (report,) = reports(house, back)
    assert fields(report)[1]["later3@knows.test"]["Status"] == "5.4.7"
    (report,) = reports(house, told)
    assert fields(report)[1]["later4@plain.test"]["Action"] == "delayed"
    house.run("clock", "advance", "4h")
    (report,) = reports(house, number)
    _, each, _ = fields(report)
    assert set(each) == {"later1@plain.test"} and each["later1@plain.test"]["Action"] == "delayed"
    assert each["later1@plain.test"]["Will-Retry-Until"]
    house.run("queue", "remove", "ann@a.test")
    wait_until(lambda: house.rows("queue", "list") == [], 20, "an empty queue")


def test_future_release(world):
    house, plain, _ = world
    number = send(house, ["soon@plain.test"], mail=["HOLDFOR=7200"])
    (row,) = house.rows("queue", "list", number)
    assert row["recipients"][0]["state"] == "scheduled"
    house.run("clock", "advance", "1h")
    assert not any(to == ("soon@plain.test",) for to, _ in plain.messages)
    house.run("clock", "advance", "61m")
    wait_until(lambda: any(to == ("soon@plain.test",) for to, _ in plain.messages), 20, "the held message")


def test_utf8(world):
    house, plain, _ = world
    with house.smtp(SUBMISSIONS) as s:
        s.login("ann@a.test", hh.PASSWORD)
        s.ehlo()
        s.command_encoding = "utf-8"
        assert s.mail("ann@a.test", ["SMTPUTF8"])[0] == 250
        assert s.rcpt("nö@knows.test", ["NOTIFY=SUCCESS,FAILURE"])[0] == 250
        assert s.rcpt("nö@plain.test", ["NOTIFY=FAILURE"])[0] == 250
        code, said = s.data("From: ann@a.test\r\nTo: nö@plain.test\r\nSubject: Grüße\r\n\r\nö\r\n".encode())
        assert code == 250, said
    number = re.search(rb"[0-9A-Z]{26}", said).group().decode()
    (report,) = reports(house, number)
    assert report["Content-Transfer-Encoding"] == "8bit"
    _, status, original = report.get_payload()
    assert status.get_content_type() == "message/global-delivery-status"
    assert "utf-8; nö@plain.test".encode() in bytes(report) and original.get_content_type() in ("message/global", "message/global-headers")
    assert "Status: 5.6.7" in status.as_string() or "Status: 5.6" in status.as_string()


def test_nobody_answers_machines_and_forgers(world):
    house, plain, _ = world
    house.run("alias", "add", "away@a.test", "no9@plain.test")
    # In the name of one of us, not signed in; as an answer of a machine; from nobody.
    for sender, header in (("ann@a.test", ""), ("s@elsewhere.test", "Auto-Submitted: auto-replied\r\n"), ("", "")):
        with house.smtp(SMTP) as s:
            s.ehlo()
            assert s.mail(sender)[0] == 250
            code, said = s.rcpt("away@a.test")
            if code != 250:  # refused at the door is as well
                continue
            code, said = s.data(f"Subject: x\r\n{header}\r\nhello\r\n")
            number = re.search(rb"[0-9A-Z]{26}", said).group().decode()
        wait_until(lambda: "nobody is told" in house.run("trace", number), 20, "the silence")
    wait_until(lambda: house.rows("queue", "list") == [], 20, "an empty queue")


def test_what_leaves_the_house_is_signed(world):
    """The report is from mx.a.test; a.test is ours, and DMARC takes both as one."""
    house, plain, _ = world
    house.run("alias", "add", "gone@a.test", "no8@plain.test")
    house.send("writer@plain.test", "gone@a.test", "Subject: x\r\n\r\nhello\r\n")
    (_, raw), = wait_until(lambda: [m for m in plain.messages if m[0] == ("writer@plain.test",)], 20, "the report")
    head = raw.split(b"\r\n\r\n", 1)[0]
    assert head.count(b"DKIM-Signature: ") == 2 and b"d=a.test;" in head and b"From: " in head
    dkim = pytest.importorskip("dkim")
    keys = {row["name"]: row["value"] for row in house.rows("dkim", "show", "a.test")}
    verifier = dkim.DKIM(raw)
    assert all(verifier.verify(idx=i, dnsfunc=lambda name, timeout=5: keys.get(name.decode().rstrip("."), "").encode()) for i in range(2))
