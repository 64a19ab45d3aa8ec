"""Loopback helpers: free ports and waiting for servers. Nothing here leaves 127.0.0.0/8."""
import fcntl
import os
import random
import socket
import subprocess
import tempfile
import time

# Ports are taken below the range from which the kernel gives clients theirs. A byte of this file stands for each port and is locked by
# the process that uses it, so that test runs beside each other never meet.
PORTS_FILE = f"{tempfile.gettempdir()}/posthouse-test-ports.{os.getuid()}"
BASES = range(3000, 18000, 7)
SINGLE = range(24000, 32000)
_held = {"file": None, "ports": set()}


def reserve(port):
    """Takes the port for this process until it ends; False where another has it."""
    if _held["file"] is None:
        _held["file"] = open(PORTS_FILE, "ab")
    try:
        fcntl.lockf(_held["file"], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _held["ports"].add(port)
    return True


def is_free(port, address="127.0.0.1"):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((address, port))
            return True
        except OSError:
            return False


def free_port(address="127.0.0.1"):
    """A TCP port that nobody listens on, never given twice."""
    for port in random.sample(SINGLE, len(SINGLE)):
        if port not in _held["ports"] and is_free(port, address) and reserve(port):
            return port
    raise RuntimeError("no free port")


def free_base(offsets, address="127.0.0.1"):
    """A number N such that N + offset is free for every offset; never given twice."""
    for base in random.sample(BASES, len(BASES)):
        ports = [base + offset for offset in offsets]
        if (not _held["ports"].intersection(ports) and all(is_free(port, address) for port in ports)
                and all(reserve(port) for port in ports)):
            return base
    raise RuntimeError("no free range of ports")


def can_unshare():
    """May a mount namespace of our own be had? Not in every container."""
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


# What a test waits for says nothing of speed: a machine that does ten other things may take its time.
PATIENCE = 4


def wait_for_port(port, address="127.0.0.1", seconds=20 * PATIENCE):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on {address}:{port}")
            time.sleep(0.05)


def wait_until(condition, seconds=20, what="the condition", step=0.05, patience=PATIENCE):
    """Calls condition() until it returns something true, and returns that. `seconds`: of a machine that has nothing else to do."""
    seconds *= patience
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come true in {seconds} s")
        time.sleep(step)
