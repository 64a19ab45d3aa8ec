"""Failed sign-ins: the operator sees them, a restart forgives none, and they can be lifted."""
import concurrent.futures
import imaplib
import os
import signal

import pytest

from harness.house import CommandFailed
from harness.net import wait_until


def guess(house, name):
    box = house.imap()
    with pytest.raises(imaplib.IMAP4.error):
        box.login(name, "a guess")
    box.shutdown()


def listed(house):
    return {row["name"]: row for row in house.rows("guard", "list")}


def test_failed_sign_ins_are_kept_shown_and_lifted(demo):
    demo.imap("bob").logout()
    assert listed(demo) == {}
    with concurrent.futures.ThreadPoolExecutor(11) as pool:
        list(pool.map(lambda name: guess(demo, name), ["bob"] * 6 + ["ghost@example.test"] * 5))
    rows = listed(demo)
    assert set(rows) == {"bob@example.test", "ghost@example.test"}
    assert rows["bob@example.test"]["account"] and not rows["ghost@example.test"]["account"]
    assert rows["bob@example.test"]["failures"] > 0 and rows["bob@example.test"]["known_addresses"] == 1
    demo.stop()
    demo.start()
    again = listed(demo)
    assert again["bob@example.test"]["failures"] > 0 and again["bob@example.test"]["known_addresses"] == 1
    # A vault that dies keeps what was written.
    vault = demo.pids()["vault", 0]
    os.kill(vault, signal.SIGKILL)
    wait_until(lambda: demo.pids().get(("vault", 0), vault) != vault, 60, "another vault")
    assert "bob@example.test" in wait_until(lambda: try_list(demo), 60, "what it kept")
    demo.run("guard", "lift", "bob@example.test")
    assert "bob@example.test" not in listed(demo)
    with pytest.raises(CommandFailed, match="no failed sign-ins"):
        demo.run("guard", "lift", "bob@example.test")
    demo.run("guard", "lift", "ghost@example.test")
    demo.stop()
    demo.start()
    assert listed(demo) == {}


def try_list(house):
    try:
        return listed(house)
    except CommandFailed:
        return None  # the vault is not there yet
