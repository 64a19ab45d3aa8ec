"""Warm-up: a site gets a share a day, that grows; persons before bulk; across a restart."""
import pytest

from harness import house as hh
from harness.house import SUBMISSIONS, Served
from harness.net import free_port, wait_until
from harness.sink import Sink

ONE = "127.0.0.34"


@pytest.fixture(scope="module")
def world():
    path = hh.scratch("warmup")
    port = free_port(ONE)
    sink = Sink(ONE, port)
    config = f"[route one.test]\nhost = {ONE}\nport = {port}\n[send]\nwarmup_start = 8\nwarmup_growth = 50\nwarmup_target = 9\n"
    config += "[limits]\nqueue_send_recipients = 1\n"
    with Served(path / "a", "mx.a.test", "127.0.0.1", {}, config) as house:
        house.domain("a.test", "ann", "bulk")
        yield house, sink
    sink.close()
    hh.remove(path)


def send(house, n, name, header=""):
    with house.smtp(SUBMISSIONS) as s:
        s.login("ann@a.test", hh.PASSWORD)
        s.sendmail("ann@a.test", [f"{name}{i}@one.test" for i in range(n)], f"Subject: x\r\n{header}\r\nhello\r\n")


def site(house):
    # Until the first answer the domain was one of its own.
    return max(house.rows("queue", "sites"), key=lambda row: (row["sent_today"], row["sent"]))


def test_shares_of_days(world):
    house, sink = world
    send(house, 20, "bulk", "List-Id: news <news.a.test>\r\n")
    wait_until(lambda: len(sink.messages) == 6, 20, "bulk mail's part of the first day")
    send(house, 10, "person")
    wait_until(lambda: len(sink.messages) == 8, 20, "the first day")
    assert [to[0][:6] for to, _ in sink.messages[6:]] == ["person"] * 2
    row = wait_until(lambda: (lambda r: r["sent_today"] == 8 and r)(site(house)), 20, "the count")
    assert row["share_today"] == 8
    rows = house.rows("queue", "list", "@one.test")
    assert {r["state"] for m in rows for r in m["recipients"] if r["state"] != "sent"} == {"warm-up"}
    assert "waits for tomorrow's share" in house.run("trace", "person9@one.test")
    house.stop()
    house.start()  # what was sent today is still known
    send(house, 1, "late")
    wait_until(lambda: any(r["state"] == "warm-up" for m in house.rows("queue", "list", "late0@one.test") for r in m["recipients"]), 20, "the wait")
    assert len(sink.messages) == 8
    # The next day: a half more, persons first; then a site that takes the target gets all.
    house.run("clock", "advance", "25h")
    wait_until(lambda: sum(to[0][:4] != "bulk" for to, _ in sink.messages) == 11, 20, "the second day")
    assert 17 <= len(sink.messages) <= 20
    house.run("clock", "advance", "25h")
    wait_until(lambda: house.rows("queue", "list") == [], 20, "all mail")
    assert len(sink.messages) == 31 and "share_today" not in site(house)
