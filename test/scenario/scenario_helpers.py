"""What several scenarios check."""
import email
import email.policy
import re


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
