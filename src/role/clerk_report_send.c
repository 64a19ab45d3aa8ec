/* clerk_report_send.c: what reports to other domains have in common: the id that is always the same for the same report, so that after a crash
 * it is not sent twice; packing; and the way into the queue, signed as the domain of their sender. */
#include "message/build.h"
#include "role/clerk_private.h"

#include <zlib.h>

#define DAY_S 86400

void
clerk_report_ids(struct clerk_report *p, int64_t day, uint64_t about)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t ms = (uint64_t)(day * DAY_S) * 1000;
	uint64_t two = about ^ slice_hash(p->destination, 3) ^ slice_hash(p->k->c->settings->hostname, 4);

	(void)snprintf(p->report_id, sizeof(p->report_id), "%lld.%016llx", (long long)day, (unsigned long long)about);
	for (int i = 9; i >= 0; i--, ms >>= 5)
		p->id[i] = digits[ms & 31];
	for (int i = 10; i < ULID_LEN; i++) {
		p->id[i] = digits[two & 31];
		two = two >> 5 ^ (i == 17 ? about * 0x9e3779b97f4a7c15u : 0);
	}
	p->id[ULID_LEN] = '\0';
}

struct pack_job {
	struct slice in;
	struct buf *out;
};

/* gzip (RFC 1952); on a worker thread. */
static int
pack(void *arg)
{
	struct pack_job *j = arg;
	z_stream z = {0};
	uint8_t *room;
	int e;

	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return ERR_NOMEM;
	room = buf_reserve(j->out, deflateBound(&z, j->in.n));
	if (room == NULL) {
		(void)deflateEnd(&z);
		return j->out->err;
	}
	z.next_in = (Bytef *)j->in.p;
	z.avail_in = (uInt)j->in.n;
	z.next_out = room;
	z.avail_out = (uInt)deflateBound(&z, j->in.n);
	e = deflate(&z, Z_FINISH);
	buf_added(j->out, z.total_out);
	(void)deflateEnd(&z);
	return e == Z_STREAM_END ? 0 : ERR_LIMIT;
}

int
clerk_report_pack(struct clerk *k, struct slice in, struct buf *out)
{
	struct pack_job job = {in, out};

	return work_run(k->workers, pack, &job);
}

void
clerk_report_put_base64(struct buf *out, struct slice s)
{
	while (s.n > 0) {
		struct slice line = slice_head(s, 57);

		buf_put_base64(out, line);
		buf_put_z(out, "\r\n");
		s = slice_from(s, line.n);
	}
}

int
clerk_report_submit(
    struct clerk_report *p, struct slice domain, struct slice envelope, struct slice rcpt_envelope, struct slice body)
{
	struct clerk *k = p->k;
	struct queue_submission s = {.id = slice_z(p->id),
	    .origin = ORIGIN_SYSTEM,
	    .reverse_path = k->c->settings->report_sender,
	    .envelope = envelope,
	    .body = body,
	    .size_bytes = (int64_t)body.n};
	struct queue_ops ops = clerk_queue_ops(k);
	struct queue_target *targets;
	struct queue_rcpt *rcpts;
	struct buf detail BUF_CLEANUP;
	size_t n = 0;
	int e = ops.expand(ops.ctx, p->destination, p->a, &targets, &n);

	if (e != 0 || n == 0)
		return e;
	rcpts = ARENA_ARRAY(p->a, struct queue_rcpt, n);
	if (rcpts == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		rcpts[i] = (struct queue_rcpt){
		    .original = p->destination, .envelope = rcpt_envelope, .target = targets[i]};
	s.rcpts = rcpts;
	s.rcpts_n = n;
	buf_init(&detail, 4096);
	e = clerk_sign(k, &s, p->a);
	if (e == 0 && queue_submit(k->queue, &s, &detail) != SUBMIT_OK)
		e = ERR_UNAVAILABLE;
	LOG(k->c->house, INFO, "report_sent", LOG_S("id", s.id), LOG_S("domain", domain), LOG_S("to", p->destination),
	    LOG_S("detail", buf_slice(&detail)), LOG_E(e));
	return e;
}
