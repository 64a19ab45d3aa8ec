/* clerk_sign.c: DKIM and ARC on the way out. It is done once, when the message is taken: what was signed is in the queue, so that every
 * attempt sends the same bytes, and a large body stays the file that it is. Mail of our own accounts and submitters gets DKIM signatures
 * of the domain that it is from, with every active key of it; mail of strangers that an address of ours leads on to other houses gets a
 * set of ARC, of that address's domain. Mail that stays in the house gets neither. The keys are the vault's: it sees hashes. */
#include "message/address.h"
#include "message/mailbox.h"
#include "role/clerk_private.h"
#include "trust/arc.h"

#include <errno.h>

#define VAULT_MS 20000
#define FIELDS_MAX ((size_t)256 << 10)
#define READ_BYTES ((size_t)256 << 10)

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct read_job {
	struct dkim_reader *reader;
	struct slice head, body;
	int fd; /* -1: the body is in memory */
};

/* In a worker's thread. */
static int
read_message(void *arg)
{
	struct read_job *j = arg;
	uint8_t *piece = NULL;
	off_t at = 0;
	int err = 0;

	dkim_reader_feed(j->reader, j->head);
	dkim_reader_feed(j->reader, j->body);
	if (j->fd >= 0) {
		piece = malloc(READ_BYTES);
		err = piece == NULL ? ERR_NOMEM : 0;
	}
	while (err == 0 && j->fd >= 0) {
		ssize_t n = pread(j->fd, piece, READ_BYTES, at);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			err = err_from_errno(errno);
		if (n > 0) {
			dkim_reader_feed(j->reader, slice_of(piece, (size_t)n));
			at += n;
		}
	}
	free(piece);
	return err != 0 ? err : dkim_reader_end(j->reader);
}

static int
read_submission(struct clerk *k, const struct queue_submission *s, struct dkim_reader *r)
{
	struct read_job j = {.reader = r, .head = s->head, .body = s->body, .fd = -1};
	int err;

	if (s->blob.n > 0) {
		j.fd = queue_blob_open(k->queue, s->blob, s->blob_owner);
		if (j.fd < 0)
			return j.fd;
	}
	err = work_run(k->workers, read_message, &j);
	if (j.fd >= 0)
		close(j.fd);
	return err;
}

/* ---- for whom -------------------------------------------------------------------------------------------------------- */

/* The first of some domains that is ours. */
struct choice {
	struct arena *arena;
	struct slice v[8]; /* normalised */
	size_t n;
	struct slice ours;
};

static void
propose_domain(struct choice *c, struct slice domain)
{
	struct slice name;

	if (c->n < COUNT_OF(c->v) && domain_normalise(c->arena, domain, &name) == 0)
		c->v[c->n++] = name;
}

static void
propose_address(struct choice *c, struct slice address)
{
	size_t at = slice_rfind_byte(address, '@');

	if (at != SLICE_NONE)
		propose_domain(c, slice_from(address, at + 1));
}

static void
propose_field(struct choice *c, const struct header *h, struct slice name)
{
	struct address_list list;
	const struct address *first;

	if (address_parse(c->arena, header_value(h, name), 100, &list) != 0)
		return;
	first = address_first(&list);
	if (first != NULL)
		propose_domain(c, first->domain);
}

/* The domains above the first one. */
static void
propose_above(struct choice *c)
{
	struct slice name = c->n > 0 ? c->v[0] : SLICE_EMPTY;

	while (c->n < COUNT_OF(c->v) && name.n > 0) {
		(void)slice_cut(&name, '.');
		if (name.n > 0)
			c->v[c->n++] = name;
	}
}

static int
choose(struct sqltx *tx, void *arg)
{
	struct choice *c = arg;
	int err = 0;

	c->ours = SLICE_EMPTY;
	for (size_t i = 0; err == 0 && c->ours.n == 0 && i < c->n; i++) {
		struct slice canonical;
		bool local = false;

		err = directory_domain_find(tx, c->arena, c->v[i], &local, &canonical);
		if (err == 0 && local)
			c->ours = c->v[i];
	}
	return err;
}

/* ---- with what --------------------------------------------------------------------------------------------------------- */

static int
get_keys(
    struct clerk *k, struct slice domain, struct arena *a, struct dkim_signing_key v[DKIM_SIGNING_KEYS_MAX], size_t *n)
{
	struct bus_vault_dkim_keys_request q = {.domain = domain, .make = 1};
	struct bus_vault_dkim_keys_reply rep = {0};
	int err = bus_call_again(k->c->bus, ROLE_VAULT, 0, BUS_vault_dkim_keys, &q, a, &rep, VAULT_MS);

	*n = 0;
	if (err != 0)
		return err;
	for (size_t i = 0; i < rep.selectors.n && i < rep.algorithms.n && *n < DKIM_SIGNING_KEYS_MAX; i++)
		v[(*n)++] = (struct dkim_signing_key){
		    domain, rep.selectors.v[i], dkim_algorithm_of(rep.algorithms.v[i])};
	return 0;
}

/* A dkim_sign_fn; the context is the clerk. All keys are of one domain. */
static int
ask_vault(void *of, const struct dkim_signing_key *keys, const uint8_t (*hashes)[DKIM_HASH_BYTES], size_t n,
    struct arena *a, struct slice *signatures)
{
	struct clerk *k = of;
	struct slice selectors[DKIM_SIGNING_KEYS_MAX], texts[DKIM_SIGNING_KEYS_MAX];
	struct bus_vault_dkim_sign_request q = {
	    .domain = keys[0].domain, .selectors = {selectors, n}, .hashes = {texts, n}};
	struct bus_vault_dkim_sign_reply rep = {0};
	int err;

	ASSERT(n <= DKIM_SIGNING_KEYS_MAX);
	for (size_t i = 0; i < n; i++) {
		selectors[i] = keys[i].selector;
		texts[i] = slice_of(hashes[i], DKIM_HASH_BYTES);
	}
	err = bus_call_again(k->c->bus, ROLE_VAULT, 0, BUS_vault_dkim_sign, &q, a, &rep, VAULT_MS);
	if (err == 0 && rep.signatures.n != n)
		err = ERR_UNAVAILABLE;
	for (size_t i = 0; err == 0 && i < n; i++)
		signatures[i] = rep.signatures.v[i];
	return err;
}

/* ---- signing -------------------------------------------------------------------------------------------------------------- */

/* The domain whose keys are used, or an empty one. */
static int
find_domain(struct clerk *k, struct choice *c)
{
	return c->n == 0 ? 0 : sql_read(k->directory_db, choose, c);
}

static int
sign_own(struct clerk *k, const struct queue_submission *s, struct dkim_reader *r, struct arena *a, struct buf *out)
{
	const struct header *h = dkim_reader_header(r);
	struct dkim_signer signer = {ask_vault, k};
	struct dkim_signing_key keys[DKIM_SIGNING_KEYS_MAX];
	struct choice c = {.arena = a};
	size_t n = 0;
	int err;

	propose_field(&c, h, SLICE("From"));
	propose_field(&c, h, SLICE("Resent-From"));
	propose_field(&c, h, SLICE("Sender"));
	propose_address(&c, s->reverse_path);
	/* What the house writes itself is from its own name, and the domain above that may be ours: DMARC takes it as the same. */
	if (s->origin == ORIGIN_SYSTEM)
		propose_above(&c);
	err = find_domain(k, &c);
	if (err == 0 && c.ours.n > 0)
		err = get_keys(k, c.ours, a, keys, &n);
	if (err == 0 && n > 0)
		err = dkim_sign(r, keys, n, house_now_s(k->c->house), &signer, a, out);
	k->counters.dkim_signed += err == 0 && n > 0;
	return err;
}

/* An address of ours leads on to another house. */
static bool
is_passed_on(const struct queue_rcpt *r)
{
	return r->target.kind == QUEUE_TARGET_REMOTE;
}

static int
seal_passed_on(
    struct clerk *k, const struct queue_submission *s, struct dkim_reader *r, struct arena *a, struct buf *out)
{
	struct slice us = k->c->settings->hostname;
	struct dkim_signer signer = {ask_vault, k};
	struct dkim_signing_key keys[DKIM_SIGNING_KEYS_MAX];
	struct arc_sealing sealing = {.now_s = house_now_s(k->c->house)};
	struct choice c = {.arena = a};
	struct buf results BUF_CLEANUP;
	struct header head;
	size_t n = 0;
	int err = header_parse(a, s->head, &k->c->house->limits, &head);

	/* Without having looked there is nothing to tell. Only what we have added ourselves counts. */
	if (err != 0 || header_find(&head, SLICE("Authentication-Results")) == NULL)
		return err;
	buf_init(&results, FIELDS_MAX);
	arc_results_gather(&head, us, &results, &sealing.chain);
	sealing.results = buf_slice(&results);
	for (size_t i = 0; i < s->rcpts_n; i++)
		if (is_passed_on(&s->rcpts[i]))
			propose_address(&c, s->rcpts[i].original);
	err = results.err != 0 ? results.err : find_domain(k, &c);
	if (err == 0 && c.ours.n > 0)
		err = get_keys(k, c.ours, a, keys, &n);
	if (err != 0 || n == 0)
		return err;
	/* RSA comes first: few know ARC with Ed25519 */
	sealing.key = keys[0];
	err = arc_seal(r, &sealing, &signer, a, out);
	k->counters.arc_sealed += err == 0 && out->n > 0;
	return err;
}

static bool
leaves_the_house(const struct queue_submission *s)
{
	for (size_t i = 0; i < s->rcpts_n; i++)
		if (is_passed_on(&s->rcpts[i]))
			return true;
	return false;
}

int
clerk_sign(struct clerk *k, struct queue_submission *s, struct arena *a)
{
	struct dkim_reader *r __attribute__((cleanup(dkim_reader_free))) = NULL;
	struct buf fields BUF_CLEANUP;
	struct slice head;
	int err;

	if (!leaves_the_house(s))
		return 0;
	buf_init(&fields, FIELDS_MAX);
	err = dkim_reader_new(&r, &k->c->house->limits, DKIM_SIGNING);
	if (err == 0)
		err = read_submission(k, s, r);
	if (err == 0)
		err = s->origin == ORIGIN_STRANGER ? seal_passed_on(k, s, r, a, &fields)
						   : sign_own(k, s, r, a, &fields);
	if (err == ERR_INVALID || (err != 0 && s->origin == ORIGIN_STRANGER)) {
		/* a header that cannot be signed goes as it is; and mail is not held up for a seal */
		LOG(k->c->house, INFO, "mail_goes_unsigned", LOG_S("id", s->id), LOG_E(err));
		return 0;
	}
	if (err != 0 || fields.n == 0)
		return err;
	buf_put(&fields, s->head);
	head = arena_copy(a, buf_slice(&fields));
	if (fields.err != 0 || head.p == NULL)
		return ERR_NOMEM;
	s->head = head;
	return 0;
}
