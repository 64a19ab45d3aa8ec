#include "reader/report_unpack.h"

#include "reader/report_zip.h"

#include <zlib.h>

#define PIECE_BYTES 65536
#define RAW_BITS (-15) /* within a zip archive */
#define GZIP_BITS (15 + 16)

struct unpacking {
	struct report *r;
	report_sink *put;
	void *ctx;
	const char *what; /* "gzip file" */
	uint64_t total;
	uint32_t crc32;
	uint8_t *piece; /* PIECE_BYTES */
};

bool
report_is_gzip(struct slice s)
{
	return slice_starts(s, SLICE("\x1f\x8b"));
}

bool
report_is_zip(struct slice s)
{
	return slice_starts(s, SLICE("PK\x03\x04"));
}

static int
pass(struct unpacking *u, struct slice piece)
{
	u->total += piece.n;
	if (u->total > (uint64_t)u->r->limits->report_unpacked_bytes)
		return report_refuse(u->r, "the %s holds more than %lld bytes, which no report has", u->what,
		    (long long)u->r->limits->report_unpacked_bytes);
	u->crc32 = (uint32_t)crc32(u->crc32, piece.p, (uInt)piece.n);
	return piece.n == 0 ? 0 : u->put(u->ctx, piece);
}

/* One stream up to its end, or that of the input. */
static int
inflate_one(struct unpacking *u, z_stream *z)
{
	int e = 0, got = Z_OK;

	while (e == 0 && got == Z_OK) {
		z->next_out = u->piece;
		z->avail_out = PIECE_BYTES;
		got = inflate(z, Z_NO_FLUSH);
		if (got == Z_OK || got == Z_STREAM_END)
			e = pass(u, slice_of(u->piece, PIECE_BYTES - z->avail_out));
	}
	if (e != 0 || got == Z_STREAM_END)
		return e;
	if (got == Z_MEM_ERROR)
		return ERR_NOMEM;
	return got == Z_BUF_ERROR ? report_refuse(u->r, "the %s is cut off", u->what)
				  : report_refuse(u->r, "the %s is damaged", u->what);
}

/* A gzip file may be several, one behind the other; what else follows is no part of it. */
static int
inflate_all(struct unpacking *u, struct slice in, int bits)
{
	z_stream z = {.next_in = (Bytef *)in.p, .avail_in = (uInt)in.n};
	int e = inflateInit2(&z, bits) == Z_OK ? 0 : ERR_NOMEM;

	if (e != 0)
		return e;
	do
		e = inflate_one(u, &z);
	while (
	    e == 0 && bits == GZIP_BITS && report_is_gzip(slice_of(z.next_in, z.avail_in)) && inflateReset(&z) == Z_OK);
	(void)inflateEnd(&z);
	return e;
}

static int
unzip(struct unpacking *u, struct slice archive)
{
	const struct limits *l = u->r->limits;
	struct report_zip_file f;
	const char *why;
	int e;

	u->what = "zip archive";
	if (report_zip_find(archive, (size_t)l->report_zip_files, &f, &why) != 0)
		return report_refuse(u->r, "the zip archive cannot be opened: %s", why);
	if (f.size > (uint64_t)l->report_unpacked_bytes)
		return report_refuse(u->r, "the zip archive holds a file of %llu bytes, which no report has",
		    (unsigned long long)f.size);
	e = f.deflated ? inflate_all(u, f.packed, RAW_BITS) : pass(u, f.packed);
	if (e == 0 && (u->total != f.size || u->crc32 != f.crc32))
		e = report_refuse(u->r, "the zip archive is damaged: its file is not what its directory says");
	return e;
}

int
report_unpack(struct report *r, struct slice packed, report_sink *put, void *ctx)
{
	struct unpacking u = {.r = r, .put = put, .ctx = ctx, .what = "report"};

	if (packed.n > UINT32_MAX)
		return report_refuse(r, "the report has %zu bytes", packed.n);
	u.piece = arena_alloc(r->a, PIECE_BYTES);
	if (u.piece == NULL)
		return ERR_NOMEM;
	if (report_is_zip(packed))
		return unzip(&u, packed);
	if (!report_is_gzip(packed))
		return pass(&u, packed);
	u.what = "gzip file";
	return inflate_all(&u, packed, GZIP_BITS);
}
