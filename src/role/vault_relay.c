/* vault_relay.c: passwords of smart hosts. They are read from the files that the settings name before the sandbox closes, and given to
 * a courier that is about to sign in. */
#include "role/vault_private.h"
#include "role/vault_files.h"

#include "base/log.h"

#include <sodium.h>

#define PASSWORD_MAX 1024

struct vault_relay {
	struct slice name;
	struct buf password;
};

struct vault_relays {
	size_t n;
	struct vault_relay v[];
};

static int
read_one(const struct relay_settings *r, struct vault_relay *out, struct buf *detail)
{
	struct buf file VAULT_WIPE;
	char path[VAULT_PATH_MAX];
	struct slice rest, line;
	int e = slice_to_z(r->password_file, path, sizeof(path));

	buf_init(&file, VAULT_FILE_MAX);
	out->name = r->name;
	buf_init(&out->password, PASSWORD_MAX);
	if (e == 0)
		e = vault_file_read(path, &file);
	if (e != 0) {
		buf_printf(detail, "[relay %.*s]: the password file %.*s cannot be read: %s.", SLICE_ARG(r->name),
		    SLICE_ARG(r->password_file), err_text(e));
		return e;
	}
	rest = buf_slice(&file);
	line = slice_cut(&rest, '\n');
	if (slice_ends(line, SLICE("\r")))
		line = slice_head(line, line.n - 1);
	buf_put(&out->password, line);
	if (line.n > 0 && out->password.err == 0)
		return 0;
	buf_printf(detail, "[relay %.*s]: the first line of the password file %.*s is %s.", SLICE_ARG(r->name),
	    SLICE_ARG(r->password_file), line.n == 0 ? "empty" : "too long");
	return ERR_INVALID;
}

int
vault_relays_read(struct vault_relays **out, const struct settings *s, struct buf *detail)
{
	struct vault_relays *r = calloc(1, sizeof(*r) + s->relays_count * sizeof(r->v[0]));
	int e = 0;

	*out = r;
	if (r == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; e == 0 && i < s->relays_count; i++)
		if (s->relays[i].password_file.n > 0)
			e = read_one(&s->relays[i], &r->v[r->n++], detail);
	if (e != 0)
		vault_relays_free(out);
	return e;
}

void
vault_relays_free(struct vault_relays **rp)
{
	struct vault_relays *r = *rp;

	*rp = NULL;
	for (size_t i = 0; r != NULL && i < r->n; i++)
		vault_buf_wipe(&r->v[i].password);
	free(r);
}

int
vault_on_relay(struct vault *v, struct bus_peer *from, struct bus_vault_relay_request *q, struct arena *a,
    struct bus_vault_relay_reply *reply)
{
	(void)from;
	for (size_t i = 0; v->relays != NULL && i < v->relays->n; i++)
		if (slice_eq(v->relays->v[i].name, q->name)) {
			reply->password = arena_copy(a, buf_slice(&v->relays->v[i].password));
			return arena_failed(a) ? ERR_NOMEM : 0;
		}
	return ERR_NOTFOUND;
}
