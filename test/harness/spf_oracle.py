"""Another implementation of SPF (pyspf, Debian's python3-spf) that answers from the same zone as ours, and records made at random."""
import random

ADDRESSES = [f"192.0.2.{i}" for i in range(1, 8)] + ["198.51.100.9", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"]
NAMES = [f"d{i}.example.org" for i in range(8)]
HOSTS = [f"h{i}.example.org" for i in range(6)]


def judge(zone, ip, helo, sender):
    """What pyspf says: "pass", "fail", ...; and its explanation."""
    import spf

    def look(name, kind, *_):
        entries = zone.get(name.lower().rstrip("."), [])
        if "TIMEOUT" in entries:
            raise spf.TempError("DNS timeout")
        found = []
        for entry in entries:
            for k, value in entry.items():
                if k in (kind, "CNAME"):
                    value = [value.encode()] if k == "TXT" else tuple(value) if k == "MX" else value
                    found.append(((name, k), value))
        return found

    spf.DNSLookup = look
    q = spf.query(ip, sender, helo, receiver="unknown")
    result, _, text = q.check()
    return result, text


class Generator:
    """Zones and questions of one seed. Only what both sides understand alike: the rest is in the table of disagreements."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)

    def chance(self, n):
        return self.random.randrange(n) == 0

    def target(self):
        spec = self.pick(":" + self.pick(*NAMES), ":" + self.pick(*HOSTS), "", "", ":%{d}", ":%{d2}", ":h%{l1r-}.%{o2}", ":%{h}",
                         ":%{D}")
        return spec

    def bits(self):
        return self.pick("", "", "", "/24", "/30", "/31", "//64", "/29//127", "//126", "/0", "/32//128")

    def network(self):
        address = self.pick(*ADDRESSES)
        if ":" in address:
            return f"ip6:{address}" + self.pick("", "/128", "/127", "/48", "/0", "/33")
        return f"ip4:{address}" + self.pick("", "/32", "/31", "/24", "/8", "/30")

    def exists(self):
        return "exists:" + self.pick("%{i}", "%{ir}", "%{l}", "%{l1r-}", "%{lr+-}", "%{d2r}", "%{o}", "%{h}", "%{v}", "%{s}", "%{L}",
                                     "x%%y", "%{d1r}.%{i2}", "a%-b") + "." + self.pick("e", "f") + ".example.org"

    def mechanism(self):
        kind = self.random.randrange(14)
        name = (self.network() if kind < 5 else "a" + self.target() + self.bits() if kind < 8 else
                "mx" + self.target() + self.bits() if kind < 10 else "include:" + self.pick(*NAMES) if kind < 12 else
                self.exists() if kind < 13 else "ptr" + self.pick("", ":example.org", ":" + self.pick(*HOSTS)))
        return self.pick("", "", "", "+", "-", "~", "?") + (name.upper() if self.chance(12) and "%" not in name else name)

    def record(self):
        terms = [self.mechanism() for _ in range(self.random.randrange(5))]
        if self.chance(3):
            terms.append("redirect=" + self.pick(*NAMES, "nowhere.example.org"))
        elif not self.chance(4):
            terms.append(self.pick("-all", "~all", "?all", "+all", "all"))
        if self.chance(4):
            terms.insert(self.random.randrange(len(terms) + 1), "exp=why.example.org")
        if self.chance(8):
            terms.insert(self.random.randrange(len(terms) + 1), "x-other=%{d}.thing")
        text = " ".join(["v=spf1"] + terms) + self.pick("", "", "", " ")
        return self.damaged(text) if self.chance(12) else text

    def damaged(self, text):
        at = self.random.randrange(7, max(len(text), 8))
        how = self.random.randrange(3)
        if how == 0:
            return text[:at] + text[at + 1:]
        byte = self.pick(*"a0:/=%{}.-+ ~,_x")
        return text[:at] + byte + text[at + (how == 1):]

    def host(self):
        entries = [{"A" if "." in a else "AAAA": a} for a in self.random.sample(ADDRESSES, self.random.randrange(4))]
        return entries + ([{"MX": [self.random.randrange(20), self.pick(*HOSTS)]} for _ in range(self.random.randrange(3))])

    def zone(self):
        zone = {name: self.host() for name in HOSTS}
        for name in NAMES:
            zone[name] = self.host() + [{"TXT": self.record()}]
            if self.chance(10):
                zone[name] = [self.pick("TIMEOUT", {"TXT": "something else"}, {"CNAME": "h0.example.org"})]
            elif self.chance(15):
                zone[name].append({"TXT": "v=spf1 -all"})
        zone["example.org"] = self.host()
        zone["why.example.org"] = [{"TXT": self.pick("%{i} is not %{d}'s", "see http://%{d}/?s=%{S}&i=%{c}", "%{h} %{r} %{v}", "bad %{x}")}]
        for name in ("192.0.2.1", "d0.example.org", "a-b", "b.a", "in-addr", "org.example"):
            for last in "ef":
                if self.chance(2):
                    zone[f"{name}.{last}.example.org"] = [{"A": "127.0.0.2"}]
        for address in ADDRESSES[:4]:
            zone[".".join(reversed(address.split("."))) + ".in-addr.arpa"] = [{"PTR": self.pick(*HOSTS)} for _ in range(self.random.randrange(3))]
        return zone

    def question(self):
        return (self.pick(*ADDRESSES), self.pick(*HOSTS, "d0.example.org", "nowhere.example.net"),
                self.pick("a-b", "user", "b+a", "x.y") + "@" + self.pick(*NAMES))
