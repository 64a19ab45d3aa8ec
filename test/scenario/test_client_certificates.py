"""Signing in with a certificate in place of a password (SASL EXTERNAL): who is asked, what is offered, whose it is."""
import base64
import concurrent.futures
import hashlib
import imaplib
import poplib
import smtplib
import socket
import ssl

import pytest

from cryptography.hazmat.primitives import serialization
from harness.certificates import Authority
from harness.house import IMAP, IMAPS, POP3S, SUBMISSIONS, CommandFailed, Served, remove, scratch, tls_context

ANN, BEN = "ann@example.test", "ben@example.test"


@pytest.fixture(scope="module")
def authority():
    folder = scratch("authority")
    yield Authority(folder)
    remove(folder)


@pytest.fixture(scope="module")
def house(authority):
    folder = scratch("certificates")
    extra = f"client_certificates = yes\nclient_ca = {authority.root.pem}"
    with Served(folder / "house", "mail.example.test", house_config=extra) as h:
        h.domain("example.test", "ann", "ben")
        yield h
    remove(folder)


def context_with(certificate=None, version=None):
    context = tls_context()
    if certificate is not None:
        context.load_cert_chain(certificate.pem, certificate.key_pem)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def fingerprint(certificate):
    return hashlib.sha256(certificate.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def imap(house, certificate=None):
    return imaplib.IMAP4_SSL(house.address, house.port(IMAPS), ssl_context=context_with(certificate), timeout=60)


def sign_in(house, certificate, name=""):
    """Whether it opens an account, by IMAP."""
    box = imap(house, certificate)
    assert "AUTH=EXTERNAL" in box.capabilities
    try:
        box.authenticate("EXTERNAL", lambda _: name.encode())
    except imaplib.IMAP4.error as e:
        assert "AUTHENTICATIONFAILED" in str(e), e
        box.shutdown()
        return False
    assert box.select()[0] == "OK"
    box.logout()
    return True


def refused(house, *attempts):
    """All of them are; each waits for its answer, so they are tried at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(attempts)) as pool:
        return not any(pool.map(lambda attempt: sign_in(house, *attempt), attempts))


@pytest.mark.sanitized
def test_a_bound_certificate_opens_its_account(house, authority):
    own, stranger = authority.person("somebody@elsewhere.test", issued=False), authority.person("x@elsewhere.test", issued=False)
    out = house.run("account", "certificate", "add", ANN, own.pem)
    assert fingerprint(own) in out
    # Nobody is asked for a password, and nobody who has no certificate hears of this way.
    assert "AUTH=EXTERNAL" not in imap(house).capabilities
    assert sign_in(house, own) and sign_in(house, own, ANN)
    assert refused(house, (own, BEN), (stranger,), (stranger, ANN))
    (row,) = house.rows("account", "certificate", "list", ANN)
    assert row["fingerprint"] == fingerprint(own) and row["last_used_by"] == "127.0.0.1" and "somebody" in row["subject"]
    # A password still does, beside it.
    assert house.imap(ANN).select()[0] == "OK"
    pop = poplib.POP3_SSL(house.address, house.port(POP3S), context=context_with(own), timeout=60)
    assert "EXTERNAL" in pop.capa()["SASL"]
    assert pop._shortcmd("AUTH EXTERNAL =").startswith(b"+OK")
    assert pop.stat() == (0, 0)
    pop.quit()
    smtp = smtplib.SMTP_SSL(house.address, house.port(SUBMISSIONS), context=context_with(own), timeout=60)
    smtp.ehlo()
    assert "EXTERNAL" in smtp.esmtp_features["auth"].split()
    assert smtp.docmd("AUTH", "EXTERNAL " + base64.b64encode(ANN.encode()).decode())[0] == 235
    assert smtp.sendmail(ANN, [BEN], "Subject: by certificate\r\n\r\nhi\r\n") == {}
    smtp.quit()
    # With STARTTLS too, where nothing is offered before.
    box = imaplib.IMAP4(house.address, house.port(IMAP), timeout=60)
    assert "AUTH=EXTERNAL" not in box.capabilities
    box.starttls(context_with(own))
    box.authenticate("EXTERNAL", lambda _: b"")
    box.logout()
    assert house.log().count("event=sign_in_failed") >= 3
    assert "removed" not in house.run("account", "certificate", "remove", ANN, ":".join(
        fingerprint(own)[i:i + 2].upper() for i in range(0, 64, 2)))
    assert not sign_in(house, own)
    with pytest.raises(CommandFailed, match="has no certificate"):
        house.run("account", "certificate", "remove", ANN, fingerprint(own))


def test_one_certificate_of_two_accounts_needs_a_name(house, authority):
    shared = authority.person("team@elsewhere.test", issued=False)
    for address in (ANN, BEN):
        house.run("account", "certificate", "add", address, shared.pem)
        house.run("account", "certificate", "add", address, shared.pem)
    assert sign_in(house, shared, ANN) and sign_in(house, shared, BEN) and not sign_in(house, shared)
    assert len(house.rows("account", "certificate", "list", BEN)) == 1


def test_an_authority_vouches_for_addresses(house, authority):
    ben, nobody = authority.person(BEN), authority.person("nobody@example.test")
    other = Authority(authority.folder / "other", "Somebody Else")
    assert sign_in(house, ben) and sign_in(house, ben, BEN)
    assert refused(house, (ben, ANN), (nobody,), (nobody, BEN), (other.person(BEN),), (authority.person(BEN, issued=False),))


def test_an_expired_certificate_is_refused(house, authority):
    old = authority.person(BEN, expired=True)
    assert refused(house, (old,), (old, BEN))
    with pytest.raises(CommandFailed, match="has expired"):
        house.run("account", "certificate", "add", BEN, old.pem)
    with pytest.raises(CommandFailed, match="no certificate in PEM form"):
        house.run("account", "certificate", "add", BEN, authority.root.key_pem)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_has_the_certificate_of_the_first(house, authority, version):
    ben = authority.person(BEN)
    context, session = context_with(ben, version), None
    for resumed in (False, True, True):
        raw = socket.create_connection((house.address, house.port(IMAPS)), timeout=60)
        with context.wrap_socket(raw, session=session) as s:
            file = s.makefile("rb")
            assert b"AUTH=EXTERNAL" in file.readline()
            assert s.session_reused == resumed
            s.sendall(b"a AUTHENTICATE EXTERNAL =\r\n")
            assert file.readline().startswith(b"a OK")
            session = s.session
            s.sendall(b"b LOGOUT\r\n")
            file.read()


def test_it_is_switched_off_with_a_reload(house, authority):
    ben = authority.person(BEN)
    before = house.house_config
    house.house_config = ""
    house.write_config()
    house.run("reload")
    assert "AUTH=EXTERNAL" not in imap(house, ben).capabilities
    house.house_config = before
    house.write_config()
    house.run("reload")
    assert sign_in(house, ben)
