/* cli_move.c: see cli_move.h. Each folder and each piece of damage is told when it is known, since a move may take hours: a line for
 * people, or with --json an object. */
#include "cli/cli_move.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static void
set_text(json_t *o, const char *key, struct slice s)
{
	struct buf b BUF_CLEANUP;

	buf_init(&b, 1u << 20);
	if (!slice_is_utf8(s, true)) { /* the foreign server's words */
		for (size_t i = 0; i < s.n; i++)
			buf_put_u8(&b, slice_at(s, i) >= 0x80 || slice_at(s, i) == 0 ? '?' : slice_at(s, i));
		s = buf_slice(&b);
	}
	json_object_set_new(o, key, json_stringn(s.n == 0 ? "" : (const char *)s.p, s.n));
}

static void
put_json(struct cli *c, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text != NULL)
		(void)fprintf(c->out, "%s\n", text);
	(void)fflush(c->out);
	free(text);
	json_decref(o);
}

static void
on_damage(void *arg, struct slice folder, struct slice which, struct slice why)
{
	struct cli_move *m = arg;
	json_t *o;

	m->damaged++;
	if (m->c->json) {
		o = json_object();
		set_text(o, "folder", folder);
		set_text(o, "message", which);
		set_text(o, "damage", why);
		put_json(m->c, o);
		return;
	}
	cli_print_clean(m->c->out, folder);
	(void)fputs(folder.n > 0 && which.n > 0 ? ", " : "", m->c->out);
	cli_print_clean(m->c->out, which);
	(void)fputs(folder.n > 0 || which.n > 0 ? ": " : "", m->c->out);
	cli_print_clean(m->c->out, why);
	(void)fputc('\n', m->c->out);
	(void)fflush(m->c->out);
}

static void
on_folder(void *arg, struct slice there, struct slice here, const struct move_counts *n, bool kept)
{
	struct cli_move *m = arg;
	FILE *out = m->c->out;

	if (m->c->json) {
		json_t *o = json_object();

		set_text(o, "folder", there);
		set_text(o, "mailbox", here);
		json_object_set_new(o, "messages", json_integer((json_int_t)n->seen));
		json_object_set_new(o, "moved", json_integer((json_int_t)n->moved));
		json_object_set_new(o, "known", json_integer((json_int_t)n->known));
		json_object_set_new(o, "dropped", json_integer((json_int_t)n->dropped));
		json_object_set_new(o, "damaged", json_integer((json_int_t)n->damaged));
		json_object_set_new(o, "uids_kept", json_boolean(kept));
		put_json(m->c, o);
		return;
	}
	cli_print_clean(out, there);
	if (!slice_eq(there, here)) {
		(void)fputs(" → ", out);
		cli_print_clean(out, here);
	}
	(void)fprintf(
	    out, ": %llu messages, %llu %s", (unsigned long long)n->seen, (unsigned long long)n->moved, m->verb);
	if (n->known > 0)
		(void)fprintf(out, ", %llu had been before", (unsigned long long)n->known);
	if (n->dropped > 0)
		(void)fprintf(out, ", %llu removed", (unsigned long long)n->dropped);
	if (n->damaged > 0)
		(void)fprintf(out, ", %llu could not be", (unsigned long long)n->damaged);
	(void)fputs(kept ? "; UIDs kept\n" : "\n", out);
	(void)fflush(out);
}

static void
on_note(void *arg, struct slice text)
{
	struct cli_move *m = arg;

	(void)fputs("posthouse: ", m->c->err);
	cli_print_clean(m->c->err, text);
	(void)fputc('\n', m->c->err);
}

int
cli_move_conclude(struct cli_move *m, const struct move_counts *n, size_t folders, size_t failed, int err)
{
	if (!m->c->json)
		(void)fprintf(m->c->out,
		    "%zu folders, %llu messages: %llu %s, %llu had been before, %llu could not be.\n", folders,
		    (unsigned long long)n->seen, (unsigned long long)n->moved, m->verb, (unsigned long long)n->known,
		    (unsigned long long)n->damaged);
	if (err == ERR_QUOTA)
		return cli_fail(m->c, EX_CANTCREAT,
		    "there is no room for more in %s; give it more with `posthouse account quota`, then run this again",
		    m->address);
	if (err == ERR_DENIED)
		return EX_NOPERM; /* told */
	if (err != 0 || failed > 0)
		return cli_fail(m->c, EX_TEMPFAIL, "not all could be moved; run this again to go on where it stopped");
	return m->damaged > 0 ? EX_DATAERR : EX_OK;
}

/* ---- the account's connection ---------------------------------------------------------------------------------------- */

/* The desk greets, or the clerk refuses: told by the first byte, which stays where it is. */
static int
open_mail(struct cli_move *m, int fd)
{
	json_t *args = json_pack("{s:s}", "address", m->address);
	struct cli_reply reply CLI_REPLY_CLEANUP = {NULL, NULL};
	struct cli_fds fds CLI_FDS_CLEANUP = {.n = 0};
	char first = 0;
	int err = args == NULL ? ERR_NOMEM : cli_ask_send(fd, "account mail", args);
	ssize_t n = 0;

	json_decref(args);
	if (err != 0)
		return err;
	do
		n = recv(fd, &first, 1, MSG_PEEK);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? ERR_TIMEOUT : ERR_CLOSED;
	if (first != '{')
		return 0;
	err = cli_ask_read(fd, &reply, &fds);
	if (err == 0 && cli_reply_code(m->c, &reply) != 0)
		err = ERR_DENIED;
	return err == 0 ? ERR_SYNTAX : err;
}

int
cli_move_account(struct cli_move *m, int *fd)
{
	int err;

	*fd = cli_connect(m->w.dir);
	if (*fd < 0)
		return ERR_CLOSED;
	err = open_mail(m, *fd);
	if (err != 0) {
		(void)close(*fd);
		*fd = -1;
	}
	return err;
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------------- */

int
cli_move_begin(struct cli *c, struct cli_move *m, const char *address, const char *verb)
{
	int code;

	*m = (struct cli_move){.c = c,
	    .fd = -1,
	    .link = -1,
	    .address = address,
	    .verb = verb,
	    .report = {m, on_damage, on_folder, on_note}};
	house_init(&m->house, "cli");
	buf_init(&m->w.config, 1u << 20);
	(void)signal(SIGPIPE, SIG_IGN);
	if ((code = cli_find_house(c, &m->w)) != 0)
		return code;
	return cli_reach_house(c, &m->w, &m->quiet, CLI_SILENCE_S, &m->fd);
}

int
cli_move_end(struct cli_move *m, int code)
{
	int ended;

	if (m->fd >= 0)
		(void)close(m->fd);
	ended = cli_quiet_stop(&m->quiet);
	cli_where_free(&m->w);
	return code == 0 ? ended : code;
}

int
cli_move_folders(struct cli_move *m, struct slice **v, struct slice_list *out)
{
	json_t *names = json_object_get(m->c->args, "folders");
	size_t n = json_array_size(names);

	*v = n == 0 ? NULL : calloc(n, sizeof(**v));
	if (n > 0 && *v == NULL)
		return cli_fail(m->c, EX_OSERR, "out of memory");
	for (size_t i = 0; i < n; i++)
		(*v)[i] = slice_z(json_string_value(json_array_get(names, i)));
	*out = (struct slice_list){*v, n};
	return 0;
}
