"""What several scenarios check."""
import datetime
import email
import email.policy
import re
import shutil

from harness import house as hh


def check_dsn(raw):
    assert raw.startswith(b"Return-Path: <>\r\n")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    assert message["Auto-Submitted"] and message["Date"] and message["Message-ID"] and message["Subject"]
    text, status, original = message.get_payload()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers")
    blocks = status.get_payload()
    assert blocks[0]["Reporting-MTA"] and blocks[0]["Reporting-MTA"].startswith("dns;")
    for block in blocks[1:]:
        assert block["Final-Recipient"].startswith("rfc822;")
        assert block["Action"] in ("failed", "delayed", "delivered", "relayed", "expanded")
        assert re.match(r"[245]\.\d{1,3}\.\d{1,3}$", block["Status"])
    return message, text.get_content(), blocks


def past_midnight(house):
    """Past the next one, in the middle of the day."""
    now = datetime.datetime.fromisoformat(house.rows("clock", "show")[0]["now"].replace("Z", "+00:00"))
    noon = (now + datetime.timedelta(days=1)).replace(hour=12, minute=0)
    house.run("clock", "advance", f"{int((noon - now).total_seconds())}s")


def dmarc_schema(folder):
    """The schema of RFC 9990 out of its text, or None."""
    rfc = hh.TOP.parent / "shared" / "rfc" / "rfc9990.txt"
    if not rfc.is_file() or shutil.which("xmllint") is None:
        return None
    text = rfc.read_text(encoding="utf-8-sig")
    text = text[text.index('   <?xml version="1.0"?>\n   <xs:schema'):]
    text = text[:text.index("</xs:schema>") + len("</xs:schema>")]
    path = folder / "dmarc.xsd"
    path.write_text("\n".join(line[3:] for line in text.split("\n")))
    return path
