"""DKIM: keys and their rotation, and that signatures made here are valid elsewhere (OpenDKIM, dkimpy; also behind a Postfix) and those made there
are here."""
import base64
import json
import re
import subprocess

import pytest

from harness import opendkim, postfix
from harness import house as hh
from harness.house import Demo, Served
from harness.net import free_port, wait_until
from harness.sink import Sink

dkim = pytest.importorskip("dkim")
nacl_encoding, nacl_signing = pytest.importorskip("nacl.encoding"), pytest.importorskip("nacl.signing")

DOMAIN = "example.test"
DROPPED = re.compile(rb"^(From|Sender|Reply-To|Return-Path|Bcc|Resent-[A-Za-z]+|DKIM-Signature|DomainKey-Signature)[ \t]*:[^\n]*\n([ \t][^\n]*\n)*",
                     re.M | re.I)


@pytest.fixture(scope="module")
def world():
    path = hh.scratch("dkim")
    sink = Sink("127.0.0.1", free_port())
    routes = [f"elsewhere.test=127.0.0.1:{sink.port}"]
    peer = None
    if postfix.available():
        peer = postfix.Postfix(path / "pf", free_port(), "mx.pf.test", main_cf={
            "virtual_mailbox_domains": "pf.test", "virtual_mailbox_maps": "inline:{ {pat@pf.test = pat/} }",
            "smtp_line_length_limit": "0", "message_size_limit": "30000000",
            # For a server elsewhere: of clients on its own machine Postfix corrects addresses in the header.
            "local_header_rewrite_clients": ""}).start()
        routes.append(f"pf.test=127.0.0.1:{peer.port}")
    with Demo(path / "demo", routes=routes, plain=True) as house:
        yield house, sink, peer
    if peer is not None:
        peer.stop()
    sink.close()
    hh.remove(path)


def records(house, domain=DOMAIN):
    """{name: text} of all keys of the domain, as their owner would publish them."""
    return {row["name"]: row["value"] for row in house.rows("dkim", "show", domain)}


def zone(folder, of):
    path = folder / "keys.zone"
    path.write_text("".join(f'{name}. TXT "{text}"\n' for name, text in of.items()))
    return path


def here(message, folder, of):
    """The rows of `posthouse trust` about the message's signatures."""
    path = folder / "message"
    path.write_bytes(message)
    done = subprocess.run([hh.BINARY, "trust", str(path), "--dns", str(zone(folder, of)), "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [row for row in map(json.loads, done.stdout.splitlines()) if row["method"] == "dkim"]


def dkimpy(message, of, count=2):
    verifier = dkim.DKIM(message)
    return [verifier.verify(idx=i, dnsfunc=lambda name, timeout=5: of.get(name.decode().rstrip("."), "").encode()) for i in range(count)]


def from_alice(raw):
    """A real message as alice would send it."""
    raw = re.sub(rb"\r\n?|\n", b"\n", raw)
    raw = re.sub(rb"\AFrom [^\n]*\n", b"", raw)
    head, _, body = raw.partition(b"\n\n")
    # What is no field would end the header for one reader and not for another.
    head = DROPPED.sub(b"", head + b"\n")
    lines = [line for line in head.split(b"\n") if re.match(rb"[!-9;-~]+:|[ \t]+\S", line)]
    return (b"From: Alice <alice@example.test>\n" + b"\n".join(lines) + b"\n\n" + body).replace(b"\n", b"\r\n")


def sample(corpus, request, few):
    files = sorted(p for p in corpus.rglob("*") if p.is_file() and re.match(r"\d+\.", p.name))
    return files if request.config.getoption("--all") else files[:: max(1, len(files) // few)][:few]


# Keys ----------------------------------------------------------------------------------------------------------------------


def test_keys_are_made_rotated_imported_and_removed(demo, folder):
    assert demo.rows("dkim", "list") == []
    first = demo.rows("dkim", "show", DOMAIN)
    assert [(r["algorithm"], r["state"]) for r in first] == [("rsa-sha256", "active"), ("ed25519-sha256", "active")]
    assert first[0]["bits"] == 2048 and first[0]["value"].startswith("v=DKIM1; k=rsa; p=")
    assert all(len(part) <= 255 for r in first for part in re.findall(r'"([^"]*)"', r["record"]))
    assert demo.rows("dkim", "show", DOMAIN) == first
    # The next ones wait until they are in the DNS.
    states = {r["selector"]: r["state"] for r in demo.rows("dkim", "rotate", DOMAIN)}
    assert sorted(states.values()) == ["active", "active", "next", "next"]
    with pytest.raises(hh.CommandFailed, match="wait to be used already"):
        demo.run("dkim", "rotate", DOMAIN)
    old = [r["selector"] for r in first]
    after = {r["selector"]: r for r in demo.rows("dkim", "activate", DOMAIN)}
    assert all(after[s]["state"] == "retired" and "until" in after[s]["next"] for s in old)
    assert sum(r["state"] == "active" for r in after.values()) == 2
    with pytest.raises(hh.CommandFailed, match="no keys that wait"):
        demo.run("dkim", "activate", DOMAIN)
    demo.run("clock", "advance", "8d")
    assert all("Take the record out" in r["next"] for r in demo.rows("dkim", "list") if r["selector"] in old)
    for selector in old:
        demo.run("dkim", "remove", DOMAIN, selector)
    # A key of another server.
    pem = folder / "key.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", str(pem), "1024"], check=True, capture_output=True)
    rows = demo.rows("dkim", "import", DOMAIN, "mail", pem)
    assert [(r["bits"], r["state"]) for r in rows if r["selector"] == "mail"] == [(1024, "active")]
    with pytest.raises(hh.CommandFailed, match="has a key mail already"):
        demo.run("dkim", "import", DOMAIN, "mail", pem)
    pem.write_text("nothing")
    with pytest.raises(hh.CommandFailed, match="no private key"):
        demo.run("dkim", "import", DOMAIN, "other", pem)
    with pytest.raises(hh.CommandFailed, match="selector"):
        demo.run("dkim", "add", DOMAIN, "--algorithm", "rsa", "--selector", "Not/A name")
    with pytest.raises(hh.CommandFailed, match="not one of our domains"):
        demo.run("dkim", "show", "elsewhere.test")
    # Without keys nothing is signed, and nothing makes them behind the owner's back.
    for row in demo.rows("dkim", "list"):
        demo.run("dkim", "remove", DOMAIN, row["selector"])
    assert demo.rows("dkim", "show", DOMAIN) == []


def test_only_active_keys_sign(folder):
    sink = Sink("127.0.0.1", free_port())
    with Demo(folder / "demo", routes=[f"elsewhere.test=127.0.0.1:{sink.port}"]) as house:
        def send(subject):
            house.submit("alice", f"alice@{DOMAIN}", "pat@elsewhere.test", f"From: alice@{DOMAIN}\r\nSubject: {subject}\r\n\r\nhi\r\n")
            return wait_until(lambda: next((m for _, m in taken(sink) if f"Subject: {subject}\r\n".encode() in m), None))

        def selectors(message):
            return re.findall(rb"[ \t]s=([^;]+);", message.split(b"\r\n\r\n")[0])

        one = send("one")
        first = [r["selector"].encode() for r in house.rows("dkim", "show", DOMAIN)]
        assert selectors(one) == first
        assert dkimpy(one, records(house)) == [True, True]
        house.run("dkim", "rotate", DOMAIN)
        assert selectors(send("two")) == first
        house.run("dkim", "activate", DOMAIN)
        three = send("three")
        assert not set(selectors(three)) & set(first) and dkimpy(three, records(house)) == [True, True]
        for row in house.rows("dkim", "list"):
            house.run("dkim", "retire", DOMAIN, row["selector"])
        assert b"DKIM-Signature" not in send("four")
        # Mail that stays in the house needs no signature.
        house.submit("alice", f"alice@{DOMAIN}", f"bob@{DOMAIN}", f"From: alice@{DOMAIN}\r\nSubject: local\r\n\r\nhi\r\n")
        assert b"DKIM-Signature" not in wait_until(lambda: house.inbox("bob"))[0]
    sink.close()


def taken(sink):
    """[(recipients, message)], with the dots that SMTP adds taken away."""
    return [(to, re.sub(rb"(\A|\n)\.", rb"\1", raw)) for to, raw in sink.messages]


# Elsewhere -------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not opendkim.available(), reason="OpenDKIM is not unpacked (script/bootstrap)")
def test_ours_are_valid_elsewhere(world, corpus, request, folder):
    house, sink, peer = world
    files = sample(corpus, request, 16)
    to = ["pat@elsewhere.test"] + (["pat@pf.test"] if peer is not None else [])
    before = len(sink.messages)
    with house.smtp(hh.SUBMISSIONS) as s:
        s.login("alice", hh.PASSWORD)
        for f in files:
            s.sendmail(f"alice@{DOMAIN}", to, from_alice(f.read_bytes()), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(sink.messages) >= before + len(files), 60 + len(files))
    keys = records(house)
    check_all([m for _, m in taken(sink)[before:]], keys, folder / "direct")
    if peer is not None:
        box = peer.folder / "mail" / "pat" / "new"
        wait_until(lambda: box.is_dir() and len(list(box.iterdir())) >= len(files), 60 + len(files))
        check_all([re.sub(rb"\r?\n", b"\r\n", p.read_bytes()) for p in sorted(box.iterdir())], keys, folder / "postfix")


def check_all(messages, keys, folder):
    folder.mkdir()
    paths = []
    for i, message in enumerate(messages):
        paths.append(folder / f"m{i}")
        paths[-1].write_bytes(message)
        assert [r["result"] for r in here(message, folder, keys)] == ["pass", "pass"], message[:3000]
        assert dkimpy(message, keys) == [True, True], message[:3000]
    for start in range(0, len(paths), 200):
        said = opendkim.verify(folder, keys, paths[start:start + 200])
        for p in paths[start:start + 200]:
            assert [r.split()[0] for r in said[str(p)]] == ["dkim=pass", "dkim=pass"], (p, said.get(str(p)), p.read_bytes()[:3000])


def test_theirs_are_valid_here(corpus, request, folder):
    rsa, ed = folder / "rsa.pem", folder / "ed.key"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", str(rsa), "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", str(rsa), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    seed = nacl_signing.SigningKey.generate()
    ed_private = seed.encode(encoder=nacl_encoding.Base64Encoder)
    ed_public = seed.verify_key.encode(encoder=nacl_encoding.Base64Encoder).decode()
    keys = {f"r._domainkey.{DOMAIN}": f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}",
            f"e._domainkey.{DOMAIN}": f"v=DKIM1; k=ed25519; p={ed_public}"}
    ways = [(h, b) for h in (b"simple", b"relaxed") for b in (b"simple", b"relaxed")]
    for i, f in enumerate(sample(corpus, request, 8)):
        message = from_alice(f.read_bytes())
        way = ways[i % len(ways)]
        signed = dkim.sign(message, b"r", DOMAIN.encode(), rsa.read_bytes(), canonicalize=way) + message
        signed = dkim.sign(signed, b"e", DOMAIN.encode(), ed_private, canonicalize=way, signature_algorithm=b"ed25519-sha256") + signed
        count = 2
        if opendkim.available():
            # Its header is always relaxed: a filter of mail servers is not told of white space behind the colon.
            signed = opendkim.sign(folder, signed, DOMAIN, "r", rsa, f"relaxed/{way[1].decode()}")
            count = 3
        rows = here(signed, folder, keys)
        assert [r["result"] for r in rows] == ["pass"] * count, (f, way, rows)
        assert "fail" in {r["result"] for r in here(signed + b"more\r\n", folder, keys)}


# Passed on -------------------------------------------------------------------------------------------------------------------


def test_forwarded_mail_is_sealed(folder):
    """The seal is made over what the gate found out; it is valid here and in dkimpy. DNS does not answer in this scenario."""
    sink = Sink("127.0.0.1", free_port())
    config = f"[dns]\nresolv_conf =\nforwarders = 127.0.0.1@1\n[trust]\nexempt =\n[limits]\ntrust_timeout_ms = 1000\n[route elsewhere.test]\nhost = 127.0.0.1\nport = {sink.port}\n"
    with Served(folder / "house", "mx.example.test", config=config) as house:
        house.domain(DOMAIN, "bob")
        house.run("alias", "add", f"fwd@{DOMAIN}", "pat@elsewhere.test")
        house.run("alias", "add", f"both@{DOMAIN}", "pat@elsewhere.test", f"bob@{DOMAIN}")
        keys = records(house)
        house.send("s@stranger.test", f"fwd@{DOMAIN}", "From: s@stranger.test\r\nSubject: one\r\n\r\nhello\r\n")
        (_, one), = wait_until(lambda: taken(sink))
        assert chain(one, folder, keys) == ("pass", [DOMAIN]), one
        assert dkimpy_chain(one, keys) == b"pass"
        assert re.search(rb"^ARC-Authentication-Results: i=1; mx.example.test;\s+[a-z]+=", one, re.M), one
        assert chain(one.replace(b"hello", b"changed"), folder, keys)[0] == "fail"
        house.send("s@stranger.test", f"both@{DOMAIN}", one.replace(b"Subject: one", b"Subject: two"))
        _, two = wait_until(lambda: next((m for m in taken(sink) if b"Subject: two" in m[1]), None))
        # It comes back once more, and the chain cannot be checked, which breaks it for good (RFC 8617 §5.2.1): the second seal says so.
        assert re.search(rb"ARC-Seal: [^\n]*(\n\s[^\n]*)*cv=fail", two) and b"i=2" in two, two
        assert chain(two, folder, keys)[0] == "fail"
        assert wait_until(lambda: house.inbox(f"bob@{DOMAIN}"))
    sink.close()


def chain(message, folder, of):
    """What `posthouse trust` says of the chain, and its sealers."""
    path = folder / "sealed"
    path.write_bytes(message)
    done = subprocess.run([hh.BINARY, "trust", str(path), "--dns", str(zone(folder, of)), "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    row = next(row for row in map(json.loads, done.stdout.splitlines()) if row["method"] == "arc")
    return row["result"], row["details"]["sealers"]


def dkimpy_chain(message, of):
    cv, _, why = dkim.arc_verify(message, dnsfunc=lambda name, timeout=5: of.get(name.decode().rstrip("."), "").encode())
    return cv if cv == b"pass" else (cv, why)
