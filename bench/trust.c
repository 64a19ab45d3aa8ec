/* trust.c: what it costs to find out who sent a message: SPF, DKIM (RSA-2048 and Ed25519 together), ARC, DMARC and iprev, with answers of DNS
 * that are there already.
 *
 *   build/bench/trust_bench [-n TIMES] [-s BYTES]
 *
 * -n: how often (2000). -s: size of the message (10240). Prints a line a measure: name, CPU in microseconds for one message; what signing
 * and reading a zone file of 10,000 names cost comes last. */
#include "message/header.h"
#include "trust/assess.h"
#include "trust/zone_file.h"

#include <sys/resource.h>

#define RUN_BYTES 16384 /* how a message comes off the wire */

struct bench {
	struct house house;
	size_t times, size;
	EVP_PKEY *keys[2];
	struct buf zone_text, message;
	struct zone_file *zone;
	struct trust_dns dns;
	struct net_address client;
	struct arena arena; /* of one message */
	int64_t cpu_us;
};

static int64_t
cpu_us(void)
{
	struct rusage r;

	(void)getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static void
need(bool is, const char *what)
{
	if (is)
		return;
	(void)fprintf(stderr, "trust_bench: %s\n", what);
	exit(1);
}

/* ---- a domain that does everything, and a message of it ------------------------------------------------------------ */

static int
sign(void *of, const struct dkim_signing_key *keys, const uint8_t (*hashes)[DKIM_HASH_BYTES], size_t n, struct arena *a,
    struct slice *signatures)
{
	struct bench *b = of;

	for (size_t i = 0; i < n; i++) {
		uint8_t out[DKIM_SIGNATURE_BYTES_MAX];
		size_t len;
		int e = dkim_key_sign(b->keys[keys[i].algorithm == DKIM_RSA_SHA256 ? 0 : 1], hashes[i], out, &len);

		if (e != 0)
			return e;
		signatures[i] = arena_copy(a, slice_of(out, len));
	}
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static void
put_key(struct bench *b, const char *selector, EVP_PKEY *key)
{
	BUF_CLEANUP struct buf record;
	struct slice text;

	buf_init(&record, 10000);
	need(dkim_record_put(key, &record) == 0, "a key cannot be published");
	text = buf_slice(&record);
	buf_printf(&b->zone_text, "%s._domainkey TXT", selector);
	for (; text.n > 0; text = slice_from(text, slice_head(text, 250).n))
		buf_printf(&b->zone_text, " \"%.*s\"", SLICE_ARG(slice_head(text, 250)));
	buf_put_z(&b->zone_text, "\n");
}

static void
make_zone(struct bench *b)
{
	BUF_CLEANUP struct buf detail;

	buf_init(&detail, 1000);
	b->keys[0] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	b->keys[1] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	need(b->keys[0] != NULL && b->keys[1] != NULL, "no keys");
	buf_put_z(&b->zone_text,
	    "$ORIGIN example.org.\n@ TXT \"v=spf1 mx include:_spf.example.org a:old.example.org ~all\"\n"
	    "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 198.51.100.1\nmx2 A 198.51.100.2\n"
	    "_spf TXT \"v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/25 ip6:2001:db8::/32 ~all\"\n"
	    "mail A 192.0.2.1\nmail TXT \"v=spf1 a -all\"\n_dmarc TXT \"v=DMARC1; p=reject; "
	    "rua=mailto:d@example.org\"\n"
	    "1.2.0.192.in-addr.arpa. PTR mail\n");
	put_key(b, "rsa", b->keys[0]);
	put_key(b, "ed", b->keys[1]);
	need(zone_file_new(&b->zone, buf_slice(&b->zone_text), &detail) == 0, "the zone is wrong");
	b->dns = zone_file_dns(b->zone);
}

static struct dkim_reader *
read_message(struct bench *b, enum dkim_reading what)
{
	struct slice rest = buf_slice(&b->message);
	struct dkim_reader *r;

	need(dkim_reader_new(&r, &b->house.limits, what) == 0, "no memory");
	for (; rest.n > 0; rest = slice_from(rest, slice_head(rest, RUN_BYTES).n))
		dkim_reader_feed(r, slice_head(rest, RUN_BYTES));
	need(dkim_reader_end(r) == 0, "no memory");
	return r;
}

static void
sign_message(struct bench *b, struct buf *out)
{
	struct dkim_signing_key keys[] = {{SLICE("example.org"), SLICE("rsa"), DKIM_RSA_SHA256},
	    {SLICE("example.org"), SLICE("ed"), DKIM_ED25519_SHA256}};
	struct dkim_signer signer = {sign, b};
	struct dkim_reader *r = read_message(b, DKIM_SIGNING);

	need(dkim_sign(r, keys, COUNT_OF(keys), house_now_s(&b->house), &signer, &b->arena, out) == 0,
	    "the message cannot be signed");
	dkim_reader_free(&r);
}

static void
make_message(struct bench *b)
{
	BUF_CLEANUP struct buf signatures;

	buf_init(&signatures, b->size + (2 << 20));
	buf_put_z(&b->message,
	    "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: What it costs\r\n"
	    "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	while (b->message.n + 74 < b->size)
		buf_put_z(&b->message, "The quick brown fox jumps over the lazy dog, and then does it once more.\r\n");
	sign_message(b, &signatures);
	buf_put(&signatures, buf_slice(&b->message));
	buf_reset(&b->message);
	buf_put(&b->message, buf_slice(&signatures));
	need(b->message.err == 0 && signatures.err == 0, "no memory");
	arena_reset(&b->arena);
}

/* ---- what is measured ------------------------------------------------------------------------------------------------ */

static struct spf_question
question(struct bench *b)
{
	return (struct spf_question){.dns = b->dns,
	    .house = &b->house,
	    .client = b->client,
	    .helo = SLICE("mail.example.org"),
	    .sender = SLICE("ann@example.org"),
	    .receiver = SLICE("mx.example.net")};
}

static void
spf_once(struct bench *b)
{
	struct spf_question q = question(b);
	struct spf_result r;

	need(spf_check(&q, SPF_MAIL_FROM, &b->arena, &r) == 0 && r.result == TRUST_PASS, "SPF does not pass");
}

static void
iprev_once(struct bench *b)
{
	struct iprev_result r;

	need(iprev_check(&b->dns, &b->client, &b->arena, &r) == 0 && r.result == TRUST_PASS, "iprev does not pass");
}

static void
dkim_once(struct bench *b)
{
	struct dkim_reader *r = read_message(b, DKIM_VERIFYING);
	struct dkim_results results;

	need(dkim_verify(r, &b->dns, house_now_s(&b->house), &b->arena, &results) == 0 && results.n == 2 &&
		results.v[0].result == TRUST_PASS && results.v[1].result == TRUST_PASS,
	    "DKIM does not pass");
	dkim_reader_free(&r);
}

static void
dmarc_once(struct bench *b)
{
	struct dmarc_signature signatures[2] = {{.domain = SLICE("example.org"), .result = TRUST_PASS},
	    {.domain = SLICE("example.org"), .result = TRUST_PASS}};
	struct slice from = SLICE(" Ann <ann@example.org>");
	struct slice_list authors;
	struct dmarc_input in = {.spf = TRUST_PASS,
	    .spf_domain = SLICE("example.org"),
	    .signatures = signatures,
	    .signatures_n = COUNT_OF(signatures)};
	struct dmarc_result r;
	bool complete;

	need(dmarc_authors(&b->arena, (struct slice_list){&from, 1}, 3, &authors, &complete) == 0 && authors.n == 1,
	    "there is no author");
	in.author = authors.v[0];
	need(dmarc_evaluate(&b->dns, &b->arena, &in, &r) == 0 && r.result == TRUST_PASS, "DMARC does not pass");
}

/* As in the gate, what is told of it included. */
static void
all_once(struct bench *b)
{
	static const struct assess_rules rules = {.dmarc = ASSESS_OBEY};
	struct dkim_reader *r = read_message(b, DKIM_VERIFYING);
	struct assess_question q = {.dns = b->dns,
	    .house = &b->house,
	    .hostname = SLICE("mx.example.net"),
	    .client = b->client,
	    .helo = SLICE("mail.example.org"),
	    .sender = SLICE("ann@example.org"),
	    .reader = r,
	    .rules = &rules};
	BUF_CLEANUP struct buf text;
	struct assessment found;

	buf_init(&text, 65536);
	need(assess_message(&q, &b->arena, &found) == 0 && found.dmarc.result == TRUST_PASS &&
		found.spf.result == TRUST_PASS && found.iprev.result == TRUST_PASS,
	    "the message does not pass");
	assess_put_results(&q, &found, &text);
	assess_put_findings(&q, &found, &text);
	need(text.err == 0, "no memory");
	dkim_reader_free(&r);
}

static void
sign_once(struct bench *b)
{
	BUF_CLEANUP struct buf out;

	buf_init(&out, 1 << 20);
	sign_message(b, &out);
}

static void
zone_once(struct bench *b)
{
	ZONE_FILE_CLEANUP struct zone_file *z = NULL;
	BUF_CLEANUP struct buf text, detail;

	(void)b;
	buf_init(&text, ZONE_FILE_BYTES_MAX);
	buf_init(&detail, 1000);
	for (unsigned i = 0; i < 10000; i++)
		buf_printf(&text, "h%u.example.org. A 192.0.2.%u\n", i, i % 250);
	need(zone_file_new(&z, buf_slice(&text), &detail) == 0, "the zone is wrong");
}

static void
measure(struct bench *b, const char *what, void (*once)(struct bench *), size_t times)
{
	int64_t from;

	once(b);
	arena_reset(&b->arena);
	from = cpu_us();
	for (size_t i = 0; i < times; i++) {
		once(b);
		arena_reset(&b->arena);
	}
	(void)printf("%-34s %10.1f us CPU\n", what, (double)(cpu_us() - from) / (double)times);
	(void)fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct bench b = {.times = 2000, .size = 10240};

	for (int i = 1; i + 1 < argc; i += 2) {
		size_t n = strtoul(argv[i + 1], NULL, 10);

		need((strcmp(argv[i], "-n") == 0 || strcmp(argv[i], "-s") == 0) && n > 0,
		    "see the head of bench/trust.c");
		*(argv[i][1] == 'n' ? &b.times : &b.size) = n;
	}
	house_init(&b.house, "bench");
	arena_init(&b.arena, 64 << 20);
	buf_init(&b.zone_text, 1 << 20);
	buf_init(&b.message, b.size + (2 << 20));
	need(net_address_parse(SLICE("192.0.2.1"), 0, &b.client) == 0, "no address");
	make_zone(&b);
	make_message(&b);
	(void)printf("a message of %zu bytes, signed with RSA-2048 and Ed25519\n", b.message.n);
	measure(&b, "all of it", all_once, b.times);
	measure(&b, "iprev", iprev_once, b.times);
	measure(&b, "SPF (5 questions, an include)", spf_once, b.times);
	measure(&b, "DKIM, both signatures", dkim_once, b.times);
	measure(&b, "DMARC", dmarc_once, b.times);
	measure(&b, "signing with both keys", sign_once, b.times / 10 + 1);
	measure(&b, "reading a zone of 10,000 names", zone_once, b.times / 100 + 1);
	EVP_PKEY_free(b.keys[0]);
	EVP_PKEY_free(b.keys[1]);
	zone_file_free(&b.zone);
	buf_free(&b.message);
	buf_free(&b.zone_text);
	arena_free(&b.arena);
	return 0;
}
