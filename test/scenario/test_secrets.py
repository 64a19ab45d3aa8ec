"""No private key and no password hash in any memory but the vault's, also after a restart and a reload."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness.house import BINARY, Demo, PASSWORD
from harness.net import wait_until


def memory_contains(pid, needles):
    """Which needles are in the writable memory of the process."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            begin, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if "r" not in mode or "[vvar]" in line or "[vsyscall]" in line:
                continue
            begin, end = int(begin, 16), int(end, 16)
            if end - begin > 1 << 30:
                continue
            try:
                mem.seek(begin)
                data = mem.read(end - begin)
            except (OSError, ValueError):
                continue
            found |= {name for name, needle in needles.items() if needle in data}
    return found


def secrets_of(house):
    """The raw private scalar of the TLS key, and every password hash that the vault's files hold."""
    needles = {}
    for path in (house.data / "secrets").rglob("*"):
        if not path.is_file():
            continue
        raw = path.read_bytes()
        if b"PRIVATE KEY-----" in raw:
            text = subprocess.run(["openssl", "pkey", "-in", str(path), "-noout", "-text"], capture_output=True, text=True, check=True).stdout
            scalar = re.search(r"priv(?:ate exponent|):\n((?:\s+[0-9a-f:]+\n)+)", text, re.I).group(1)
            needles[f"key {path.name}"] = bytes.fromhex(re.sub(r"[\s:]", "", scalar))[-32:]
            # Backwards as well: OpenSSL keeps numbers least significant word first.
            needles[f"key {path.name} (little-endian)"] = needles[f"key {path.name}"][::-1]
        for match in re.findall(rb"\$argon2id\$[\x21-\x7e]{60,}", raw):
            needles[f"hash in {path.name}"] = match[:90]
    return needles


def test_secrets_only_in_the_vault(folder):
    if os.geteuid() != 0:
        pytest.skip("only root may look into the memory of the roles")
    with Demo(folder / "demo") as house:
        def use():
            with house.imap("alice") as box:
                box.select()
            house.submit("bob", "bob@example.test", ["alice@example.test"], "Subject: x\n\nx\n")
        use()
        needles = secrets_of(house)
        assert any(name.startswith("key") for name in needles)
        assert any(name.startswith("hash") for name in needles), "a password hash is in the vault's files"

        def look():
            pids = dict(house.pids())
            pids["keeper", 0] = house.process.pid
            assert {role for role, index in pids} >= {"vault", "gate", "porch", "desk", "clerk", "courier", "reader", "keeper"}
            for (role, index), pid in pids.items():
                found = memory_contains(pid, needles)
                if role == "vault":
                    assert any(name.startswith("key") for name in found), "the test would find a key if it were there"
                else:
                    assert not found, f"{role} {index} holds {found}"
        look()
        vault = house.pids()["vault", 0]
        os.kill(vault, signal.SIGKILL)
        wait_until(lambda: house.pids().get(("vault", 0), vault) != vault, 20, "a new vault")
        wait_until(lambda: not failing(use), 20, "sign-in after the restart of the vault")
        look()
        house.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        use()
        look()


def failing(fn):
    try:
        fn()
        return False
    except Exception:
        return True
