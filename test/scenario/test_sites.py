"""Sites: many domains behind one server, servers that are slow, dead, or want less; who has to wait and who must not."""
import threading
import time

import pytest

from harness import house as hh, nsd
from harness.house import SUBMISSIONS, Served
from harness.net import free_port, wait_until
from harness.sink import Sink

pytestmark = pytest.mark.skipif(not nsd.available(), reason="nsd is not installed")

FAST, SLOW, WIDE, STRICT, DEAD = (f"127.0.0.{n}" for n in (21, 22, 23, 24, 25))


@pytest.fixture(scope="module")
def world():
    path = hh.scratch("sites")
    port = free_port(FAST)
    zones = {"fast.test": f"@ MX 10 mx\nmx A {FAST}", "slow.test": f"@ MX 10 mx\nmx A {SLOW}", "strict.test": f"@ MX 10 mx\nmx A {STRICT}",
             "wide.test": f"@ MX 10 mx\nmx A {WIDE}", "dead.test": f"@ MX 10 mx\nmx A {DEAD}\n* MX 10 mx"}
    zones |= {f"w{n}.test": "@ MX 10 mx.wide.test." for n in range(5)}
    sinks = {"fast": Sink(FAST, port), "slow": Sink(SLOW, port, delay_s=1), "wide": Sink(WIDE, port, delay_s=0.2), "strict": Sink(STRICT, port, delay_s=0.05)}
    with nsd.Nsd(path / "nsd", zones) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n[send]\nport = {port}\n[limits]\nqueue_send_recipients = 1\n"
        config += "[site strict.test]\nconnections = 3\nconnection_messages = 4\n"
        with Served(path / "a", "mx.a.test", "127.0.0.1", {}, config) as house:
            house.domain("a.test", "ann", "bulk")
            yield house, sinks
    for sink in sinks.values():
        sink.close()
    hh.remove(path)


def send(house, recipients, user="ann@a.test"):
    with house.smtp(SUBMISSIONS) as s:
        s.login(user, hh.PASSWORD)
        s.sendmail(user, recipients, "Subject: x\r\n\r\nhello\r\n")


def site(house, name):
    return next((row for row in house.rows("queue", "sites") if row["site"].startswith(name)), None)


def test_many_connections_are_kept_full_and_domains_share_their_site(world):
    house, sinks = world
    wide = sinks["wide"]
    send(house, [f"first@w{n}.test" for n in range(5)])
    wait_until(lambda: len(wide.messages) == 5, 20, "the first of each")
    wide.most, wide.messages, wide.moments = wide.now, [], []
    send(house, [f"r{n}@w{n % 5}.test" for n in range(400)], "bulk@a.test")
    wait_until(lambda: len(wide.messages) == 400, 60, "all mail")
    # Fifty at a time, however many domains: not one more, and most of the time not one less.
    assert 45 <= wide.most <= 50
    moments = sorted(wide.moments)
    assert moments[350] - moments[100] < 250 / 50 * 0.2 * 2.5
    row = site(house, "mx.wide.test")
    assert row["sent"] >= 390 and row["sessions_max"] == 50


def test_a_slow_site_slows_nobody(world):
    house, sinks = world
    send(house, [f"r{n}@slow.test" for n in range(100)], "bulk@a.test")
    wait_until(lambda: sinks["slow"].now > 5, 20, "the slow site at work")
    for n in range(3):
        start = time.monotonic()
        send(house, [f"quick{n}@fast.test"])
        wait_until(lambda: any(to == (f"quick{n}@fast.test",) for to, _ in sinks["fast"].messages), 5, "the quick message", step=0.01)
        assert time.monotonic() - start < 1.5
    # And to the slow site itself a person's message overtakes the run.
    send(house, ["person@slow.test"])
    wait_until(lambda: any(to == ("person@slow.test",) for to, _ in sinks["slow"].messages), 20, "the person's message")
    assert len(sinks["slow"].messages) < 95
    house.run("queue", "remove", "@slow.test")


def test_what_the_configuration_says_of_a_site(world):
    house, sinks = world
    strict = sinks["strict"]
    send(house, [f"r{n}@strict.test" for n in range(24)], "bulk@a.test")
    wait_until(lambda: len(strict.messages) == 24, 30, "all mail")
    assert strict.most <= 3 and strict.connections >= 6


def test_a_dead_site_is_paused_as_a_whole(world):
    house, sinks = world
    send(house, [f"r{n}@d{n}.dead.test" for n in range(60)], "bulk@a.test")
    row = wait_until(lambda: (lambda r: r and r["state"] == "paused" and r)(site(house, "mx.dead.test")), 20, "the pause")
    assert "connect" in row["reply"].lower() and row["until"]
    # That these domains share one is known now: what comes later is not tried in vain.
    row = wait_until(lambda: (lambda r: r["deferred"] >= 60 and r)(site(house, "mx.dead.test")), 20, "all first attempts")
    send(house, [f"again{n}@d{n}.dead.test" for n in range(60)], "bulk@a.test")
    (message,) = house.rows("queue", "list", "again1@d1.dead.test")
    assert {(r["attempts"], r["state"]) for r in message["recipients"]} == {(0, "site-paused")}
    before = row["deferred"]
    house.run("clock", "advance", "3m")
    wait_until(lambda: (site(house, "mx.dead.test") or row)["deferred"] > before, 20, "the probe")
    assert site(house, "mx.dead.test")["deferred"] - before <= 10
    # It comes back: everything goes within the time that it was tried again.
    revived = Sink(DEAD, sinks["fast"].port)
    house.run("clock", "advance", "2h")
    wait_until(lambda: len(revived.messages) == 120, 40, "all mail")
    revived.close()


def test_what_it_learns_outlives_a_restart(world):
    house, _ = world
    house.stop()
    house.start()
    send(house, ["again@w3.test"])
    wait_until(lambda: (lambda r: r and r["sent"] >= 1)(site(house, "mx.wide.test")), 20, "the site")
    assert not any(row["site"] == "w3.test" for row in house.rows("queue", "sites"))
