"""Memory (PSS, all processes of the house): idle, and with N idle IMAP sessions over TLS on N accounts. Password hashes are cheap
here (the smallest Argon2id), so that thousands can sign in soon; what is measured is after that."""
import argparse
import concurrent.futures
import json
import pathlib
import resource
import socket
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))
from harness import house as hh  # noqa: E402


def pss_kb(house):
    rows = {**house.pids(), ("keeper", 0): house.process.pid}
    out = {}
    for key, pid in rows.items():
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                out[key] = int(line.split()[1])
    return out


def control(house, command, **args):
    """Straight to the control socket: a command's start would cost more than the answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(house.data / "run" / "control"))
        s.sendall(json.dumps({"command": command, "args": args}).encode() + b"\n")
        for line in s.makefile("rb"):
            answer = json.loads(line)
            if "row" not in answer:
                assert "error" not in answer, answer
                return


def show(title, pss):
    print(title + ": " + "  ".join(f"{role}{index or ''} {kb / 1024:.1f}" for (role, index), kb in sorted(pss.items())) +
          f"  = {sum(pss.values()) / 1024:.1f} MB PSS", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=5000)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    folder = hh.scratch("memory")
    house = hh.Served(folder / "house", "mail.example.test", test_clock=False,
                      config="[limits]\nargon2_memory_kib = 1024\nargon2_passes = 1\n").start()
    try:
        time.sleep(3)
        idle = pss_kb(house)
        show("idle, one of each role", idle)

        house.run("domain", "add", "example.test")

        def add(i):
            control(house, "account add", address=f"m{i}@example.test", hash="{PLAIN}" + hh.PASSWORD)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(options.sessions)))
        time.sleep(3)
        before = pss_kb(house)
        show(f"{options.sessions} accounts made", before)
        context = hh.tls_context()
        kept = []

        def sign_in(i):
            s = context.wrap_socket(socket.create_connection(("127.0.0.1", house.port(993)), timeout=120))
            s.recv(1024)
            for tag, command in (("a", f"LOGIN m{i}@example.test {hh.PASSWORD}"), ("b", "SELECT INBOX"), ("c", "IDLE")):
                s.sendall(f"{tag} {command}\r\n".encode())
                want = f"{tag} OK".encode() if tag != "c" else b"+ "
                got = b""
                while want not in got:
                    piece = s.recv(4096)
                    assert piece, got
                    got += piece
            return s
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for s in pool.map(sign_in, range(options.sessions)):
                kept.append(s)
        print(f"{len(kept)} sessions signed in, in {time.monotonic() - begin:.0f} s", flush=True)
        time.sleep(5)
        after = pss_kb(house)
        show(f"{len(kept)} idle sessions", after)
        print(f"{(sum(after.values()) - sum(idle.values())) / len(kept):.1f} KB a session over the idle house, "
              f"{(sum(after.values()) - sum(before.values())) / len(kept):.1f} KB over the house with its accounts")
        for s in kept:
            s.close()
    finally:
        house.stop()
        hh.remove(folder)


if __name__ == "__main__":
    main()
