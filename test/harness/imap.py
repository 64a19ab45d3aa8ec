"""IMAP as it stands in the RFCs: scripts of lines that the client sends (C:) and the server answers (S:)."""
import re
import socket
import ssl

from .house import IMAPS, PASSWORD, tls_context


class Session:
    """A session, line by line. A response's literals stay in place behind their {n} and CRLF. Subclasses have `file` to read from and
    write()."""

    def begin(self):
        self.known = {}
        self.count = 0
        self.greeting = self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def line(self):
        """A response without its last line end, as text (latin-1: bytes as they are)."""
        whole = b""
        while True:
            part = self.file.readline()
            assert part.endswith(b"\r\n"), f"the connection ended after {whole + part!r}"
            whole += part
            literal = re.search(rb"\{(\d+)\}\r\n\Z", part)
            if not literal:
                return whole[:-2].decode("latin-1")
            whole += self.file.read(int(literal.group(1)))

    def send(self, text):
        self.write(text if isinstance(text, bytes) else text.encode("latin-1"))

    def until(self, tag):
        """All lines up to the tagged one."""
        lines = [self.line()]
        while not lines[-1].startswith(tag + " "):
            lines.append(self.line())
        return lines

    def ask(self, command):
        """Sends a command; returns its untagged responses and, last, the tagged one without its tag in front replaced."""
        self.count += 1
        tag = f"x{self.count}"
        self.send(f"{tag} {command}\r\n")
        return self.until(tag)

    def ok(self, command):
        """The untagged responses; the command must succeed."""
        lines = self.ask(command)
        assert lines[-1].split()[1] == "OK", f"{command}: {lines[-1]}"
        return lines[:-1]

    def append(self, mailbox, message, flags="", date=""):
        message = message if isinstance(message, bytes) else message.replace("\n", "\r\n").encode()
        extra = (f" ({flags})" if flags else "") + (f' "{date}"' if date else "")
        self.count += 1
        tag = f"x{self.count}"
        self.send(f"{tag} APPEND {mailbox}{extra} {{{len(message)}+}}\r\n".encode() + message + b"\r\n")
        last = self.until(tag)[-1]
        assert last.split()[1] == "OK", last
        return int(re.search(r"APPENDUID \d+ (\d+)", last).group(1))

    def fresh(self, name, messages=()):
        """A new mailbox with these messages: (text, flags) or text; selected. Returns the lines of SELECT."""
        self.ok(f"CREATE {name}")
        for message in messages:
            text, flags = message if isinstance(message, tuple) else (message, "")
            self.append(name, text, flags)
        return self.ok(f"SELECT {name}")

    def script(self, text):
        """Lines "C: …" are sent, lines "S: …" must come, in this order and no others between. In both, <name> stands for what an
        earlier S: line had in its place (the first time it is caught there); "..." in S: lines is anything; \\r\\n a line end within."""
        for number, row in enumerate(text.strip().splitlines(), 1):
            row = row.strip()
            if not row or row.startswith("#"):
                continue
            kind, _, rest = row.partition(": ")
            rest = rest.replace("\\r\\n", "\r\n")
            if kind == "C":
                self.send(re.sub(r"<([A-Za-z]\w*)>", lambda m: self.known[m.group(1)], rest) + "\r\n")
                continue
            assert kind == "S", row
            got = self.line()
            found = re.fullmatch(self.pattern(rest), got, re.S)
            assert found, f"line {number} of the script\n  wanted {rest!r}\n  got    {got!r}"
            self.known.update(found.groupdict())

    def pattern(self, rest):
        out = ""
        for part in re.split(r"(<[A-Za-z]\w*>|\.\.\.)", rest):
            if part == "...":
                out += ".*"
            elif re.fullmatch(r"<[A-Za-z]\w*>", part):
                name = part[1:-1]
                out += re.escape(self.known[name]) if name in self.known else rf"(?P<{name}>[^ \])]+)"
            else:
                out += re.escape(part)
        return out


class Line(Session):
    """With a house, under TLS."""

    def __init__(self, house, user=None, password=PASSWORD):
        raw = socket.create_connection((house.address, house.port(IMAPS)), timeout=60)
        self.socket = tls_context().wrap_socket(raw, server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        self.begin()
        if user is not None:
            assert self.ask(f"LOGIN {user} {password}")[-1].split()[1] == "OK"

    def write(self, data):
        self.socket.sendall(data)

    def close(self):
        self.file.close()
        try:
            self.socket.close()
        except (OSError, ssl.SSLError):
            pass


def parse(text):
    """The words of a response: str for atoms, bytes for strings, None for NIL, lists for parentheses."""
    stack, at = [[]], 0
    token = re.compile(r'\(|\)| |\r\n|"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|([^\s()"\[]*(?:\[[^\]]*\][^\s()]*)?)', re.S)
    while at < len(text):
        m = token.match(text, at)
        assert m and m.end() > at, text[at:at + 80]
        word, at = m.group(0), m.end()
        if word == "(":
            stack.append([])
        elif word == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif m.group(1) is not None:
            stack[-1].append(re.sub(r"\\(.)", r"\1", m.group(1)).encode("latin-1"))
        elif m.group(2) is not None:
            n = int(m.group(2))
            stack[-1].append(text[at:at + n].encode("latin-1"))
            at += n
        elif m.group(3):
            stack[-1].append(None if m.group(3).upper() == "NIL" else m.group(3))
    return stack[0]


def fetched(lines):
    """{sequence number: {item: value}} of FETCH responses."""
    out = {}
    for line in lines:
        words = parse(line)
        if len(words) > 3 and words[2] == "FETCH":
            items = words[3]
            out.setdefault(int(words[1]), {}).update(zip(items[::2], items[1::2]))
    return out
