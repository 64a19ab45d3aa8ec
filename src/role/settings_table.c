/* settings_table.c: the table of settings, and what is printed from it: the annotated default configuration and what a
 * configuration says other than that. */
#include "role/settings_table.h"

#include "base/ini.h"

const struct setting_row setting_rows[] = {
#define SINGLE(kind, text)
#define NAMED(kind, text)
#define SETTING(kind, structure, key, type, member, value, text) \
	{#kind, #key, SETTING_##type, offsetof(struct structure, member), value, text},
#include "role/settings.def"
#undef SINGLE
#undef NAMED
#undef SETTING
};
const size_t setting_rows_count = COUNT_OF(setting_rows);

const struct section_row section_rows[] = {
#define SINGLE(kind, text) {#kind, false, text},
#define NAMED(kind, text) {#kind, true, text},
#define SETTING(kind, structure, key, type, member, value, text)
#include "role/settings.def"
    {"limits", false, "Bounds of everything that comes from outside."}
#undef SINGLE
#undef NAMED
#undef SETTING
};
const size_t section_rows_count = COUNT_OF(section_rows);

const struct setting_row *
setting_find(struct slice kind, struct slice key)
{
	for (size_t i = 0; i < setting_rows_count; i++)
		if (slice_eq(kind, slice_z(setting_rows[i].kind)) && slice_eq(key, slice_z(setting_rows[i].key)))
			return &setting_rows[i];
	return NULL;
}

const struct section_row *
section_find(struct slice kind)
{
	for (size_t i = 0; i < section_rows_count; i++)
		if (slice_eq(kind, slice_z(section_rows[i].kind)))
			return &section_rows[i];
	return NULL;
}

/* ---- printing ---------------------------------------------------------------------------------------- */

#define COMMENT_WIDTH 80u

/* As comment lines of COMMENT_WIDTH. */
static void
print_comment(struct buf *out, const char *text)
{
	struct slice rest = slice_z(text);
	size_t width = 0;

	while (rest.p != NULL) {
		struct slice word = slice_cut(&rest, ' ');

		if (width == 0 || width + 1 + word.n > COMMENT_WIDTH) {
			buf_put_z(out, width == 0 ? "#" : "\n#");
			width = 1;
		}
		buf_put_z(out, " ");
		buf_put(out, word);
		width += 1 + word.n;
	}
	buf_put_z(out, "\n");
}

static void
print_limits(struct buf *out)
{
	buf_put_z(out, "[limits]\n");
	for (size_t i = 0; i < limit_rows_count; i++) {
		const struct limit_row *row = &limit_rows[i];

		print_comment(out, row->text);
		buf_printf(out, "# %s = %lld\n", row->name, (long long)row->value);
	}
}

void
settings_print_default(struct buf *out)
{
	print_comment(out,
	    "The configuration of a Posthouse mail server: how the house is run. Who lives in it (domains, accounts, "
	    "aliases) is "
	    "managed with `posthouse domain`, `posthouse account` and `posthouse alias`. What is commented out has its "
	    "default, which is shown.");
	for (size_t i = 0; i < section_rows_count; i++) {
		const struct section_row *s = &section_rows[i];

		buf_put_z(out, "\n");
		print_comment(out, s->text);
		if (strcmp(s->kind, "limits") == 0) {
			print_limits(out);
			continue;
		}
		buf_printf(out, s->named ? "# [%s NAME]\n" : "[%s]\n", s->kind);
		for (size_t j = 0; j < setting_rows_count; j++)
			if (strcmp(setting_rows[j].kind, s->kind) == 0) {
				print_comment(out, setting_rows[j].text);
				buf_printf(out, "# %s =%s%s\n", setting_rows[j].key,
				    setting_rows[j].value[0] == '\0' ? "" : " ", setting_rows[j].value);
			}
	}
}

static bool
is_default(struct slice kind, const struct ini_entry *e)
{
	const struct setting_row *row = setting_find(kind, e->key);

	if (row != NULL)
		return slice_eq(e->value, slice_z(row->value));
	for (size_t i = 0; i < limit_rows_count; i++)
		if (slice_eq(e->key, slice_z(limit_rows[i].name))) {
			uint64_t v;

			return slice_to_u64(e->value, INT64_MAX, &v) == 0 && (int64_t)v == limit_rows[i].value;
		}
	return false;
}

int
settings_print_diff(struct slice text, struct buf *out, struct buf *detail)
{
	struct arena a ARENA_CLEANUP;
	struct settings *s;
	struct ini ini;
	int err = settings_parse(&s, text, detail);

	arena_init(&a, 8u << 20);
	if (err != 0)
		return err;
	settings_free(&s);
	err = ini_parse(text, &a, &ini, detail);
	for (size_t i = 0; err == 0 && i < ini.n; i++) {
		const struct ini_section *in = &ini.sections[i];
		bool named = in->name.n > 0, headed = named;

		if (named)
			buf_printf(out, "[%.*s %.*s]\n", SLICE_ARG(in->kind), SLICE_ARG(in->name));
		for (size_t j = 0; j < in->n; j++) {
			if (is_default(in->kind, &in->entries[j]))
				continue;
			if (!headed)
				buf_printf(out, "[%.*s]\n", SLICE_ARG(in->kind));
			headed = true;
			buf_printf(
			    out, "%.*s = %.*s\n", SLICE_ARG(in->entries[j].key), SLICE_ARG(in->entries[j].value));
		}
	}
	return err == 0 ? out->err : err;
}

/* ---- reloading --------------------------------------------------------------------------------------- */

static bool
same_listeners(const struct settings *a, const struct settings *b)
{
	if (a->listeners_count != b->listeners_count)
		return false;
	for (size_t i = 0; i < a->listeners_count; i++) {
		const struct listen_settings *x = &a->listeners[i], *y = &b->listeners[i];

		if (!slice_eq(x->name, y->name) || x->service != y->service || !slice_eq(x->address, y->address) ||
		    x->port != y->port)
			return false;
	}
	return true;
}

/* The vault has read the passwords once. */
static bool
same_relays(const struct settings *a, const struct settings *b)
{
	bool same = a->relays_count == b->relays_count;

	for (size_t i = 0; same && i < a->relays_count; i++)
		same = slice_eq(a->relays[i].name, b->relays[i].name) &&
		    slice_eq(a->relays[i].password_file, b->relays[i].password_file);
	return same;
}

int
settings_may_reload(const struct settings *old, const struct settings *fresh, struct buf *detail)
{
	size_t before = detail->n;

	if (!slice_eq(old->data_dir, fresh->data_dir))
		buf_put_z(detail, "data_dir has changed: restart the house\n");
	if (!slice_eq(old->user_prefix, fresh->user_prefix))
		buf_put_z(detail, "user_prefix has changed: restart the house\n");
	if (old->test_clock != fresh->test_clock)
		buf_put_z(detail, "test_clock has changed: restart the house\n");
	if (old->gates != fresh->gates || old->porches != fresh->porches || old->desks != fresh->desks ||
	    old->couriers != fresh->couriers)
		buf_put_z(detail, "the number of processes has changed: restart the house\n");
	if (!same_relays(old, fresh))
		buf_put_z(detail, "[relay] sections have changed: restart the house\n");
	if (!settings_has_sources(old) && settings_has_sources(fresh))
		buf_put_z(detail, "addresses to send from (bind) are new: restart the house\n");
	if (!slice_eq(old->send_ca_file, fresh->send_ca_file))
		buf_put_z(detail, "ca_file has changed: restart the house\n");
	if (!same_listeners(old, fresh))
		buf_put_z(detail, "[listen] sections have changed: restart the house\n");
	if (old->limits.bus_message_bytes != fresh->limits.bus_message_bytes)
		buf_put_z(detail, "bus_message_bytes has changed: restart the house\n");
	return detail->n > before || detail->err != 0 ? ERR_INVALID : 0;
}
