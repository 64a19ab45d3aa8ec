"""Fifty sessions of all kinds change one mailbox at random. Each keeps a copy by what it is told (harness/imap_mirror.py); after each round
all copies must be what a fresh session reads. And the changes of each message, in the order of their modseqs, must explain one another:
what a STORE made of the flags is what it makes of the flags that the change before it left."""
import collections
import random
import re
import subprocess
import sys
import threading
import time

import pytest

from harness.house import TOP
from harness.imap import Line, fetched
from harness.imap_mirror import Mirror, uid_list, uid_set

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$One", "$Two")
EVER = 1 << 63  # later than any modseq
KINDS = ({"QRESYNC"}, {"CONDSTORE"}, {"QRESYNC"}, set(), {"CONDSTORE", "NOTIFY"}, {"QRESYNC", "IMAP4rev2"}, {"CONDSTORE", "UIDONLY"},
         {"CONDSTORE", "IMAP4rev2"}, {"QRESYNC", "NOTIFY"}, {"QRESYNC", "UIDONLY"})


def change(sign, given):
    """flags → flags of a STORE."""
    if sign == "+":
        return lambda flags: flags | given
    if sign == "-":
        return lambda flags: flags - given
    return lambda flags: given


class Claim(collections.namedtuple("Claim", "uid start modseq sign given since who")):
    """A STORE that was answered: `start` is the modseq that the session knew of before, `modseq` the one that it was told after. The
    message may have been changed again between the change and the answer."""

    def apply(self, flags):
        return change(self.sign, self.given)(flags)

    def is_at(self, modseq):
        return self.start < modseq <= self.modseq


class Member(threading.Thread):
    """One session with its own source of chances."""

    def __init__(self, world, number, user):
        super().__init__(daemon=True)
        self.world, self.number = world, number
        self.random = random.Random(world.seed * 1000 + number)
        self.observed, self.claims, self.made, self.moved, self.gone = [], [], [], [], []
        self.error = None
        self.done = 0
        self.mirror = Mirror(world.house, user, "Crowd", KINDS[number % len(KINDS)],
                             lambda uid, modseq, flags: self.observed.append((uid, modseq, flags)), self.gone.extend)

    def run(self):
        try:
            while self.world.round_begins():
                while time.monotonic() < self.world.round_end:
                    self.step()
                    self.done += 1
                self.world.barrier.wait(120)
                self.mirror.settle()
                self.world.barrier.wait(120)
        except threading.BrokenBarrierError:
            pass
        except Exception as e:  # noqa: B902 (told by the test)
            self.error = e
            self.world.barrier.abort()

    # Single steps --------------------------------------------------------------------------------------

    def step(self):
        many = len(self.mirror.view)
        kinds = [(self.store, 30), (self.fetch, 10), (self.search, 8), (self.append, 12 if many < 150 else 2), (self.copy, 4 if many < 150 else 0),
                 (self.move_away, 2), (self.move_back, 2), (self.delete, 4 if many < 150 else 12), (self.expunge, 3), (self.uid_expunge, 3),
                 (self.mirror.noop, 8), (self.idle, 3), (self.again, 1), (self.drop, 2)]
        action, = self.random.choices([k for k, _ in kinds], [w for _, w in kinds])
        action()

    def some(self, most):
        """UIDs that it knows, each once, in order."""
        known = [u for u in self.mirror.view if u is not None]
        return sorted(self.random.sample(known, min(len(known), self.random.randint(1, most))))

    def by_uid(self):
        # (RFC 5465 §5.1: with NOTIFY of the selected mailbox messages may go while a command is on its way.)
        return bool(self.mirror.enable & {"UIDONLY", "NOTIFY"}) or self.random.random() < 0.5

    def named(self, uids):
        """The command's prefix and its set: by UID or by number."""
        if self.by_uid():
            return "UID ", uid_set(uids)
        return "", uid_set(self.mirror.view.index(u) + 1 for u in uids)

    def store(self, sign=None, given=None):
        uids = self.some(12)
        if not uids or not self.mirror.knows_modseqs():
            return self.mirror.noop()
        sign = sign or self.random.choice(("+", "+", "-", "-", ""))
        given = given or frozenset(self.random.sample(FLAGS, self.random.randint(1, 3)))
        silent = self.random.random() < 0.4
        since = self.mirror.top if self.random.random() < 0.2 else None
        prefix, numbers = self.named(uids)
        guard = f" (UNCHANGEDSINCE {since})" if since else ""
        self.mirror.silent = change(sign, given) if silent else None
        at, before = list(self.mirror.view), dict(self.mirror.modseqs)
        status, text = self.mirror.do(f"{prefix}STORE {numbers}{guard} {sign}FLAGS{'.SILENT' if silent else ''} ({' '.join(sorted(given))})")
        self.mirror.silent = None
        assert status == "OK" or "[MODIFIED " in text or "[EXPUNGEISSUED]" in text, text
        modified = re.search(r"\[MODIFIED ([\d:,]+)\]", text)
        modified = uid_list(modified.group(1)) if modified else []
        modified = {u if prefix else at[u - 1] for u in modified}
        heard = {}
        for uid, modseq, _ in self.mirror.seen_here:
            if uid in uids and modseq is not None:
                heard[uid] = max(modseq, heard.get(uid, 0))
        for uid in uids:
            if uid in modified:
                continue
            self.claims.append(Claim(uid, before.get(uid, 0), heard.get(uid, EVER), sign, given, since, self.number))
        self.mirror.catch_up()

    def delete(self):
        self.store("+", frozenset(("\\Deleted",)))

    def fetch(self):
        uids = self.some(10)
        if uids:
            prefix, numbers = self.named(uids)
            items = "UID FLAGS MODSEQ" if self.mirror.knows_modseqs() else "UID FLAGS"
            self.mirror.do(f"{prefix}FETCH {numbers} ({items} BODY.PEEK[HEADER.FIELDS (SUBJECT)])")

    def search(self):
        """Subjects never change: what is found must be what is there."""
        tag = f"tag{self.random.randrange(5)} "
        by_uid = self.by_uid()
        here, gone = list(self.mirror.view), len(self.gone)
        self.mirror.do(f"{'UID ' if by_uid else ''}SEARCH SUBJECT \"{tag}\"")
        found = set()
        for line in self.mirror.lines[:-1]:
            if line.startswith("* SEARCH"):
                found.update(int(n) for n in line.split("(")[0].split()[2:])
            elif line.startswith("* ESEARCH") and " ALL " in line:
                found.update(uid_list(line.split(" ALL ")[1].split()[0]))
        if not by_uid:
            assert max(found, default=0) <= len(here), (found, len(here))
            found = {here[n - 1] for n in found}
        self.world.looked.append((self.number, tag, found, {u for u in here if u is not None}, set(self.gone[gone:])))
        self.mirror.catch_up()

    def append(self):
        subject = f"tag{self.random.randrange(5)} {self.number}.{self.done}"
        flags = frozenset(self.random.sample(FLAGS, self.random.randint(0, 2)))
        text = f"From: a@example.test\r\nSubject: {subject}\r\n\r\n{'x' * self.random.randrange(300)}\r\n"
        status, answer = self.mirror.do(f"APPEND Crowd ({' '.join(flags)}) {{{len(text)}+}}\r\n{text}")
        assert status == "OK", answer
        self.made.append((int(re.search(r"APPENDUID \d+ (\d+)", answer).group(1)), flags, subject))
        self.mirror.catch_up()

    def copied(self, text, lines):
        found = re.search(r"\[COPYUID \d+ ([\d:,]+) ([\d:,]+)\]", " ".join(lines) + text)
        return list(zip(uid_list(found.group(1)), uid_list(found.group(2)))) if found else []

    def copy(self):
        uids = self.some(4)
        if uids:
            prefix, numbers = self.named(uids)
            status, text = self.mirror.do(f"{prefix}COPY {numbers} Crowd")
            for source, uid in self.copied(text, []):
                self.made.append((uid, None, source))
            self.mirror.catch_up()

    def move_away(self):
        uids = self.some(3)
        if uids:
            prefix, numbers = self.named(uids)
            self.moved += uids
            status, text = self.mirror.do(f"{prefix}MOVE {numbers} Aside")
            self.mirror.catch_up()

    def move_back(self):
        """From the other mailbox, by another session."""
        with self.world.aside_lock:
            lines = self.world.aside.ok("UID SEARCH ALL")
            there = next((line.split()[2:] for line in lines if line.startswith("* SEARCH")), [])
            if there:
                lines = self.world.aside.ask(f"UID MOVE {','.join(self.random.sample(there, min(3, len(there))))} Crowd")
                assert lines[-1].split()[1] == "OK", lines
                for _, uid in self.copied(lines[-1], lines):
                    self.made.append((uid, None, None))

    def expunge(self):
        self.mirror.do("EXPUNGE")
        self.mirror.catch_up()

    def uid_expunge(self):
        uids = self.some(30)
        if uids:
            self.mirror.do(f"UID EXPUNGE {uid_set(uids)}")
            self.mirror.catch_up()

    def idle(self):
        self.mirror.idle(self.random.random() * 0.2)
        self.mirror.catch_up()

    def again(self):
        """The same connection leaves the mailbox and comes back."""
        if self.random.random() < 0.5:
            self.mirror.settle()
        self.mirror.do("UNSELECT")
        self.mirror.select()
        self.mirror.catch_up()

    def drop(self):
        if self.random.random() < 0.5:
            self.mirror.settle()
        self.mirror.drop()
        time.sleep(self.random.random() * 0.2)
        self.mirror.connect()
        self.mirror.catch_up()


class World:
    def __init__(self, house, user, sessions, seed):
        self.house, self.seed = house, seed
        self.looked = []
        self.aside_lock = threading.Lock()
        self.aside = Line(house, user)
        self.aside.ok("CREATE Aside")
        self.aside.ok("CREATE Crowd")
        self.aside.ok("SELECT Aside")
        self.reader = Line(house, user)
        self.round_end, self.more = 0.0, True
        self.barrier = threading.Barrier(sessions + 1)
        self.base, self.subjects, self.dead = {}, {}, set()
        self.members = [Member(self, n, user) for n in range(sessions)]
        for m in self.members:
            m.start()

    def round_begins(self):
        self.barrier.wait(120)
        return self.more

    def round(self, seconds):
        self.round_end = time.monotonic() + seconds
        try:
            self.barrier.wait(120)
            self.barrier.wait(120 + seconds)
            self.barrier.wait(120)
        except threading.BrokenBarrierError:
            errors = [m.error for m in self.members if m.error is not None]
            raise (errors or [AssertionError("a session stands still")])[0]
        self.check()

    def end(self):
        self.more = False
        try:
            self.barrier.wait(120)
        except threading.BrokenBarrierError:
            pass
        for m in self.members:
            m.join(60)
            m.mirror.close()
        self.aside.close()
        self.reader.close()

    # After a round ---------------------------------------------------------------------------------------

    def truth(self):
        """{uid: (flags, modseq, subject)} as a new session has it."""
        self.reader.ok("SELECT Crowd")
        rows = fetched(self.reader.ok("UID FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
        out = {}
        for row in rows.values():
            (text,) = [v for k, v in row.items() if k.startswith("BODY[")]
            out[int(row["UID"])] = (frozenset(row["FLAGS"]) - {"\\Recent"}, int(row["MODSEQ"][0]), text.decode().split(": ", 1)[1].strip())
        self.reader.ok("UNSELECT")
        return out

    def drain(self, name):
        out = []
        for m in self.members:
            rows = getattr(m, name)
            out += rows
            del rows[:]
        return out

    def check(self):
        truth = self.truth()
        for m in self.members:
            self.check_mirror(m, truth)
        made, claims, observed = self.drain("made"), self.drain("claims"), self.drain("observed")
        gone, moved = set(self.drain("gone")), set(self.drain("moved"))
        fresh = {}
        for uid, flags, subject in made:
            assert uid not in fresh and uid not in self.base and uid not in self.dead, f"UID {uid} was given twice"
            fresh[uid] = flags
            if isinstance(subject, str):
                self.subjects[uid] = subject
        for uid, (_, _, subject) in truth.items():
            assert self.subjects.setdefault(uid, subject) == subject, f"UID {uid} has another subject now"
            assert uid in fresh or uid in self.base, f"nobody made UID {uid}"
        self.check_going(truth, set(fresh) | set(self.base), gone, moved, claims)
        self.check_searches()
        by_uid, seen = collections.defaultdict(list), collections.defaultdict(lambda: collections.defaultdict(set))
        for c in claims:
            by_uid[c.uid].append(c)
        for uid, modseq, flags in observed + [(uid, m, f) for uid, (f, m, _) in truth.items()]:
            if modseq is not None:
                seen[uid][modseq].add(flags)
        for uid, rows in seen.items():
            self.check_message(uid, rows, by_uid[uid], fresh.get(uid), uid in truth)
        self.dead |= (set(fresh) | set(self.base)) - set(truth)
        self.base = {uid: (flags, modseq) for uid, (flags, modseq, _) in truth.items()}

    def check_mirror(self, m, truth):
        who = f"session {m.number} with {sorted(m.mirror.enable)}"
        assert sorted(m.mirror.view) == sorted(truth), f"{who} has other messages: {set(m.mirror.view) ^ set(truth)}"
        for uid, (flags, modseq, subject) in truth.items():
            assert m.mirror.flags[uid] == flags, f"{who} has {set(m.mirror.flags[uid])} for UID {uid}, which is {set(flags)} at {modseq}\n" + m.mirror.said_of(uid)
            if m.mirror.knows_modseqs():
                assert m.mirror.modseqs[uid] == modseq, f"{who} has modseq {m.mirror.modseqs[uid]} for UID {uid}, which is {modseq}"
            assert m.mirror.texts.get(uid, subject) == subject, who

    def check_going(self, truth, known, gone, moved, claims):
        assert not gone & set(truth), f"told to be gone, and there: {gone & set(truth)}"
        deleted = {c.uid for c in claims if "\\Deleted" in c.given} | {u for u, (flags, _) in self.base.items() if "\\Deleted" in flags}
        # (A copy has the flags of what it is a copy of.)
        for uid in known - set(truth):
            assert uid in deleted or uid in moved or uid not in self.base, f"UID {uid} is gone, and nobody deleted it"

    def check_searches(self):
        for who, tag, found, here, gone in self.looked:
            wanted = {u for u in here if self.subjects.get(u, "").startswith(tag)}
            extra = {u for u in found - wanted if not self.subjects.get(u, tag).startswith(tag)}
            assert not extra, f"session {who} found {extra} for {tag}"
            lost = {u for u in wanted - found if u in self.base and u not in gone}
            self.lost = getattr(self, "lost", set()) | lost
        del self.looked[:]
        # What was not found must have been gone already.
        living = getattr(self, "lost", set()) & set(self.truth())
        assert not living, f"searches have not found {living}"

    def check_message(self, uid, seen, claims, first, lives):
        """Each set of flags that was seen comes of the one before it by the changes that were under way; and each change has been in
        force at some time between what its session knew before and was told after."""
        states, at = ({self.base[uid][0]}, self.base[uid][1]) if uid in self.base else (None if first is None else {first}, 0)
        in_force = set()
        for modseq in sorted(seen):
            flags = seen[modseq]
            assert len(flags) == 1, self.story(uid, seen, claims, first, f"has two sets of flags at modseq {modseq}")
            if states is not None and modseq > at:
                reached, here = set(states), [c for c in claims if c.start < modseq and c.modseq > at]
                for _ in range(4):
                    new = {c.apply(s) for c in here for s in reached} - reached
                    reached |= new
                    if not new or len(reached) > 2000:
                        break
                assert len(reached) > 2000 or flags <= reached, self.story(uid, seen, claims, first, f"has become what nobody made it at modseq {modseq}")
                # What lay between may have been seen by nobody.
                in_force |= {c for c in here for s in reached if c.apply(s) == s}
            states, at = flags, modseq
            in_force |= {c for c in claims if c.start <= modseq and c.apply(next(iter(flags))) == next(iter(flags))}
        lost = [c for c in claims if c not in in_force] if lives else []
        assert not lost, self.story(uid, seen, claims, first, f"has never been what these made it: {lost}")

    def story(self, uid, seen, claims, first, what):
        rows = [(m, sorted(map(sorted, f)), "seen") for m, f in seen.items()] + [(c.modseq, tuple(c), "stored") for c in claims]
        return "\n".join([f"UID {uid} {what}", f"before: {self.base.get(uid, first)}", *map(str, sorted(rows, key=lambda r: r[0]))])


def crowd(house, sessions, rounds, seconds, seed):
    world = World(house, "alice", sessions, seed)
    try:
        for _ in range(rounds):
            world.round(seconds)
        return sum(m.done for m in world.members)
    finally:
        world.end()


@pytest.mark.sanitized
@pytest.mark.slow
def test_fifty_sessions_agree(demo):
    assert crowd(demo, 50, 2, 2, seed=1) > 50


@pytest.mark.soak
def test_fifty_sessions_agree_for_ten_minutes(demo):
    assert crowd(demo, 50, 40, 15, seed=int(time.time())) > 1000


@pytest.mark.soak
def test_ten_thousand_wait():
    """Each session in IDLE costs at most 35 KB, and hears of a message within 100 ms."""
    done = subprocess.run([sys.executable, TOP / "bench" / "idle.py", "--binding"], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
