#include "reader/report_zip.h"

#include <stdint.h>

#define LOCAL_BYTES 30
#define CENTRAL_BYTES 46
#define END_BYTES 22
#define COMMENT_MAX 65535
#define LOCAL_MARK 0x04034b50u
#define CENTRAL_MARK 0x02014b50u
#define END_MARK 0x06054b50u
#define ENCRYPTED 1u
#define STORED 0
#define DEFLATED 8

/* Little-endian, at a place that must be there. */
static uint32_t
le16(struct slice s, size_t at)
{
	return (uint32_t)slice_at(s, at) | (uint32_t)slice_at(s, at + 1) << 8;
}

static uint32_t
le32(struct slice s, size_t at)
{
	return le16(s, at) | le16(s, at + 2) << 16;
}

/* n bytes at a place that the archive names, or {NULL,0}. */
static struct slice
piece(struct slice archive, uint64_t at, uint64_t n)
{
	if (at > archive.n || n > archive.n - at)
		return SLICE_EMPTY;
	return slice_range(archive, (size_t)at, (size_t)(at + n));
}

/* The end of the directory: the last one whose comment reaches to the end of the archive, or SLICE_NONE. */
static size_t
find_end(struct slice z)
{
	if (z.n < END_BYTES)
		return SLICE_NONE;
	for (size_t back = END_BYTES; back <= z.n && back <= END_BYTES + COMMENT_MAX; back++) {
		size_t at = z.n - back;

		if (le32(z, at) == END_MARK && le16(z, at + 20) == back - END_BYTES)
			return at;
	}
	return SLICE_NONE;
}

/* The packed bytes of a file, which lie behind its own header. */
static int
locate(struct slice z, uint32_t at, uint32_t n, struct report_zip_file *f, const char **why)
{
	struct slice head = piece(z, at, LOCAL_BYTES);

	*why = "it points to a file that it does not hold";
	if (head.n == 0 || le32(head, 0) != LOCAL_MARK)
		return ERR_SYNTAX;
	f->packed = piece(z, (uint64_t)at + LOCAL_BYTES + le16(head, 26) + le16(head, 28), n);
	return f->packed.n == n ? 0 : ERR_SYNTAX;
}

struct entry {
	struct slice head, name;
};

static int
check_entry(const struct entry *e, const char **why)
{
	uint32_t method = le16(e->head, 10);

	if ((le16(e->head, 8) & ENCRYPTED) != 0) {
		*why = "its file is encrypted";
		return ERR_UNSUPPORTED;
	}
	if (method != STORED && method != DEFLATED) {
		*why = "its file is packed in a way that reports are not";
		return ERR_UNSUPPORTED;
	}
	if (le32(e->head, 20) == UINT32_MAX || le32(e->head, 24) == UINT32_MAX || le32(e->head, 42) == UINT32_MAX) {
		*why = "it is of the form for archives over 4 GB";
		return ERR_UNSUPPORTED;
	}
	return 0;
}

/* The entry of the report. */
static int
choose(struct slice directory, size_t count, struct entry *out, const char **why)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		struct slice head = slice_head(directory, CENTRAL_BYTES);
		struct entry e = {.head = head};
		uint64_t n;
		bool named;

		*why = "its directory is damaged";
		if (head.n < CENTRAL_BYTES || le32(head, 0) != CENTRAL_MARK)
			return ERR_SYNTAX;
		n = (uint64_t)CENTRAL_BYTES + le16(head, 28) + le16(head, 30) + le16(head, 32);
		if (n > directory.n)
			return ERR_SYNTAX;
		e.name = slice_range(directory, CENTRAL_BYTES, CENTRAL_BYTES + le16(head, 28));
		directory = slice_from(directory, (size_t)n);
		if (e.name.n == 0 || slice_ends(e.name, SLICE("/")) || slice_starts(e.name, SLICE("__MACOSX/")))
			continue;
		named = slice_iends(e.name, SLICE(".xml")) || slice_iends(e.name, SLICE(".json"));
		if (!any || named)
			*out = e;
		any = true;
		if (named)
			return 0;
	}
	*why = "it holds no file";
	return any ? 0 : ERR_NOTFOUND;
}

int
report_zip_find(struct slice z, size_t max, struct report_zip_file *out, const char **why)
{
	struct entry e = {0};
	struct slice end, directory;
	size_t at = find_end(z), count;
	int err;

	*out = (struct report_zip_file){0};
	*why = "it is cut off, or no zip archive";
	if (at == SLICE_NONE)
		return ERR_SYNTAX;
	end = slice_from(z, at);
	count = le16(end, 10);
	if (le16(end, 4) != 0 || le16(end, 6) != 0 || le16(end, 8) != count) {
		*why = "it is a part of a larger archive";
		return ERR_UNSUPPORTED;
	}
	if (count > max) {
		*why = "it holds too many files";
		return ERR_LIMIT;
	}
	directory = piece(z, le32(end, 16), le32(end, 12));
	if (directory.n != le32(end, 12)) {
		*why = "its directory is damaged";
		return ERR_SYNTAX;
	}
	err = choose(directory, count, &e, why);
	if (err == 0)
		err = check_entry(&e, why);
	if (err != 0)
		return err;
	out->name = e.name;
	out->deflated = le16(e.head, 10) == DEFLATED;
	out->crc32 = le32(e.head, 16);
	out->size = le32(e.head, 24);
	return locate(z, le32(e.head, 42), le32(e.head, 20), out, why);
}
