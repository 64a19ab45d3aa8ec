"""The same mail in Posthouse and in Debian's Dovecot: what both tell of it (FETCH of every section, SEARCH, SORT, THREAD) is
compared, and each difference must be one of those that are explained below. A sample of the corpus; all of it with --all."""
import random
import re
import time

import pytest

from harness import dovecot
from harness.house import Demo, remove, scratch
from harness.imap import Line, fetched
from test_corpus import corpus_messages

pytestmark = pytest.mark.skipif(not dovecot.available(), reason="Dovecot is not unpacked: script/bootstrap test")


class Both:
    """Two sessions with the same messages, and the differences seen so far."""

    def __init__(self, folder, messages):
        self.messages = messages
        self.house = Demo(folder / "demo").start()
        self.ours = Line(self.house, "alice")
        self.theirs = dovecot.Dovecot(folder / "dovecot")
        for session in (self.ours, self.theirs):
            session.ok("CREATE corpus")
            for n, (_, raw) in enumerate(messages):  # at the same moments, which count where there is no Date
                session.append("corpus", raw, date=time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(1041379200 + n)))
            session.ok("SELECT corpus")

    def ask(self, command):
        return self.ours.ask(command), self.theirs.ask(command)

    def numbers(self, command):
        """The messages that SEARCH or SORT finds, of both. (Long ones tell how far they are, too: RFC 9585.)"""
        word = f"* {command.split()[0]}"
        return tuple([int(n) for n in next(line for line in lines if line.startswith(word)).split()[2:]] for lines in self.ask(command))

    def fetch(self, command):
        ours, theirs = self.ask(command)
        assert ours[-1].split()[1] == theirs[-1].split()[1] == "OK", (command, ours[-1], theirs[-1])
        return fetched(ours), fetched(theirs)

    def close(self):
        self.ours.close()
        self.theirs.close()
        self.house.stop()
        self.house.check_log()


@pytest.fixture(scope="module")
def both(corpus, request):
    folder = scratch("dovecot")
    whole = request.config.getoption("--all")
    messages = [m for n, m in enumerate(corpus_messages(corpus)) if whole or n % 80 == 0]
    pair = Both(folder, messages)
    yield pair
    pair.close()
    remove(folder)


def walk(value, change):
    """The same with every string changed."""
    if isinstance(value, list):
        return [walk(v, change) for v in value]
    return change(value) if isinstance(value, bytes) else value


# ---- differences that are explained: each takes the value of one and gives what makes both alike ----

def one_space(text):
    """Dovecot makes runs of white space in a field's text one space. RFC 5322 §2.2.3 only takes the line ends out."""
    return re.sub(rb"[ \t]+", b" ", text).strip()


def gave_up(addresses):
    """An address that is none ("Undisclosed Recipients@x", "<>", "a@web.de."): Dovecot puts these words in its place and stops; ours
    tells what can be read of it."""
    return any(word in (mailbox or b"") + (host or b"") for _, _, mailbox, host in addresses or []
               for word in (b"SYNTAX_ERROR", b"MISSING_MAILBOX", b"MISSING_DOMAIN"))


def no_empty_name(addresses):
    """\"\" <a@x>: an empty name is no name."""
    return addresses and [[name or None, *rest] for name, *rest in addresses]


# What RFC 5322 §3.4 takes for an address list (without comments; after unfolding), to tell damaged fields from others.
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+"
QUOTED = r'"(?:[^"\\]|\\.)*"'
DOTTED = rf"{ATOM}(?:\.{ATOM})*"
ADDRESS = rf"(?:{DOTTED}|{QUOTED})@(?:{DOTTED}|\[[^\]\\]*\])"
PHRASE = rf"(?:(?:{ATOM}|{QUOTED}|\.)\s*)+"
MAILBOX = rf"(?:(?:{PHRASE})?<{ADDRESS}>|{ADDRESS})"
LIST = re.compile(rf"\s*(?:{MAILBOX}|{PHRASE}:\s*(?:{MAILBOX}(?:\s*,\s*{MAILBOX})*)?\s*;)(?:\s*,\s*{MAILBOX})*\s*\Z")


def field_values(raw, field):
    head = raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    return re.findall(rb"(?mi)^%s:((?:.*\r\n)(?:[ \t].*\r\n)*)" % field, head)


def damaged(raw, field):
    """Is the field's address list none by RFC 5322? Then each server tells what it can make of it: of "a@b@c" Dovecot takes b for the
    host and ours c; behind "<a@b>c" and "[x]@y" Dovecot stops and ours goes on; of "a@b <a@b>" ours keeps the name that was meant."""
    return any(not LIST.match(f.replace(b"\r\n", b"").decode("latin-1")) for f in field_values(raw, field))


ADDRESS_FIELDS = (b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Bcc")


def same_envelope(ours, theirs, raw):
    ours, theirs = walk(ours, one_space), walk(theirs, one_space)
    texts = all(ours[i] == theirs[i] for i in (0, 1, 8, 9))
    # Sender and Reply-To are From's where they are missing (RFC 9051 §7.5.2).
    return texts and all(
        gave_up(theirs[i]) or no_empty_name(ours[i]) == no_empty_name(theirs[i]) or damaged(raw, field) or
        (field in (b"Sender", b"Reply-To") and ours[i] == ours[2] and theirs[i] == theirs[2] and damaged(raw, b"From"))
        for i, field in enumerate(ADDRESS_FIELDS, 2))


def in_order(parameters):
    """The order of parameters means nothing (RFC 2045 §5.1). Dovecot writes us-ascii, the default, in lower case."""
    pairs = list(zip(parameters[::2], parameters[1::2]))
    return sorted((name.lower(), b"us-ascii" if value.lower() == b"us-ascii" else value) for name, value in pairs)


def same_structure(ours, theirs):
    if isinstance(ours, list) and isinstance(theirs, list):
        if ours and isinstance(ours[0], bytes) and len(ours) % 2 == 0 and all(isinstance(x, bytes) for x in ours + theirs) and \
                len(ours) == len(theirs) and in_order(ours) == in_order(theirs):
            return True
        return len(ours) == len(theirs) and all(map(same_structure, ours, theirs))
    if isinstance(ours, bytes) and isinstance(theirs, bytes):
        return one_space(ours).lower() == one_space(theirs).lower()
    # A last line without its end is a line to ours, none to Dovecot. (Sizes, which are numbers too, never differ by this.)
    return ours == theirs or (isinstance(ours, str) and isinstance(theirs, str) and ours.isdigit() and int(ours) == int(theirs) + 1)


def odd_structure(ours, theirs, raw):
    """Whole messages in which one thing is odd, and what each server makes of it."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = {name.lower() for name in re.findall(rb"(?m)^([!-9;-~]+):", head)}
    if theirs[:2] == [b"", b""]:
        # "TEXT/PLAIN charset=US-ASCII": a type that is damaged counts as the default, text/plain (RFC 2045 §5.2).
        return ours[:2] == [b"text", b"plain"]
    if isinstance(theirs[0], list) and isinstance(ours[0], bytes):
        # A multipart without a boundary line: ours has it as bytes, Dovecot shows an empty part and hides what is there.
        boundary = re.search(rb'(?i)boundary="([^"]*)"', head)
        return boundary is not None and b"--" + boundary.group(1) not in body and theirs[0][6] == "0" and ours[6] == str(len(body))
    if isinstance(ours[0], bytes):
        if not fields & {b"mime-version", b"content-type"} and b"content-transfer-encoding" in fields:
            # Ours tells the encoding that the field says, Dovecot only that of MIME messages.
            return same_structure(ours[:5] + ours[6:], theirs[:5] + theirs[6:])
        if re.search(rb"\r(?!\n)", body):  # Dovecot leaves CRs out of the size that are not before LF
            return ours[6] == str(len(body)) and same_structure(ours[:6] + ours[7:], theirs[:6] + theirs[7:])
        return False
    if re.search(rb"(?m)^--.+--[^ \t\r\n].*\r$", body):
        # "--boundary--</BODY>": behind a boundary only white space may be (RFC 2046 §5.1.1, transport-padding), so it is text to ours.
        return [part[:6] for part in ours if isinstance(part, list)] == [part[:6] for part in theirs if isinstance(part, list)]
    # "filename=Two Words.doc": a value with a space wants quotes; ours takes it all, Dovecot the first word.
    whole = {value.split()[0] for value in re.findall(rb'(?mi)(?:file|name)=([^";\r\n]+ [^";\r\n]+)', body)}
    return bool(whole) and same_structure(*(walk(s, lambda text: text.split()[0] if text.split()[:1] and text.split()[0] in whole else text)
                                            for s in (ours, theirs)))


def same_section(item, ours, theirs, binary_size):
    if ours == theirs:
        return True
    if isinstance(theirs, str) and theirs.startswith("NO [PARSE]"):
        return True  # damaged base64 or quoted-printable: Dovecot refuses, ours tells what can be decoded
    if item.startswith("BINARY.SIZE"):
        return ours == [str(binary_size)]  # Dovecot's is at times not the size of what it sends
    if len(ours) == len(theirs) == 1 and isinstance(ours[0], bytes) and isinstance(theirs[0], bytes) and \
            ours[0].startswith(theirs[0]) and re.match(rb"\r\n--.+--[^ \t\r\n]", ours[0][len(theirs[0]):]):
        return True  # "--boundary--</BODY>": see odd_structure()
    if ours != [None] and theirs != [None] and [re.sub(rb"\r+\n", b"\r\n", v) if isinstance(v, bytes) else v for v in ours] == \
            [re.sub(rb"\r+\n", b"\r\n", v) if isinstance(v, bytes) else v for v in theirs]:
        return True  # Dovecot takes a CR out where several stand before LF; ours sends the message as it came
    # The line end before a boundary belongs to the boundary (RFC 2046 §5.1.1), also behind the last boundary of an inner multipart.
    return len(ours) == 1 and isinstance(ours[0], bytes) and [ours[0] + b"\r\n"] == theirs


def report(differences, raws):
    shown = "\n".join(f"{raws[n - 1][0].name} {what}\n   ours   {ours!r:.1500}\n   theirs {theirs!r:.1500}"
                      for n, what, ours, theirs in differences[:6])
    assert not differences, f"{len(differences)} differences\n{shown}"


def parts(structure, prefix=""):
    """The numbers of all parts of a BODYSTRUCTURE, with their kind: "multipart", "message", or "single"."""
    if isinstance(structure[0], list):
        if prefix:
            yield prefix, "multipart"
        for i, child in enumerate((c for c in structure if isinstance(c, list) and c and isinstance(c[0], (list, bytes))), 1):
            if isinstance(child[0], list) or len(child) >= 7:
                yield from parts(child, f"{prefix}.{i}" if prefix else str(i))
    elif structure[0].lower() == b"message" and structure[1].lower() == b"rfc822":
        yield prefix or "1", "message"
        inner = structure[8]
        yield from parts(inner, prefix or "1") if isinstance(inner[0], list) else parts(inner, (prefix or "1") + ".1")
    else:
        yield prefix or "1", "single"


def test_envelopes(both):
    ours, theirs = both.fetch("FETCH 1:* (ENVELOPE RFC822.SIZE)")
    report([(n, "ENVELOPE", ours[n]["ENVELOPE"], theirs[n]["ENVELOPE"]) for n in theirs
            if not same_envelope(ours[n]["ENVELOPE"], theirs[n]["ENVELOPE"], both.messages[n - 1][1])], both.messages)
    # Dovecot leaves CRs that are not before LF out of sizes. Ours are those of what FETCH sends.
    assert [ours[n]["RFC822.SIZE"] for n in ours] == [
        str(len(raw)) if re.search(rb"\r(?!\n)", raw) else theirs[n]["RFC822.SIZE"] for n, (_, raw) in enumerate(both.messages, 1)]


def test_structures(both):
    ours, theirs = both.fetch("FETCH 1:* (BODYSTRUCTURE BODY)")
    report([(n, item, ours[n][item], theirs[n][item]) for n in theirs for item in theirs[n]
            if not same_structure(ours[n][item], theirs[n][item])
            and not odd_structure(ours[n][item], theirs[n][item], both.messages[n - 1][1])], both.messages)


def sections_of(structure):
    wanted = ["BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "RFC822.HEADER", "BODY.PEEK[]<100.50>",
              "BODY.PEEK[HEADER.FIELDS (Subject Received X-None)]", "BODY.PEEK[HEADER.FIELDS.NOT (Subject Received)]"]
    for number, kind in parts(structure):
        wanted += [f"BODY.PEEK[{number}]", f"BODY.PEEK[{number}.MIME]"]
        if kind == "message":
            wanted += [f"BODY.PEEK[{number}.HEADER]", f"BODY.PEEK[{number}.TEXT]"]
        if kind == "single":
            wanted += [f"BINARY.PEEK[{number}]", f"BINARY.SIZE[{number}]"]
    return wanted


def test_sections(both):
    def value(lines, n):
        return list(fetched(lines)[n].values()) if lines[-1].split()[1] == "OK" else lines[-1].split(" ", 1)[1]
    differences = []
    structures, their_structures = both.fetch("FETCH 1:* BODYSTRUCTURE")
    for n, items in structures.items():
        size = None
        if isinstance(items["BODYSTRUCTURE"][0], bytes) and isinstance(their_structures[n]["BODYSTRUCTURE"][0], list):
            continue  # a multipart without a boundary line: see odd_structure()
        for item in sections_of(items["BODYSTRUCTURE"]):
            ours = value(both.ours.ask(f"FETCH {n} {item}"), n)
            if item.startswith("BINARY.PEEK"):
                size = len(ours[0])
            try:
                theirs = value(both.theirs.ask(f"FETCH {n} {item}"), n)
            except (AssertionError, BrokenPipeError):
                # Asked for what base64 holds that ends too early, Dovecot ends.
                assert item.startswith("BINARY"), item
                both.theirs.again()
                both.theirs.ok("SELECT corpus")
                continue
            if not same_section(item, ours, theirs, size):
                differences.append((n, item, ours, theirs))
    report(differences, both.messages)


# RFC 5322 §3.3 and §4.3, with any number for a year: both take one before 1900 for none.
DATE = re.compile(rb"\s*(?:[A-Z][a-z]{2},\s*)?\d{1,2}\s+[A-Z][a-z]{2}\s+\d{2,4}\s+\d{1,2}:\d{2}(?::\d{2})?\s*"
                  rb"(?:[+-]\d{4}|UT|GMT|[ECMP][SD]T|[A-IK-Z])?\s*(?:\([^()]*\))?\s*\Z")


def no_place(raw, criterion, envelope):
    """A message whose place in the order is each server's own affair."""
    if criterion == "SIZE":  # Dovecot leaves CRs out of sizes that are not before LF
        return re.search(rb"\r(?!\n)", raw) is not None
    if criterion == "DATE":  # "28 Jun 01 10:05:15 PM", "+-0500": what can be made of a date that is none
        return not all(DATE.match(f) for f in field_values(raw, b"Date"))
    name = {"DISPLAYFROM": "From", "DISPLAYTO": "To"}.get(criterion, criterion.title())
    if name in ("From", "To", "Cc") and gave_up(envelope[{"From": 2, "To": 5, "Cc": 6}[name]]):
        return True
    field = b"".join(field_values(raw, name.encode()))
    try:
        field.decode()
    except UnicodeDecodeError:
        return True  # bytes of a charset that nobody names: i;unicode-casemap orders UTF-8 (RFC 5256 §2.2)
    # `"" Angles " Puglisi"`, `" Deals"`, `"DAVE   FRAMO"`, `"jobfair24 "`: ours reads a name as a person does, from its first letter to the
    # last and with one space where are several, Dovecot with all of them.
    return criterion.startswith("DISPLAY") and re.match(rb'\s*"(?:[ "]|[^"]*  |[^"]* ")', field) is not None


def explained_hit(program, raw, ours):
    key, _, word = program.partition(" ")
    word = word.strip('"').encode().lower()
    head, _, body = raw.partition(b"\r\n\r\n")
    if key in ("FROM", "TO", "CC"):  # Dovecot looks at what it read of the addresses, ours at the field
        fields = b"".join(field_values(raw, key.encode())).lower()
        return word in (fields if ours else b"missing_mailbox missing_domain syntax_error")
    if key in ("BODY", "TEXT") and not ours:  # Dovecot looks at the tags of HTML, ours at what a person reads
        return re.search(rb"(?i)content-type:\s*text/html", raw) is not None
    if key.startswith("SENT"):
        # Of a message whose date nobody can read Dovecot believes that it is of 1970; what ours reads ("+-0500") it may not, and not in time.
        dates = field_values(raw, b"Date")
        return no_place(raw, "DATE", None) or (not ours and key == "SENTBEFORE" and not any(re.search(rb" (?:19|20)?\d\d \d", d) for d in dates))
    if key == "BODY":  # RFC 3501 §6.4.4 lets the headers of parts be of the body; RFC 9051 §6.4.4 says that servers differ here
        return any(word in part.lower() for part in re.findall(rb"(?ms)^--.*?\r\n\r\n", body)) or b"rfc822" in body
    return False


def words_of(messages, rng):
    """Words and pieces of words that stand somewhere in the mail, and some that do not."""
    found = set()
    for _, raw in rng.sample(messages, min(60, len(messages))):
        text = [w for w in re.findall(rb"[A-Za-z0-9@.-]{3,20}", raw) if not w.startswith(b"-")]
        for word in rng.sample(text, min(3, len(text))):
            at = rng.randrange(0, max(1, len(word) - 3))
            found |= {word, word[at:at + 4].upper()}
    return sorted(w.decode() for w in found) + ["zzqqxxyy", "e", "re:"]


def test_searches(both):
    rng = random.Random(7)
    words = words_of(both.messages, rng)
    words = rng.sample(words, min(60, len(words)))
    programs = [f'{key} "{word}"' for word in words for key in ("SUBJECT", "FROM", "TO", "CC", "HEADER Received", "HEADER Message-ID")]
    programs += [f"{key} {day}-{month}-2002" for key in ("SENTBEFORE", "SENTON", "SENTSINCE") for day in (1, 17, 30)
                 for month in ("Jun", "Aug", "Sep")]
    programs += ["LARGER 4000", "SMALLER 2500", "NOT LARGER 4000", "OR SMALLER 1000 LARGER 9000", 'HEADER X-Mailer ""', 'HEADER Cc ""',
                 "UID 3:9,12", "NOT 1:10", 'OR (FROM "a" SUBJECT "the") NOT SUBJECT "com"', 'SUBJECT "a b"']
    differences = []
    for program in programs:
        ours, theirs = both.numbers(f"SEARCH {program}")
        differences += [(n, program, n in ours, n in theirs) for n in set(ours) ^ set(theirs)
                        if not explained_hit(program, both.messages[n - 1][1], n in ours)]
    report(differences, both.messages)


def test_searches_of_texts(both):
    rng = random.Random(8)
    words = words_of(both.messages, rng)[:40]
    differences = []
    for program in [f'{key} "{word}"' for word in words for key in ("BODY", "TEXT")]:
        ours, theirs = both.numbers(f"SEARCH {program}")
        differences += [(n, program, n in ours, n in theirs) for n in set(ours) ^ set(theirs)
                        if not explained_hit(program, both.messages[n - 1][1], n in ours)]
    report(differences, both.messages)


def test_orders(both):
    envelopes = both.fetch("FETCH 1:* ENVELOPE")[1]
    differences = []
    for criteria in ("SUBJECT", "FROM", "TO", "CC", "DATE", "SIZE", "REVERSE DATE", "SUBJECT DATE", "DISPLAYFROM", "DISPLAYTO"):
        found = both.numbers(f"SORT ({criteria}) UTF-8 ALL")
        apart = {n for n, e in envelopes.items() for c in criteria.split() if no_place(both.messages[n - 1][1], c, e["ENVELOPE"])}
        ours, theirs = ([n for n in numbers if n not in apart] for numbers in found)
        assert set(found[0]) == set(found[1]) == set(envelopes) and len(apart) < max(9, len(ours) // 50), (criteria, len(apart))
        if ours != theirs:
            at = next(i for i in range(len(ours)) if ours[i] != theirs[i])
            differences.append((ours[at], criteria, ours[at:at + 8], theirs[at:at + 8]))
    report(differences, both.messages)


def outermost(line):
    """The texts of a line's outermost parentheses."""
    depth, out = 0, []
    for m in re.finditer(r"[()]", line):
        if m.group() == "(":
            depth += 1
            start = m.start() if depth == 1 else start
        else:
            depth -= 1
            out += [line[start:m.end()]] if depth == 0 else []
    return out


def contrary(raws):
    """Do the References of some of these messages name two others in different orders? Then not all of their links can be, and Dovecot leaves
    out the one that would close the loop when it comes by, ours the one that was made last of those that are left in the end: a message that
    was linked for a while to where it does not belong comes to its own parent with ours."""
    before = set()
    for raw in raws:
        ids = re.findall(rb"<[^<>\s]+>", b" ".join(field_values(raw, b"References")) + b" ".join(field_values(raw, b"Message-ID")))
        before |= {(a, b) for i, a in enumerate(ids) for b in ids[i + 1:]}
    return any((b, a) in before for a, b in before if a != b)


def test_threads(both):
    """Where a thread stands is said by its date, what it has by its subject."""
    apart = {n for n, (_, raw) in enumerate(both.messages, 1) if no_place(raw, "DATE", None) or no_place(raw, "SUBJECT", None)}
    assert len(apart) < max(9, len(both.messages) // 50)
    differences = []
    for algorithm in ("REFERENCES", "ORDEREDSUBJECT"):
        def threads(lines):
            (line,) = [line for line in lines if line.startswith("* THREAD ")]
            return [t for t in outermost(line) if not apart.intersection(map(int, re.findall(r"\d+", t)))]
        ours, theirs = map(threads, both.ask(f"THREAD {algorithm} UTF-8 ALL"))
        differences += [(int(re.search(r"\d+", a).group()), algorithm, a, b) for a, b in zip(ours, theirs) if a != b
                        and not contrary([both.messages[int(n) - 1][1] for n in re.findall(r"\d+", a)])][:3]
        assert len(ours) == len(theirs) > 0, algorithm
    report(differences, both.messages)
