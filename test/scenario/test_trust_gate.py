"""Who sent a message, as the gate finds out: SPF, DKIM, DMARC and ARC against a name server of our own; what is refused, what goes into
Junk, and what the recipient and the operator are told. The clients' addresses are told by XCLIENT."""
import base64
import email
import email.policy
import gzip
import hashlib
import json
import re
import smtplib
import subprocess
from xml.etree import ElementTree

import pytest

from harness import house as hh, nsd
from harness.house import Served
from harness.net import free_port, wait_until
from scenario_helpers import dmarc_schema, past_midnight

pytestmark = pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")

BANK, LIST, STRANGER = "192.0.2.1", "192.0.2.2", "192.0.2.9"


class Key:
    """A DKIM key; signs with relaxed/relaxed, written after RFC 6376 alone."""

    def __init__(self, domain, selector):
        rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
        self.domain, self.selector = domain, selector
        self.key = rsa.generate_private_key(65537, 2048)

    def record(self):
        from cryptography.hazmat.primitives import serialization as s
        der = self.key.public_key().public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
        text = "v=DKIM1; k=rsa; p=" + base64.b64encode(der).decode()
        return " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))

    def sign_raw(self, data):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        return base64.b64encode(self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())).decode()

    @staticmethod
    def relaxed(name, value):
        return name.lower().encode() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ")

    @staticmethod
    def body_hash(body):
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
        while lines and not lines[-1]:
            lines.pop()
        return base64.b64encode(hashlib.sha256(b"".join(line + b"\r\n" for line in lines)).digest()).decode()

    def sign(self, message):
        head, body = message.split(b"\r\n\r\n", 1)
        value = (f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={self.domain}; s={self.selector}; h=From:Subject; bh={self.body_hash(body)}; b=").encode()
        fields = [line.split(b":", 1) for line in head.split(b"\r\n")]
        signed = b"".join(self.relaxed(n.decode(), v) + b"\r\n" for want in (b"from", b"subject") for n, v in fields if n.lower() == want)
        signature = self.sign_raw(signed + self.relaxed("dkim-signature", value))
        return b"DKIM-Signature: " + value + signature.encode() + b"\r\n" + message

    def seal(self, message, found):
        """A first ARC set on top."""
        head, body = message.split(b"\r\n\r\n", 1)
        results = f"i=1; mx.{self.domain}; {found}".encode()
        ams = f"i=1; a=rsa-sha256; c=relaxed/relaxed; d={self.domain}; s={self.selector}; h=From:Subject; bh={self.body_hash(body)}; b=".encode()
        fields = [line.split(b":", 1) for line in head.split(b"\r\n")]
        signed = b"".join(self.relaxed(n.decode(), v) + b"\r\n" for want in (b"from", b"subject") for n, v in fields if n.lower() == want)
        ams += self.sign_raw(signed + self.relaxed("arc-message-signature", ams)).encode()
        seal = f"i=1; a=rsa-sha256; cv=none; d={self.domain}; s={self.selector}; b=".encode()
        chain = self.relaxed("arc-authentication-results", results) + b"\r\n" + self.relaxed("arc-message-signature", ams) + b"\r\n"
        seal += self.sign_raw(chain + self.relaxed("arc-seal", seal)).encode()
        return (b"ARC-Seal: " + seal + b"\r\nARC-Message-Signature: " + ams + b"\r\nARC-Authentication-Results: " + results + b"\r\n" + message)


class World:
    pass


@pytest.fixture(scope="module")
def world():
    w, path = World(), hh.scratch("trust-gate")
    w.bank, w.forwarder, w.unknown = Key("bank.test", "s1"), Key("forwarder.test", "f"), Key("unknown.test", "u")
    test = [f'bank TXT "v=spf1 ip4:{BANK} -all"', '_dmarc.bank TXT "v=DMARC1; p=reject; sp=quarantine; np=reject; fo=1:d; '
            'rua=mailto:ann@in.test!10m,mailto:spy@elsewhere.test"', 'bank.test._report._dmarc.in TXT "v=DMARC1"',
            f"s1._domainkey.bank TXT {w.bank.record()}", "shop.bank A 192.0.2.1", f'mail TXT "v=spf1 ip4:{BANK} ~all"',
            '_dmarc.suspicious TXT "v=DMARC1; p=quarantine"', "suspicious A 192.0.2.3", '_dmarc.calm TXT "v=DMARC1; p=none"',
            '_dmarc.curious TXT "v=DMARC1; p=none; fo=1; ruf=mailto:bob@in.test,mailto:spy@elsewhere.test"', 'curious TXT "v=spf1 -all"',
            'curious.test._report._dmarc.in TXT "v=DMARC1"',
            '_dmarc.trying TXT "v=DMARC1; p=reject; t=y"', f'lists TXT "v=spf1 ip4:{LIST} -all"', f'other.lists TXT "v=spf1 ip4:{LIST} -all"',
            f"f._domainkey.forwarder TXT {w.forwarder.record()}", f"u._domainkey.unknown TXT {w.unknown.record()}", "silent NS ns.silent",
            "ns.silent A 127.0.0.9", 'softly TXT "v=spf1 ~all"', f"mx.bank A {BANK}"]
    zones = {"test": "\n".join(test), "2.0.192.in-addr.arpa": "1 PTR mx.bank.test."}
    with nsd.Nsd(path / "nsd", zones) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n[trust]\nlists = lists.test\nsealers = forwarder.test\nreport_sender = dmarc@in.test\n"
        for name, more in (("proxied", ""), ("unchecked", "check_senders = no\n")):
            port = free_port()
            setattr(w, name, port)
            config += f"[listen {name}]\nservice = smtp\naddress = 127.0.0.1\nport = {port}\nxclient = 127.0.0.0/8\nearly_talker_check = no\n{more}"
        with Served(path / "house", "mx.in.test", "127.0.0.1", {}, config) as house:
            house.domain("in.test", "ann", "bob")
            w.house = house
            yield w
    hh.remove(path)


def deliver(w, client, sender, message, recipient="ann@in.test", port=None, options=()):
    """The last reply, and the id of the message when it was taken."""
    with smtplib.SMTP("127.0.0.1", port or w.proxied, timeout=60) as s:
        s.ehlo("proxy.test")
        assert s.docmd("XCLIENT", f"ADDR={client} HELO=mail.test PROTO=ESMTP")[0] == 220
        s.ehlo("mail.test")
        assert s.mail(sender)[0] == 250
        assert s.rcpt(recipient, options)[0] == 250
        code, text = s.data(message)
    found = re.search(rb"id=(\w+)", text)
    return code, text.decode(), found.group(1).decode() if found else None


def letter(author, subject, more=b""):
    return b"From: " + author.encode() + b"\r\nSubject: " + subject.encode() + b"\r\n" + more + b"\r\nHello,\r\n\r\nthis is  it.\r\n\r\n"


def arrived(w, mailbox, subject, user="ann@in.test"):
    """The message with that subject; and it is in no other mailbox."""
    want = b"Subject: " + subject.encode() + b"\r\n"
    (raw,) = wait_until(lambda: [m for m in w.house.inbox(user, mailbox) if want in m], 20, f"{subject} in {mailbox}")
    assert not [m for m in w.house.inbox(user, "Junk" if mailbox == "INBOX" else "INBOX") if want in m]
    return raw


def results(raw):
    """Our Authentication-Results, unfolded: there is one, and it is above our Received."""
    head = raw.split(b"\r\n\r\n", 1)[0]
    found = re.findall(rb"^Authentication-Results: (mx\.in\.test;(?:[^\n]*\n)(?:[ \t][^\n]*\n)*)", head + b"\r\n", re.M)
    assert len(found) == 1, head
    assert head.index(b"Authentication-Results: mx.in.test") < head.index(b"Received: ")
    return b" ".join(found[0].split()).decode()


def story(w, key):
    return w.house.run("trace", key)


@pytest.mark.sanitized
def test_what_is_in_order_arrives_and_is_told_of(world):
    w = world
    code, _, key = deliver(w, BANK, "news@bank.test", w.bank.sign(letter("Bank <a@bank.test>", "in order")))
    assert code == 250
    told = results(arrived(w, "INBOX", "in order"))
    assert "iprev=pass policy.iprev=192.0.2.1 (mx.bank.test);" in told
    assert "spf=pass smtp.mailfrom=news@bank.test;" in told
    assert "spf=pass smtp.helo=mail.test;" in told
    assert re.search(r"dkim=pass header.d=bank.test header.s=s1 header.a=rsa-sha256 header.b=\S{8}", told), told
    assert told.endswith("dmarc=pass header.from=bank.test policy.dmarc=reject")
    shown = story(w, key)
    assert "the signature of bank.test is valid, and its domain matches the From (bank.test)" in shown
    # The server alone, and the signature alone, are enough.
    assert deliver(w, BANK, "news@bank.test", letter("a@bank.test", "by its server"))[0] == 250
    assert "dkim=none; dmarc=pass" in results(arrived(w, "INBOX", "by its server"))
    assert deliver(w, STRANGER, "x@bank.test", w.bank.sign(letter("a@bank.test", "by its signature")))[0] == 250
    told = results(arrived(w, "INBOX", "by its signature"))
    assert "spf=fail" in told and "dmarc=pass" in told and "iprev=" in told


@pytest.mark.sanitized
def test_a_lie_is_refused_or_goes_into_junk(world):
    w = world
    code, text, _ = deliver(w, STRANGER, "x@bank.test", letter("a@bank.test", "a lie"))
    assert code == 550 and text.startswith("5.7.26 DMARC: ") and "bank.test" in text
    # A signature over something else does not help, nor that of somebody else.
    changed = w.bank.sign(letter("a@bank.test", "changed")).replace(b"Hello", b"Hallo")
    assert deliver(w, STRANGER, "", changed)[0] == 550
    code, text, _ = deliver(w, STRANGER, "", w.unknown.sign(letter("a@bank.test", "signed by another")))
    assert code == 550 and "signed by unknown.test only" in text
    # sp= is for names that exist, np= for others.
    code, _, key = deliver(w, STRANGER, "", letter("a@shop.bank.test", "from the shop"))
    assert code == 250
    told = results(arrived(w, "Junk", "from the shop"))
    assert told.endswith("dmarc=fail header.from=shop.bank.test policy.dmarc=quarantine")
    assert "it goes into Junk, as the author's domain asks" in story(w, key)
    assert deliver(w, STRANGER, "", letter("a@nowhere.bank.test", "from nowhere"))[0] == 550
    # Quarantine; a test of a policy; no policy.
    assert deliver(w, STRANGER, "", letter("a@suspicious.test", "suspicious"))[0] == 250
    arrived(w, "Junk", "suspicious")
    code, _, key = deliver(w, STRANGER, "", letter("a@trying.test", "a trial"))
    assert code == 250 and "policy.dmarc=quarantine" in results(arrived(w, "Junk", "a trial"))
    code, _, key = deliver(w, STRANGER, "", letter("a@calm.test", "calm"))
    assert code == 250 and "dmarc=fail header.from=calm.test policy.dmarc=none" in results(arrived(w, "INBOX", "calm"))
    assert "neither a signature nor the server that sent it confirms that" in story(w, key)
    assert deliver(w, STRANGER, "", letter("a@softly.test", "no policy"))[0] == 250
    assert results(arrived(w, "INBOX", "no policy")).endswith("dmarc=none header.from=softly.test")


@pytest.mark.sanitized
def test_authors_that_are_hidden_are_found(world):
    w = world
    for more in (b"From: a@bank.test\r\n", b"FROM : a@bank.test\r\n", b"fRoM:\r\n (x) \"y\r\n z\" <a@BANK.test>\r\n"):
        assert deliver(w, STRANGER, "", letter("x@softly.test", "hidden", more))[0] == 550, more
    assert deliver(w, STRANGER, "", letter("x@softly.test, a@bank.test", "hidden"))[0] == 550
    assert deliver(w, STRANGER, "", letter("a@1.softly.test, b@2.softly.test, c@3.softly.test, d@bank.test", "too many"))[0] == 250
    assert "dmarc=permerror" in results(arrived(w, "Junk", "too many"))
    assert deliver(w, STRANGER, "", letter("nobody", "no address"))[0] == 250
    assert "dmarc=permerror" in results(arrived(w, "INBOX", "no address"))


@pytest.mark.sanitized
def test_others_who_send_messages_on(world):
    w = world
    # A list that is known, one that only looks like one, and a stranger who says that he is one.
    listed = b"List-Id: <talk.lists.test>\r\n"
    code, _, key = deliver(w, LIST, "bounce@lists.test", letter("a@bank.test", "known list"))
    assert code == 250
    assert "dmarc=fail" in results(arrived(w, "INBOX", "known list"))
    assert "it is taken all the same: it comes from a mailing list that is known" in story(w, key)
    code, _, key = deliver(w, STRANGER, "", w.unknown.sign(letter("a@bank.test", "unknown list", b"List-Post: <mailto:x@unknown.test>\r\n")))
    assert code == 250
    arrived(w, "Junk", "unknown list")
    assert "it looks as if a mailing list passed it on" in story(w, key)
    assert deliver(w, STRANGER, "x@lists.test", letter("a@bank.test", "no list", listed))[0] == 550
    # A chain of ARC whose sealer is believed, and others.
    found = "spf=fail smtp.mailfrom=x@bank.test; dkim=pass header.d=bank.test; dmarc=pass header.from=bank.test"
    code, _, key = deliver(w, STRANGER, "", w.forwarder.seal(letter("a@bank.test", "sealed"), found))
    assert code == 250
    assert "arc=pass" in results(arrived(w, "INBOX", "sealed"))
    assert "an ARC seal that is trusted says that it was in order" in story(w, key)
    for key, found in ((w.forwarder, "dmarc=fail header.from=bank.test"), (w.forwarder, "dmarc=pass header.from=other.test"), (w.unknown, found)):
        assert deliver(w, STRANGER, "", key.seal(letter("a@bank.test", "sealed in vain"), found))[0] == 550
    broken = w.forwarder.seal(letter("a@bank.test", "sealed in vain"), found).replace(b"this is", b"that is")
    assert deliver(w, STRANGER, "", broken)[0] == 550


def test_results_in_our_name_are_taken_out(world):
    w = world
    forged = (b"Authentication-Results: mx.in.test; dmarc=pass header.from=bank.test\r\nAuthentication-Results: other.test; spf=pass\r\n"
              b"Authentication-Results: (x)\r\n\tMX.in.TEST 1; spf=pass\r\n")
    assert deliver(w, STRANGER, "", forged + letter("a@calm.test", "forged results"))[0] == 250
    raw = arrived(w, "INBOX", "forged results")
    assert "dmarc=fail" in results(raw) and b"Authentication-Results: other.test; spf=pass\r\n" in raw and b"MX.in.TEST" not in raw
    # Also where nothing is checked, and of those who have signed in.
    assert deliver(w, STRANGER, "", forged + letter("a@bank.test", "unchecked"), port=w.unchecked)[0] == 250
    w.house.submit("ann@in.test", "ann@in.test", "ann@in.test", forged + letter("ann@in.test", "submitted"))
    w.house.send("x@bank.test", "ann@in.test", forged + letter("a@bank.test", "from this machine"))
    for subject in ("unchecked", "submitted", "from this machine"):
        raw = arrived(w, "INBOX", subject)
        assert b"mx.in.test;" not in raw and b"MX.in.TEST" not in raw and b"other.test; spf=pass" in raw


def is_told(w, sender):
    """Has the house written to that address?"""
    return "Written by this house" in story(w, sender)


def test_success_is_told_only_to_senders_that_are_shown_to_be_it(world):
    w = world
    for client, sender, told in ((STRANGER, "x@softly.test", False), (STRANGER, "x@bank.test", False), (BANK, "x@bank.test", True)):
        code, _, key = deliver(w, client, sender, w.bank.sign(letter("a@bank.test", f"tell {client} {sender}")), options=["NOTIFY=SUCCESS"])
        assert code == 250
        arrived(w, "INBOX", f"tell {client} {sender}")
        if told:
            wait_until(lambda: is_told(w, sender), 20, "the report")
        else:
            assert not is_told(w, sender)


def test_nobody_is_told_who_is_named_in_vain(world):
    """The alias leads to a domain that does not exist. Whose SPF or DMARC says that the message is not theirs gets no report of that."""
    w = world
    w.house.run("alias", "add", "away@in.test", "someone@gone.test")
    code, _, key = deliver(w, STRANGER, "x@lists.test", letter("a@calm.test", "in vain"), "away@in.test")
    assert code == 250
    wait_until(lambda: "the sender is most likely forged (SPF or DMARC says that the message is not from there), so nobody is told" in story(w, key),
               20, "the silence")
    code, _, key = deliver(w, BANK, "x@bank.test", w.bank.sign(letter("a@bank.test", "not in vain")), "away@in.test")
    assert code == 250
    wait_until(lambda: "returned to the sender, with a report" in story(w, key), 20, "the report")


def test_single_failures_are_reported_where_that_is_wanted(world):
    """RFC 9991: only when the house does that, a few a day, to addresses that agreed, without body and recipients."""
    w = world
    before = w.house.extra_config

    def reports():
        return [m for m in w.house.inbox("bob@in.test") if b"report-type=feedback-report" in m]

    secret = letter("a@curious.test", "a failure", b"To: ann@in.test, secret@in.test\r\nMessage-ID: <x@curious.test>\r\n")
    assert deliver(w, STRANGER, "x@curious.test", secret)[0] == 250
    try:
        w.house.extra_config = before.replace("[trust]\n", "[trust]\nfailure_reports = yes\n") + "[limits]\nfailure_reports_per_day = 2\n"
        w.house.write_config()
        w.house.run("reload")
        for _ in range(3):
            assert deliver(w, STRANGER, "x@curious.test", secret)[0] == 250
        assert deliver(w, STRANGER, "", letter("a@calm.test", "nobody asks"))[0] == 250
        wait_until(lambda: len(reports()) >= 2, 30, "the reports")
    finally:
        w.house.extra_config = before
        w.house.write_config()
        w.house.run("reload")
    assert len(reports()) == 2
    message = email.message_from_bytes(reports()[0], policy=email.policy.default)
    assert message.get_content_type() == "multipart/report" and not message.defects and message["From"] == "dmarc@in.test"
    _, feedback, shown = message.get_payload()
    assert feedback.get_content_type() == "message/feedback-report" and shown.get_content_type() == "text/rfc822-headers"
    fields = email.message_from_string(feedback.get_payload()[0].as_string() if feedback.is_multipart() else feedback.get_payload())
    assert {n: fields[n] for n in ("Feedback-Type", "Version", "Auth-Failure", "Identity-Alignment", "Delivery-Result", "Source-IP",
                                   "Reported-Domain", "Original-Mail-From", "Message-ID")} == {
        "Feedback-Type": "auth-failure", "Version": "1", "Auth-Failure": "dmarc", "Identity-Alignment": "dkim, spf",
        "Delivery-Result": "delivered", "Source-IP": STRANGER, "Reported-Domain": "curious.test", "Original-Mail-From": "<x@curious.test>",
        "Message-ID": "<x@curious.test>"}
    assert fields["SPF-DNS"] == 'txt : curious.test : "v=spf1 -all"' and fields["Authentication-Results"].startswith("mx.in.test;")
    raw = reports()[0].split(b"text/rfc822-headers")[1]
    assert b"Subject: a failure" in raw and b"secret" not in reports()[0] and b"this is" not in reports()[0]
    assert "spy@elsewhere.test" not in w.house.run("queue", "list")


def test_the_domains_get_their_reports(world, tmp_path):
    w = world
    for n in range(3):
        assert deliver(w, BANK, "news@bank.test", w.bank.sign(letter("a@bank.test", f"counted {n}")))[0] == 250
    assert deliver(w, STRANGER, "x@softly.test", letter("<&>@bank.test", "not counted twice"))[0] == 550
    wait_until(lambda: any(row["count"] >= 3 and row["source_ip"] == BANK and row["dkim"] == "pass" for row in w.house.rows("report", "pending")),
               20, "the counts")
    wait_until(lambda: any(row["disposition"] == "reject" and row["envelope_from"] == "softly.test" for row in w.house.rows("report", "pending")),
               20, "the refusal")
    days = {row["day"] for row in w.house.rows("report", "pending")}
    counted = sum(row["count"] for row in w.house.rows("report", "pending"))
    assert {row["domain"] for row in w.house.rows("report", "pending")} == {"bank.test"}
    assert {row["to"] for row in w.house.rows("report", "pending")} == {"ann@in.test"}
    past_midnight(w.house)
    (raw,) = wait_until(lambda: [m for m in w.house.inbox("ann@in.test") if b"Subject: Report Domain: bank.test" in m], 60, "the report")
    wait_until(lambda: not days & {row["day"] for row in w.house.rows("report", "pending")}, 20, "nothing is left to tell")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert re.fullmatch(r"Report Domain: bank\.test Submitter: mx\.in\.test Report-ID: <\S+@mx\.in\.test>", message["Subject"])
    assert message["From"] == "dmarc@in.test" and message["Return-Path"] == "<dmarc@in.test>" and not message.defects
    (part,) = message.iter_attachments()
    assert part.get_content_type() == "application/gzip"
    assert re.fullmatch(r"mx\.in\.test!bank\.test!\d+!\d+\.xml\.gz", part.get_filename())
    xml = gzip.decompress(part.get_content())
    root = ElementTree.fromstring(xml)
    names = {"d": "urn:ietf:params:xml:ns:dmarc-2.0"}
    assert sum(int(e.text) for e in root.findall("d:record/d:row/d:count", names)) >= counted
    assert [root.find(f"d:policy_published/d:{n}", names).text for n in ("domain", "p", "sp", "np", "fo", "testing")] == [
        "bank.test", "reject", "quarantine", "reject", "1:d", "n"]
    begin, end = (int(root.find(f"d:report_metadata/d:date_range/d:{n}", names).text) for n in ("begin", "end"))
    assert begin % 86400 == 0 and end == begin + 86399
    found = {(r.find("d:row/d:source_ip", names).text, r.find("d:row/d:policy_evaluated/d:disposition", names).text) for r in root.findall("d:record", names)}
    assert (BANK, "pass") in found and (STRANGER, "reject") in found
    xsd = dmarc_schema(tmp_path)
    if xsd is not None:
        (tmp_path / "report.xml").write_bytes(xml)
        done = subprocess.run(["xmllint", "--noout", "--nonet", "--schema", xsd, tmp_path / "report.xml"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_settings_take_effect_at_once(world):
    w = world
    before = w.house.extra_config

    def change(trust, more=""):
        w.house.extra_config = before.replace("[trust]\n", "[trust]\n" + trust) + more
        w.house.write_config()
        w.house.run("reload")

    try:
        change("dmarc = note\nspf_reject = yes\n")
        code, text, _ = deliver(w, STRANGER, "x@bank.test", letter("a@calm.test", "spf says no"))
        assert code == 550 and text.startswith("5.7.23 SPF: ") and "192.0.2.9" in text
        assert deliver(w, STRANGER, "x@softly.test", letter("a@bank.test", "only noted"))[0] == 250
        assert "dmarc=fail" in results(arrived(w, "INBOX", "only noted"))
        # Nobody answers for this zone.
        change("defer = yes\n", "[limits]\ntrust_timeout_ms = 1500\n")
        code, text, _ = deliver(w, STRANGER, "", letter("a@b.silent.test", "silence"))
        assert code == 451 and text.startswith("4.7.0 ")
        change("checks = no\n")
        assert deliver(w, STRANGER, "x@bank.test", letter("a@bank.test", "no checks"))[0] == 250
        assert b"Authentication-Results" not in arrived(w, "INBOX", "no checks")
    finally:
        change("")
    code, _, _ = deliver(w, STRANGER, "", letter("a@b.silent.test", "silence again"))
    assert code == 250 and "dmarc=temperror" in results(arrived(w, "INBOX", "silence again"))


def test_the_command_says_what_the_gate_does(tmp_path):
    (tmp_path / "zone").write_text('_dmarc.bank.test. TXT "v=DMARC1; p=reject; t=y"\nbank.test. TXT "v=spf1 ip4:192.0.2.1 -all"\n')
    (tmp_path / "letter").write_bytes(letter("a@bank.test", "x"))
    for client, result, verdict in ((BANK, "pass", "fine"), (STRANGER, "fail", "junk")):
        done = subprocess.run([hh.BINARY, "trust", tmp_path / "letter", "--json", "--dns", tmp_path / "zone", "--ip", client, "--from=x@bank.test"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        row = next(r for r in map(json.loads, done.stdout.splitlines()) if r["method"] == "dmarc")
        assert (row["result"], row["details"]["verdict"], row["details"]["policy"]) == (result, verdict, "quarantine")
