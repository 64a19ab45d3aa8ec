"""A running Posthouse for tests: the demo house, or one of `serve` with its own configuration. Loopback only."""
import imaplib
import json
import os
import pathlib
import poplib
import shutil
import signal
import smtplib
import ssl
import subprocess
import tempfile
import threading

from .net import free_base, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("POSTHOUSE", str(TOP / "build" / "posthouse"))
PASSWORD = "demo-password"
# The demo's ports: the standard ones plus its base.
SMTP, LMTP, SUBMISSION, SUBMISSIONS, IMAP, IMAPS, POP3, POP3S = 25, 24, 587, 465, 143, 993, 110, 995
PORTS = (SMTP, LMTP, SUBMISSION, SUBMISSIONS, IMAP, IMAPS, POP3, POP3S)


def tls_context():
    """The demo signs its own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def group_lives(group):
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False


class CommandFailed(Exception):
    def __init__(self, code, out, err):
        super().__init__(f"exit {code}: {err.strip() or out.strip()}")
        self.code, self.out, self.err = code, out, err


class House:
    """Subclasses say how it is started. The log goes to `self.log_path`; `stop()` expects a clean end."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.log_path = self.folder / "house.log"
        self.process = None
        self.address = "127.0.0.1"

    def arguments(self):
        raise NotImplementedError

    def start(self, seconds=60):
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen([BINARY, *map(str, self.arguments())], stdout=subprocess.PIPE, stderr=self.log_file,
                                        start_new_session=True, text=True, cwd=self.folder)
        self.greeting = []
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            for line in self.process.stdout:
                self.greeting.append(line)
                if "ready" in line:
                    break
            else:
                self.process.wait()
                raise RuntimeError(f"the house did not start (exit {self.process.returncode}):\n{self.log()[-4000:]}")
        finally:
            timer.cancel()
        # Whatever it prints later must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return self

    def stop(self, seconds=30):
        """Ends it as an operator would; returns the exit code."""
        if self.process is None or self.process.poll() is not None:
            return None if self.process is None else self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the house did not end in {seconds} s:\n{self.log()[-4000:]}")
        self.log_file.close()
        return self.process.returncode

    def kill(self):
        """kill -9 of every process of the house at once, as a power switch would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        # The others hold the ports until they are gone too.
        try:
            wait_until(lambda: not group_lives(self.process.pid), 5, "the end of every process of the house", patience=1)
        except TimeoutError:
            pass  # a zombie that nobody reaps holds nothing
        self.log_file.close()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def pids(self):
        """{(role, index): pid} from the house itself."""
        status = self.run("status", "--json")
        rows = [json.loads(line) for line in status.splitlines()]
        found = {}
        for row in rows:
            for process in row.get("processes", [row]):
                if "pid" in process and "role" in process:
                    found[process["role"], process.get("index", 0)] = process["pid"]
        return found

    def run(self, *args, input=None, check=True, timeout=60):
        """A command of the command line against this house; returns its standard output."""
        done = subprocess.run([BINARY, *map(str, args), *self.where()], input=input, capture_output=True, text=True,
                              timeout=timeout)
        if check and done.returncode != 0:
            raise CommandFailed(done.returncode, done.stdout, done.stderr)
        return done.stdout

    def rows(self, *args):
        """The rows of a listing, through --json."""
        return [json.loads(line) for line in self.run(*args, "--json").splitlines() if line.strip()]

    def where(self):
        return ["--dir", str(self.data)]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *rest):
        if kind is None:
            code = self.stop()
            assert code == 0, f"the house ended with {code}:\n{self.log()[-3000:]}"
        else:
            try:
                self.kill()
            except (OSError, AttributeError):
                pass
        self.check_log()

    def check_log(self):
        """Sanitizers and panics speak on standard error: no test may hide them."""
        for word in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer", "panic:"):
            at = self.log().find(word)
            assert at < 0, f"{word} in the log of the house:\n" + self.log()[max(0, at - 500):at + 5000]

    # Clients -------------------------------------------------------------------------------------------

    def port(self, service):
        raise NotImplementedError

    def smtp(self, service=SMTP, **kw):
        if service == SUBMISSIONS:
            return smtplib.SMTP_SSL(self.address, self.port(service), timeout=60, context=tls_context(), **kw)
        return smtplib.SMTP(self.address, self.port(service), timeout=60, **kw)

    def imap(self, user=None, password=PASSWORD, service=IMAPS):
        if service == IMAPS:
            box = imaplib.IMAP4_SSL(self.address, self.port(service), ssl_context=tls_context(), timeout=60)
        else:
            box = imaplib.IMAP4(self.address, self.port(service), timeout=60)
        if user is not None:
            box.login(user, password)
        return box

    def pop3(self, user=None, password=PASSWORD):
        box = poplib.POP3_SSL(self.address, self.port(POP3S), timeout=60, context=tls_context())
        if user is not None:
            box.user(user)
            box.pass_(password)
        return box

    def send(self, sender, recipients, message):
        """As a stranger on port 25. `message` is bytes or str with any line ends."""
        if isinstance(recipients, str):
            recipients = [recipients]
        with self.smtp() as s:
            return s.sendmail(sender, recipients, message)

    def submit(self, user, sender, recipients, message):
        with self.smtp(SUBMISSIONS) as s:
            s.login(user, PASSWORD)
            return s.sendmail(sender, recipients, message)

    def inbox(self, user, mailbox="INBOX"):
        """All messages of a mailbox as bytes, in order of UID."""
        box = self.imap(user)
        try:
            box.select(mailbox, readonly=True)
            kind, data = box.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
            return [item[1] for item in data if isinstance(item, tuple)]
        finally:
            box.logout()


class Demo(House):
    def __init__(self, folder, plain=False, routes=(), extra=()):
        super().__init__(folder)
        self.base = free_base(PORTS)
        self.plain, self.routes, self.extra = plain, routes, extra

    def arguments(self):
        args = ["demo", "--dir", self.data, "--base", self.base]
        if self.plain:
            args.append("--plain")
        for route in self.routes:
            args += ["--route", route]
        return args + list(self.extra)

    def port(self, service):
        return self.base + service


class Served(House):
    """A house of `serve --config`, on its own loopback address, with its own names."""

    def __init__(self, folder, hostname, address="127.0.0.1", ports=None, config="", test_clock=True, house_config="", plain=False):
        super().__init__(folder)
        self.address = address
        self.hostname = hostname
        base = free_base(PORTS, address)
        self.ports = {service: base + service for service in PORTS}
        self.ports.update(ports or {})
        self.extra_config = config
        self.house_config = house_config
        self.plain = plain
        self.config_path = self.folder / "posthouse.conf"
        self.test_clock = test_clock

    def write_config(self):
        names = {SMTP: "smtp", LMTP: "lmtp", SUBMISSION: "submission", SUBMISSIONS: "submissions", IMAP: "imap", IMAPS: "imaps",
                 POP3: "pop3", POP3S: "pop3s"}
        lines = ["[house]", f"hostname = {self.hostname}", f"data_dir = {self.data}", "user_prefix =",
                 f"test_clock = {'yes' if self.test_clock else 'no'}", self.house_config]
        for service, name in names.items():
            lines += [f"[listen {name}]", f"service = {name}", f"address = {self.address}", f"port = {self.ports[service]}"]
        self.config_path.write_text("\n".join(lines) + "\n" + self.extra_config)

    def arguments(self):
        self.write_config()
        return ["serve", "--config", self.config_path] + (["--plain"] if self.plain else [])

    def port(self, service):
        return self.ports[service]

    def domain(self, name, *users):
        self.run("domain", "add", name, "--later")
        for user in users:
            self.run("account", "add", f"{user}@{name}", "--password-stdin", input=PASSWORD + "\n")


def scratch(prefix):
    """A folder that a demoted process can reach, removed by the caller."""
    folder = tempfile.mkdtemp(prefix=f"posthouse-{prefix}-")
    os.chmod(folder, 0o755)
    return pathlib.Path(folder)


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
