"""An IMAP client that keeps a copy of one mailbox, as mail programs do, by nothing but what it is told: EXISTS, EXPUNGE, VANISHED and
FETCH. With QRESYNC it comes back after a break with what it knew. Whatever contradicts what it was told before is an error."""
import collections
import re
import select
import socket

from .house import IMAP, PASSWORD
from .imap import Session

FETCH = re.compile(r"\* (\d+) (UID)?FETCH \((.*)\)\Z", re.S)
NUMBERS = {"EXISTS", "EXPUNGE", "FETCH", "UIDFETCH", "RECENT"}
# RFC 9051 §7.5.1: no message may go while these work with sequence numbers.
NO_EXPUNGE = {"FETCH", "STORE", "SEARCH"}


def uid_list(text):
    """The numbers of a sequence set without stars."""
    out = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        a, b = int(first), int(last or first)
        out += range(min(a, b), max(a, b) + 1)
    return out


def uid_set(uids):
    return ",".join(str(u) for u in sorted(uids))


class Bytes:
    """What arrives on a socket, by lines and by numbers of bytes; ready() waits a while for some."""

    def __init__(self, connection):
        self.socket, self.kept = connection, b""

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(f"the connection ended after {self.kept!r}")
        self.kept += piece

    def readline(self):
        while b"\n" not in self.kept:
            self.more()
        line, _, self.kept = self.kept.partition(b"\n")
        return line + b"\n"

    def read(self, n):
        while len(self.kept) < n:
            self.more()
        piece, self.kept = self.kept[:n], self.kept[n:]
        return piece

    def ready(self, seconds):
        return bool(self.kept) or bool(select.select([self.socket], [], [], seconds)[0])


class Mirror(Session):
    """`enable`: capabilities that it switches on; `observe` is called with (uid, modseq, flags) of each FETCH that has all three, and
    `vanished` with the UIDs that are gone."""

    def __init__(self, house, user, mailbox, enable=(), observe=None, vanished=None):
        self.house, self.user, self.mailbox, self.enable = house, user, mailbox, set(enable)
        self.observe, self.vanished = observe or (lambda *_: None), vanished or (lambda _: None)
        self.view, self.flags, self.modseqs, self.texts = [], {}, {}, {}
        self.uidvalidity = self.resume_at = self.top = 0
        self.seen_here = []  # (uid, modseq, flags or None) of the command under way
        self.last = collections.deque(maxlen=4000)  # what was said, for who looks for the cause of a disagreement
        self.silent = None  # the change that a STORE .SILENT under way makes: flags → flags
        self.selecting = False
        self.command = ""
        self.connect()

    # What comes ----------------------------------------------------------------------------------------

    def fail(self, text):
        raise AssertionError(f"{text}\n  in {self.command!r} of a session with {sorted(self.enable)}, "
                             f"view of {len(self.view)}: {self.view[:5]}…{self.view[-5:]}, resumed from {self.resume_at}\n"
                             + "\n".join(list(self.last)[-60:]))

    def verb(self):
        words = self.command.split()
        return words[0] if words else ""

    def take(self, line):
        words = line.split(" ", 3)
        if len(words) > 2 and words[1].isdigit():
            if words[2] == "EXISTS":
                self.take_exists(int(words[1]))
            elif words[2] == "EXPUNGE":
                self.take_expunge(int(words[1]))
            elif words[2] in ("FETCH", "UIDFETCH"):
                self.take_fetch(line)
            elif words[2] not in NUMBERS:
                self.fail(f"not a response: {line}")
        elif words[1] == "VANISHED":
            earlier = words[2] == "(EARLIER)"
            self.take_vanished(uid_list(words[3] if earlier else words[2]), earlier)
        elif words[1] == "BYE":
            self.fail(line)
        found = re.match(r"\* OK \[UIDVALIDITY (\d+)\]", line)
        if found:
            self.uidvalidity = int(found.group(1))
        found = re.match(r"\* OK \[HIGHESTMODSEQ (\d+)\]", line)
        if found and self.selecting:
            self.selected_at = int(found.group(1))

    def take_exists(self, n):
        if n < len(self.view):
            self.fail(f"EXISTS went from {len(self.view)} down to {n}")
        self.view += [None] * (n - len(self.view))
        if self.at_select is None:
            self.at_select = n

    def check_may_go(self, line):
        if self.verb() in NO_EXPUNGE:
            self.fail(f"{line} during a command with sequence numbers")

    def forget(self, uid):
        self.flags.pop(uid, None)
        self.modseqs.pop(uid, None)

    def take_expunge(self, n):
        if self.enable & {"QRESYNC", "UIDONLY"}:
            self.fail(f"EXPUNGE {n} where VANISHED was asked for")
        if not 1 <= n <= len(self.view):
            self.fail(f"EXPUNGE {n} of {len(self.view)}")
        self.check_may_go(f"EXPUNGE {n}")
        uid = self.view.pop(n - 1)
        if uid is not None:
            self.forget(uid)
            self.vanished([uid])

    def take_vanished(self, uids, earlier):
        if not self.enable & {"QRESYNC", "UIDONLY"}:
            self.fail("VANISHED was not asked for")
        if earlier:
            for uid in uids:
                self.forget(uid)
            return
        self.check_may_go(f"VANISHED {uids}")
        for uid in uids:
            if self.selecting:
                self.view.pop()
                self.at_select -= 1
                self.forget(uid)
            elif uid in self.flags or uid in self.view:
                self.view.remove(uid)
                self.forget(uid)
            else:
                self.take_out_unknown(uid)
        self.vanished(uids)

    def take_out_unknown(self, uid):
        """Of those that it knows only the number of, one between its neighbours."""
        ordered = "UIDONLY" not in self.enable
        after = max((i for i, u in enumerate(self.view) if ordered and u is not None and u < uid), default=-1)
        if None not in self.view[after + 1:]:
            self.fail(f"VANISHED {uid}, which was never here")
        del self.view[self.view.index(None, after + 1)]

    def take_fetch(self, line):
        found = FETCH.match(line)
        if not found:
            self.fail(f"a FETCH that cannot be read: {line}")
        number, items = int(found.group(1)), found.group(3)
        uid = re.search(r"\bUID (\d+)", items)
        flags = re.search(r"\bFLAGS \(([^)]*)\)", items)
        modseq = re.search(r"\bMODSEQ \((\d+)\)", items)
        subject = re.search(r"\r\nSubject: ([^\r]*)\r\n", items)
        uid = number if found.group(2) else int(uid.group(1)) if uid else None
        if found.group(2):
            if "UIDONLY" not in self.enable:
                self.fail("UIDFETCH was not asked for")
            if uid not in self.flags and None in self.view:
                self.view[self.view.index(None)] = uid
        elif not self.selecting:
            uid = self.place(number, uid)
        if uid is None:
            return  # of a message that it knows only the number of, and will ask for
        flags = frozenset(flags.group(1).split()) - {"\\Recent"} if flags else None
        modseq = int(modseq.group(1)) if modseq else None
        self.learn(uid, flags, modseq)
        if subject:
            self.texts[uid] = subject.group(1)

    def place(self, number, uid):
        if not 1 <= number <= len(self.view):
            self.fail(f"FETCH of {number}, of {len(self.view)}")
        known = self.view[number - 1]
        if known is None and uid is not None:
            self.view[number - 1] = uid
        elif uid is not None and known != uid:
            self.fail(f"number {number} was UID {known}, and now is {uid}")
        return uid if uid is not None else known

    def learn(self, uid, flags, modseq):
        if flags is None and modseq is not None and self.silent is not None and uid in self.flags:
            self.flags[uid] = self.silent(self.flags[uid])
        if flags is not None:
            self.flags[uid] = flags
            self.observe(uid, modseq, flags)
        if modseq is not None:
            if modseq < self.modseqs.get(uid, 0):
                self.fail(f"the modseq of UID {uid} went from {self.modseqs[uid]} back to {modseq}")
            self.modseqs[uid] = modseq
            self.top = max(self.top, modseq)
        self.seen_here.append((uid, modseq, flags))

    # What is asked -------------------------------------------------------------------------------------

    def write(self, data):
        self.socket.sendall(data)

    def said_of(self, uid):
        """The exchanges in which a message is named, for a report of a failure."""
        out, exchange = [], []
        for line in self.last:
            if line.startswith("> "):
                exchange = [line]
            elif re.search(rf"\b{uid}\b", line):
                out += exchange + [line]
                exchange = []
            elif exchange and not line.startswith("* "):
                exchange.append(line)
        return "\n".join(out[-40:])

    def close(self):
        self.socket.close()

    def until(self, tag):
        lines = []
        while True:
            line = self.line()
            self.last.append(line)
            if line.startswith(tag + " "):
                return lines + [line]
            if line.startswith("* "):
                self.take(line)
            elif not line.startswith("+"):
                self.fail(f"neither ours nor untagged: {line}")
            lines.append(line)

    def do(self, command):
        """Sends it, takes what comes; the tagged response's status and text."""
        self.command, self.seen_here = command, []
        self.last.append(f"> {command}")
        lines = self.ask(command)
        self.command = ""
        status, _, text = lines[-1].partition(" ")[2].partition(" ")
        if status == "BAD":
            raise AssertionError(f"{command}: {lines[-1]}")
        self.lines = lines
        return status, text

    def connect(self):
        self.socket = socket.create_connection((self.house.address, self.house.port(IMAP)), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = Bytes(self.socket)
        self.begin()
        self.do(f"LOGIN {self.user} {PASSWORD}")
        # (Each by itself: QRESYNC says CONDSTORE too.)
        for name in sorted(self.enable - {"NOTIFY"}):
            self.do(f"ENABLE {name}")
        self.select()

    def knows_modseqs(self):
        return bool(self.enable & {"CONDSTORE", "QRESYNC"})

    def select(self):
        """Anew, or with QRESYNC from what it knew."""
        whole = None not in self.view
        self.view, self.selecting, self.selected_at, self.at_select, self.sure = [], True, 0, None, 0
        if "QRESYNC" in self.enable and self.uidvalidity and self.resume_at:
            # Of messages that are not among the known ones, where these are said, nothing is told.
            latest = max(self.flags, default=0) if whole and len(self.flags) % 2 == 0 else None
            known = f" {uid_set(self.flags)}" if latest else ""
            self.take_all(self.do(f"SELECT {self.mailbox} (QRESYNC ({self.uidvalidity} {self.resume_at}{known}))"))
            self.selecting = False
            there = sorted(u for u in self.flags if not latest or u <= latest)
            if not latest and len(there) < self.at_select or len(there) > len(self.view):
                self.fail(f"after QRESYNC from {self.resume_at}: {len(there)} messages known, {self.at_select} there; {self.lines}")
            there = there[:self.at_select]
            for uid in set(self.flags) - set(there):
                self.forget(uid)
            # More may have come since it was selected.
            self.view = there + [None] * (len(self.view) - len(there))
            self.catch_up()
        else:
            self.flags, self.modseqs = {}, {}
            self.take_all(self.do(f"SELECT {self.mailbox}"))
            self.selecting = False
            self.top = self.selected_at
            self.catch_up()
        self.resume_at = self.selected_at
        if "NOTIFY" in self.enable:
            self.do("NOTIFY SET (selected (MessageNew (UID FLAGS MODSEQ) MessageExpunge FlagChange))")

    def take_all(self, result):
        if result[0] != "OK":
            self.fail(f"{self.lines[-1]}")

    def catch_up(self):
        """Asks for what it knows only the number of."""
        for _ in range(100):
            if None not in self.view:
                break
            # (UIDFETCH says no number: changes of new messages may be told before the messages.)
            surely = [self.sure] if "UIDONLY" in self.enable else [u for u in self.view[:self.view.index(None)]]
            first = max(surely, default=0) + 1
            items = "(UID FLAGS MODSEQ)" if self.knows_modseqs() else "(UID FLAGS)"
            before = self.view.count(None)
            self.take_all(self.do(f"UID FETCH {first}:* {items}"))
            if self.view.count(None) == before:
                self.noop()
        if None in self.view:
            self.fail("messages are there that cannot be fetched")
        known = [u for u in self.view if u is not None]
        if "UIDONLY" not in self.enable and known != sorted(set(known)):
            self.fail("UIDs are not in order")
        self.sure = max(known, default=0)

    def noop(self):
        self.take_all(self.do("NOOP"))

    def settle(self):
        """All that there is to know, and nothing more to come."""
        self.noop()
        self.catch_up()
        self.noop()
        if "QRESYNC" in self.enable and None not in self.view:
            self.resume_at = max(self.resume_at, self.top)

    def idle(self, seconds):
        self.count += 1
        tag = f"x{self.count}"
        self.command = "IDLE"
        self.send(f"{tag} IDLE\r\n")
        while not (line := self.line()).startswith("+"):
            self.take(line)
        if self.file.ready(seconds):
            line = self.line()
            if not line.startswith("* "):
                self.fail(line)
            self.take(line)
        self.send("DONE\r\n")
        assert self.until(tag)[-1].startswith(f"{tag} OK")
        self.command = ""

    def drop(self):
        """Gone without a word, as when a train enters a tunnel."""
        self.socket.close()
