"""Loopback helpers: free ports and waiting for servers. Nothing here leaves 127.0.0.0/8."""
import socket
import time


def free_port(address="127.0.0.1"):
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def free_base(offsets, address="127.0.0.1"):
    """A number N such that N + offset is free for every offset."""
    for base in range(11000, 60000, 977):
        try:
            sockets = []
            for offset in offsets:
                s = socket.socket()
                sockets.append(s)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((address, base + offset))
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise RuntimeError("no free range of ports")


def wait_for_port(port, address="127.0.0.1", seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on {address}:{port}")
            time.sleep(0.05)


def wait_until(condition, seconds=20, what="the condition", step=0.05):
    """Calls condition() until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come true in {seconds} s")
        time.sleep(step)
