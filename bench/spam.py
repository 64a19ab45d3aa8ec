#!/usr/bin/python3
"""spam.py: the classifier on the public corpus of SpamAssassin (wanted and unwanted mail of 2001 and 2002), beside Debian's bogofilter.

    script/bench spam [--splits 20] [--corpus FOLDER] [--no-peers] [--without-lists]

 - Duplicates are removed (same text behind the header, or same Message-ID).
 - What the corpus's collectors added is taken out before any filter sees a message (clean()): their Received, delivery and filter
   fields, the mbox line, dates; addresses that they made up (yyyy@…, zzzz…) become user@example.org.
 - Splits: a hash of Message-ID and the split's number puts 80 % of the messages into train, 10 % into tune and 10 % into test. Train
   makes the model; tune only chooses the threshold of the figure that is called so; test is counted, all splits pooled. The
   intervals are of a bootstrap over messages (a message is drawn with all its splits).
 - Online: all messages in the order of their delivery, each scored and then learnt.

--without-lists takes the marks of mailing lists out as well, to see how much hangs on them. Loopback is not even used."""
import argparse
import email.utils
import hashlib
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

top = pathlib.Path(__file__).resolve().parent.parent

# ---- what the collectors added ----------------------------------------------------------------------------------------

GONE = re.compile(
    rb"^(return-path|delivered-to|x-delivered-to|delivery-date|x-original-to|x-envelope-.*|envelope-to|x-spam.*|x-virus-scanned|"
    rb"x-mime-autoconverted|x-authentication-warning|status|x-status|x-keywords|x-uid.*|x-mozilla.*|x-evolution.*|x-loop|x-pyzor|"
    rb"x-razor.*|x-folder|content-length|lines|x-imap.*|x-sieve|x-apparently-to|x-bulkmail|x-delivery-agent)$", re.I)
LISTS = re.compile(rb"^(list-.*|x-mailman-version|x-beenthere|errors-to|precedence|mailing-list|x-mailing-list|sender|"
                   rb"x-egroups-.*|x-list-.*|x-unsubscription-info|mail-followup-to)$", re.I)
HOSTS = rb"(slashnull\.org|netnoteinc\.com|jmason\.org|(zzz+|yyy+)ason\.org|taint\.org|webnote\.net|spamassassin\.(org|taint\.org)|example\.com)"
LIST = re.compile(rb"(?im)^(list-|mailing-list|x-mailman|x-mailing-list|x-beenthere|precedence:\s*list)")
MONTH = rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"


def undate(value):
    """One day for all: the form, the time of day and the zone stay."""
    value = re.sub(rb"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", b"Mon", value)
    value = re.sub(rb"\b\d{1,2}([ -])" + MONTH + rb"([ -])(\d{4}|\d\d)\b", rb"01\1Jan\g<3>2001", value)
    value = re.sub(rb"\b" + MONTH + rb" +\d{1,2}\b(,?) ?(\d{4})?", rb"Jan 01\2 2001", value)
    return value


def fields(head):
    """[name, whole field] of a header."""
    found = []
    for line in re.split(rb"(?<=\n)", head):
        if line[:1] in (b" ", b"\t") and found:
            found[-1][1] += line
        elif b":" in line:
            found.append([line.split(b":", 1)[0].strip(), line])
    return found


def anonymous(text):
    text = re.sub(rb"[\w.+-]*\b(yyyy+|zzzz+|jm|jmason|webmaster)\b[\w.+-]*@" + HOSTS, b"user@example.org", text, flags=re.I)
    text = re.sub(rb"[\w.+-]*@([\w-]+\.)*" + HOSTS, b"user@example.org", text, flags=re.I)
    text = re.sub(rb"\b(yyyy|zzzz)\b", b"user", text)
    return re.sub(rb"zzzz?(?=[a-z])|\byyyy(?=[a-z-])", b"", text)


def clean(raw, without_lists):
    """(message as its sender's server sent it, time of delivery)"""
    delivered = None
    if raw.startswith(b"From "):
        line, raw = raw.split(b"\n", 1)
        parsed = email.utils.parsedate_tz(line.split(b" ", 2)[-1].strip().decode("latin-1"))
    parts = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)
    head, body = parts[0] + b"\n", parts[1] if len(parts) > 1 else b""
    kept, top, theirs = [], True, None
    for name, field in fields(head):
        lower = name.lower()
        if lower == b"received":
            if delivered is None:
                stamp = email.utils.parsedate_tz(field.rsplit(b";", 1)[-1].strip().decode("latin-1"))
                delivered = email.utils.mktime_tz(stamp) if stamp else None
            by = re.search(rb"\bby\s+(\S+)", field)
            host = by.group(1).lower() if by else b""
            site = b".".join(host.split(b".")[-2:])
            if re.search(HOSTS, host, re.I):
                theirs = b"collector"
                continue
            # At the top, what was written where the message was collected. Some people gave mail of their own: the lines of their
            # host, at the top of what came by no list, are no sender's either.
            if top and (by is None or host in (b"localhost", b"localhost.localdomain")):
                continue
            if top and theirs is None and not LIST.search(head):
                theirs = site
            top = False
            if theirs == site:
                continue
            field = undate(field)
        elif GONE.match(name) or (without_lists and LISTS.match(name)):
            continue
        elif lower in (b"date", b"resent-date", b"x-original-date", b"x-originalarrivaltime", b"delivery-date", b"expires", b"reply-by"):
            if lower == b"date" and delivered is None:
                stamp = email.utils.parsedate_tz(field.split(b":", 1)[1].strip().decode("latin-1"))
                delivered = email.utils.mktime_tz(stamp) if stamp else None
            field = undate(field)
        elif lower == b"message-id":
            # One that the collectors' server gave is none of the sender's.
            if re.search(HOSTS, field, re.I):
                continue
            field = re.sub(rb"20(01|02)\d{4,}", lambda m: b"2001" + b"0" * (len(m.group(0)) - 4), field)
        elif lower in (b"in-reply-to", b"references"):
            field = re.sub(rb"20(01|02)\d{4,}", lambda m: b"2001" + b"0" * (len(m.group(0)) - 4), field)
        kept.append(field)
    return anonymous(b"".join(kept)) + b"\n" + anonymous(body), delivered or 0


def load(corpus, without_lists):
    """[(id, spam, time, cleaned)] in the order of time, without duplicates."""
    seen, rows = set(), []
    for path in sorted(p for p in corpus.rglob("*") if p.is_file() and p.name != "cmds"):
        raw = path.read_bytes()
        spam = path.relative_to(corpus).parts[0] == "spam"
        text, when = clean(raw, without_lists)
        found = re.search(rb"(?im)^message-id:\s*(\S+)", raw)
        name = found.group(1) if found else hashlib.sha256(text).digest()
        body = hashlib.sha256(re.sub(rb"\s+", b"", text.split(b"\n\n", 1)[-1])).digest()
        if name in seen or body in seen:
            continue
        seen |= {name, body}
        rows.append((name, spam, when, text))
    rows.sort(key=lambda r: (r[2], r[0]))
    return rows


def part(name, split):
    h = int.from_bytes(hashlib.sha256(b"%d " % split + name).digest()[:4], "big") % 100
    return 0 if h < 80 else 1 if h < 90 else 2


# ---- figures ----------------------------------------------------------------------------------------------------------


def roc(rows):
    """[(score, spam, weight)] -> (1-ROCA, equal error rate, missed spam at 0.1 % of ham)"""
    ham = sum(w for _, s, w in rows if not s)
    spam = sum(w for _, s, w in rows if s)
    groups, last = [], None
    for score, s, w in sorted(rows, key=lambda r: -r[0]):
        if score != last:
            groups.append([0, 0])
            last = score
        groups[-1][s] += w
    fp = tp = area = 0
    eer = missed = 1.0
    for h, s in groups:
        area += h * (spam - tp - s / 2)
        tp += s
        fp += h
        eer = min(eer, max(fp / ham, 1 - tp / spam))
        if fp / ham <= 0.001:
            missed = min(missed, 1 - tp / spam)
    return area / (ham * spam), eer, missed


def interval(values):
    values = sorted(values)
    return values[int(0.025 * len(values))], values[min(int(0.975 * len(values)), len(values) - 1)]


def show(what, scored, rounds, chooser=None):
    """scored: {message: [(score, spam)]}, all splits of a message together."""
    flat = [(s, spam, 1) for v in scored.values() for s, spam in v]
    whole = roc(flat)
    names = sorted(scored)
    rnd = random.Random(1)
    draws = []
    for _ in range(rounds):
        weights = {}
        for _ in names:
            n = rnd.choice(names)
            weights[n] = weights.get(n, 0) + 1
        draws.append(roc([(s, spam, w) for n, w in weights.items() for s, spam in scored[n]]))
    for i, label in enumerate(("1-ROCA", "equal error rate", "missed spam at 0.1 % false positives")):
        low, high = interval([d[i] for d in draws]) if draws else (whole[i], whole[i])
        print(f"{what:28} {label:38} {100 * whole[i]:7.3f} %   ({100 * low:.3f} to {100 * high:.3f})", flush=True)
    return whole


# ---- ours -----------------------------------------------------------------------------------------------------------


def ours(rows, folder, splits, rounds):
    bench = top / "build/bench/spam_bench"
    listing = folder / "list"
    with open(listing, "w") as out:
        for i, (name, spam, _, _) in enumerate(rows):
            digits = "".join(str(part(name, k)) for k in range(splits))
            out.write(f"{folder}/m/{i:05}\t{'s' if spam else 'h'}\t{digits}\n")
    text = subprocess.run([bench, "splits", listing], check=True, capture_output=True, text=True).stdout
    test, tune, decided = {}, {}, [0, 0, 0, 0]
    for line in text.splitlines():
        split, place, odds, margin, bayes, opinion = line.split()
        split, place = int(split), int(place)
        name, spam = rows[place][0], rows[place][1]
        which = test if part(name, split) == 2 else tune
        which.setdefault(place, []).append((float(odds), spam))
        if which is test:
            decided[2 * spam] += 1
            decided[2 * spam + 1] += int(opinion) == 2
    show("posthouse", test, rounds)
    print(f"{'posthouse':28} {'junk by its own threshold:':38} {100 * decided[1] / decided[0]:.3f} % of the wanted, "
          f"{100 * decided[3] / decided[2]:.2f} % of the unwanted")
    text = subprocess.run([bench, "online", listing], check=True, capture_output=True, text=True).stdout
    scored = {}
    for line in text.splitlines():
        _, place, odds, *_ = line.split()
        scored[int(place)] = [(float(odds), rows[int(place)][1])]
    show("posthouse, learning", scored, rounds)
    print(subprocess.run([bench, "speed", listing], check=True, capture_output=True, text=True).stdout)


# ---- bogofilter -------------------------------------------------------------------------------------------------------


def bogofilter(rows, folder, splits, rounds):
    root = top / "build-peers/bogofilter/root"
    program = root / "usr/bin/bogofilter-bdb"
    if not program.exists():
        print("bogofilter: not there, left out")
        return
    env = dict(os.environ, LD_LIBRARY_PATH=str(root / "usr/lib/x86_64-linux-gnu"), HOME=str(folder))

    def run(args, paths):
        return subprocess.run([program, "-C", "-d", folder / "bogo", *args], input="".join(p + "\n" for p in paths), text=True,
                              capture_output=True, check=False, env=env).stdout

    scored, cpu, count = {}, 0.0, 0
    for split in range(splits):
        shutil.rmtree(folder / "bogo", ignore_errors=True)
        (folder / "bogo").mkdir()
        for spam, flag in ((False, "-n"), (True, "-s")):
            run([flag, "-b"], [f"{folder}/m/{i:05}" for i, r in enumerate(rows) if r[1] == spam and part(r[0], split) == 0])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        tested = [i for i, r in enumerate(rows) if part(r[0], split) == 2]
        # -TT: the score alone, with all its digits, in the order of the paths.
        lines = run(["-TT", "-b"], [f"{folder}/m/{i:05}" for i in tested]).split()
        if len(lines) != len(tested):
            sys.exit(f"spam: bogofilter answered {len(lines)} of {len(tested)}")
        for place, line in zip(tested, lines):
            scored.setdefault(place, []).append((float(line), rows[place][1]))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        count += len(tested)
    show("bogofilter", scored, rounds)
    print(f"{'bogofilter':28} CPU for a message: {1e6 * cpu / count:.0f} us")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--splits", type=int, default=20)
    a.add_argument("--bootstrap", type=int, default=200)
    a.add_argument("--corpus", type=pathlib.Path, default=top.parent / "shared/corpus/spamassassin")
    a.add_argument("--no-peers", action="store_true")
    a.add_argument("--without-lists", action="store_true")
    a = a.parse_args()
    if not a.corpus.is_dir():
        sys.exit(f"spam: no corpus in {a.corpus}; --corpus FOLDER has ham/ and spam/ with a message a file")
    began = time.monotonic()
    rows = load(a.corpus, a.without_lists)
    with tempfile.TemporaryDirectory(prefix="posthouse-spam-") as folder:
        folder = pathlib.Path(folder)
        (folder / "m").mkdir()
        for i, row in enumerate(rows):
            (folder / f"m/{i:05}").write_bytes(row[3])
        print(f"{sum(not r[1] for r in rows)} wanted and {sum(r[1] for r in rows)} unwanted messages, {a.splits} splits")
        ours(rows, folder, a.splits, a.bootstrap)
        if not a.no_peers:
            bogofilter(rows, folder, a.splits, a.bootstrap)
    print(f"took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
