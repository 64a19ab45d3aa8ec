/* backup_file.c: cutting files into pieces of one size and putting them together. */
#include "backup/backup_file.h"

#include <errno.h>
#include <sodium.h>

#define ID_HEX (2 * BACKUP_ID_BYTES)

struct ids {
	struct buf hex;
	int64_t size;
};

static int
put_piece(struct backup_repo *r, struct ids *ids, struct slice piece)
{
	uint8_t id[BACKUP_ID_BYTES];
	int err = backup_put(r, piece, id);

	if (err != 0)
		return err;
	buf_put_hex(&ids->hex, slice_of(id, sizeof(id)));
	ids->size += (int64_t)piece.n;
	return ids->hex.err;
}

static int
describe(struct ids *ids, const char *path, json_t **out)
{
	*out = json_pack("{s:s, s:I, s:o}", "path", path, "size", (json_int_t)ids->size, "ids",
	    json_stringn(ids->hex.n == 0 ? "" : (const char *)ids->hex.p, ids->hex.n));
	return *out == NULL ? ERR_NOMEM : 0;
}

/* As much as fits, but at the end of the file. */
static ssize_t
read_full(int fd, uint8_t *p, size_t n, int64_t at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, p + done, n - done, (off_t)(at + (int64_t)done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int
backup_file_put(struct backup_repo *r, int fd, const char *path, size_t piece_bytes, json_t **out)
{
	uint8_t *piece = malloc(piece_bytes);
	struct ids ids = {.size = 0};
	ssize_t n = 1;
	int err = piece == NULL ? ERR_NOMEM : 0;

	ASSERT(piece_bytes <= BACKUP_PIECE_MAX);
	*out = NULL;
	buf_init(&ids.hex, BACKUP_TREE_MAX);
	while (err == 0 && n > 0) {
		n = read_full(fd, piece, piece_bytes, ids.size);
		if (n < 0)
			err = ERR_IO;
		else if (n > 0)
			err = put_piece(r, &ids, slice_of(piece, (size_t)n));
	}
	if (err == 0)
		err = describe(&ids, path, out);
	buf_free(&ids.hex);
	free(piece);
	return err;
}

int
backup_bytes_put(struct backup_repo *r, struct slice bytes, const char *path, size_t piece_bytes, json_t **out)
{
	struct ids ids = {.size = 0};
	int err = 0;

	*out = NULL;
	buf_init(&ids.hex, BACKUP_TREE_MAX);
	while (err == 0 && bytes.n > 0) {
		struct slice piece = slice_head(bytes, piece_bytes);

		err = put_piece(r, &ids, piece);
		bytes = slice_from(bytes, piece.n);
	}
	if (err == 0)
		err = describe(&ids, path, out);
	buf_free(&ids.hex);
	return err;
}

/* ---- back -------------------------------------------------------------------------------------------- */

struct pieces {
	struct slice hex;
	int64_t size;
	size_t n;
};

static int
pieces_of(const json_t *file, struct pieces *p)
{
	const json_t *ids = json_object_get(file, "ids"), *size = json_object_get(file, "size");

	if (!json_is_string(ids) || !json_is_integer(size) || json_string_length(ids) % ID_HEX != 0)
		return ERR_INVALID;
	p->hex = slice_of(json_string_value(ids), json_string_length(ids));
	p->size = json_integer_value(size);
	p->n = p->hex.n / ID_HEX;
	return p->size < 0 || (p->n == 0) != (p->size == 0) ? ERR_INVALID : 0;
}

static int
piece_id(const struct pieces *p, size_t i, uint8_t id[BACKUP_ID_BYTES])
{
	struct slice s = slice_range(p->hex, i * ID_HEX, (i + 1) * ID_HEX);
	size_t n = 0;

	return sodium_hex2bin(id, BACKUP_ID_BYTES, (const char *)s.p, s.n, NULL, &n, NULL) == 0 && n == BACKUP_ID_BYTES
	    ? 0
	    : ERR_INVALID;
}

static int
write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		if (n > 0)
			s = slice_from(s, (size_t)n);
	}
	return 0;
}

/* Zeros for a piece that cannot be read: all but the last are of the same size as the first that can. */
static int
write_zeros(int fd, const struct pieces *p, size_t piece_bytes, size_t i)
{
	int64_t at = (int64_t)(i * piece_bytes), left = p->size - at;
	size_t n = left < (int64_t)piece_bytes ? (size_t)(left < 0 ? 0 : left) : piece_bytes;

	return lseek(fd, (off_t)n, SEEK_CUR) < 0 ? err_from_errno(errno) : 0;
}

/* The size that the pieces of the file have, which is one of two. */
static size_t
piece_size(const struct pieces *p)
{
	return p->n * BACKUP_PIECE_DATABASE >= (size_t)p->size ? BACKUP_PIECE_DATABASE : BACKUP_PIECE_BODY;
}

int
backup_file_get(struct backup_repo *r, const json_t *file, int fd, bool past_damage, int64_t *damaged)
{
	struct buf piece BUF_CLEANUP;
	struct pieces p;
	uint8_t id[BACKUP_ID_BYTES];
	int err = pieces_of(file, &p);

	buf_init(&piece, BACKUP_PIECE_MAX + 1);
	for (size_t i = 0; err == 0 && i < p.n; i++) {
		buf_reset(&piece);
		if ((err = piece_id(&p, i, id)) == 0)
			err = backup_get(r, id, &piece);
		if (err == 0) {
			err = write_all(fd, buf_slice(&piece));
		} else if ((err == ERR_DAMAGED || err == ERR_NOTFOUND) && past_damage) {
			++*damaged;
			err = write_zeros(fd, &p, piece_size(&p), i);
		}
	}
	/* A hole at the end is part of the file. */
	return err == 0 && ftruncate(fd, (off_t)p.size) != 0 ? err_from_errno(errno) : err;
}

int
backup_bytes_get(struct backup_repo *r, const json_t *file, struct buf *out)
{
	struct pieces p;
	uint8_t id[BACKUP_ID_BYTES];
	size_t before = out->n;
	int err = pieces_of(file, &p);

	for (size_t i = 0; err == 0 && i < p.n; i++)
		if ((err = piece_id(&p, i, id)) == 0)
			err = backup_get(r, id, out);
	return err == 0 && (int64_t)(out->n - before) != p.size ? ERR_DAMAGED : err;
}

int
backup_file_check(struct backup_repo *r, const json_t *file, struct buf *scratch, int64_t *damaged)
{
	struct pieces p;
	uint8_t id[BACKUP_ID_BYTES];
	int64_t size = 0;
	int err = pieces_of(file, &p);

	for (size_t i = 0; err == 0 && i < p.n; i++) {
		buf_reset(scratch);
		if ((err = piece_id(&p, i, id)) == 0)
			err = backup_get(r, id, scratch);
		size += (int64_t)scratch->n;
		if (err == ERR_DAMAGED || err == ERR_NOTFOUND) {
			++*damaged;
			size = p.size;
			err = 0;
		}
	}
	return err == 0 && size != p.size && *damaged == 0 ? ERR_DAMAGED : err;
}

/* ---- trees ------------------------------------------------------------------------------------------- */

int
backup_tree_put(struct backup_repo *r, const json_t *tree, json_t **out)
{
	char *text = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
	int err = text == NULL ? ERR_NOMEM : backup_bytes_put(r, slice_z(text), "", BACKUP_PIECE_DATABASE, out);

	free(text);
	return err;
}

int
backup_tree_get(struct backup_repo *r, const json_t *file, json_t **out)
{
	struct buf text BUF_CLEANUP;
	int err;

	*out = NULL;
	buf_init(&text, BACKUP_TREE_MAX);
	if ((err = backup_bytes_get(r, file, &text)) != 0)
		return err;
	*out = json_loadb(text.n == 0 ? "" : (const char *)text.p, text.n, 0, NULL);
	return *out == NULL ? ERR_DAMAGED : 0;
}

int
backup_file_mark(const json_t *file, struct map *used)
{
	static char yes;
	struct pieces p;
	uint8_t id[BACKUP_ID_BYTES];
	int err = pieces_of(file, &p);

	for (size_t i = 0; err == 0 && i < p.n; i++)
		if ((err = piece_id(&p, i, id)) == 0 && map_get(used, slice_of(id, sizeof(id))) == NULL)
			err = map_put(used, slice_of(id, sizeof(id)), &yes);
	return err;
}
