"""What the processes of a house have from whoever started it: nothing. And what they make is for nobody else."""
import os
import pathlib
import re
import stat
import subprocess

from harness.house import Demo


def test_nothing_is_inherited(folder, monkeypatch):
    monkeypatch.setenv("SOMEBODYS_TOKEN", "hunter2hunter2")
    secret = folder / "secret"
    secret.write_text("x")
    fd = os.open(secret, os.O_RDONLY)
    high = os.open(secret, os.O_RDONLY)
    for n in (fd, high):
        os.set_inheritable(n, True)
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: start(*a, **{**k, "close_fds": False}))
    with Demo(folder / "demo") as house:
        monkeypatch.setattr(subprocess, "Popen", start)
        assert b"SOMEBODYS_TOKEN" in pathlib.Path(f"/proc/{house.process.pid}/environ").read_bytes(), "the keeper has it"
        for (role, _), pid in house.pids().items():
            if pid == house.process.pid:
                continue
            proc = pathlib.Path(f"/proc/{pid}")
            assert b"hunter2" not in (proc / "environ").read_bytes(), role
            opened = [os.readlink(link) for link in (proc / "fd").iterdir()]
            assert str(secret) not in opened, f"{role} has {opened}"
            # Only its own files, and those before its door was shut.
            for name in opened:
                assert name == "/dev/null" or re.match(r"(socket|pipe|anon_inode):", name) or name.startswith(str(house.data)), (
                    f"{role} has {name}")
            status = (proc / "status").read_text()
            assert int(re.search(r"CapEff:\s*(\S+)", status).group(1), 16) & ~2 == 0, f"{role}: capabilities"
            assert re.search(r"NoNewPrivs:\s*1", status) and re.search(r"Seccomp:\s*2", status), role
    os.close(fd)
    os.close(high)


def test_files_are_for_nobody_else(demo):
    demo.submit("bob", "bob@example.test", ["alice@example.test"], "Subject: x\n\n" + "x" * 60 + "\n")
    for path in [demo.data, *demo.data.rglob("*")]:
        mode = path.lstat().st_mode
        assert not stat.S_ISLNK(mode)
        # Local programs hand in mail through run/sendmail: the kernel tells who they are.
        allowed = {"run": 0o711, "sendmail": 0o666}.get(path.name if path.parent.name in ("data", "run") else "", 0o700)
        assert stat.S_IMODE(mode) & ~allowed == 0, f"{path} has mode {mode & 0o7777:o}"
