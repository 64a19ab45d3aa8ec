/* zone_file.c: a zone read from a file (zone_reader.c), kept by name, and the answers out of it. */
#include "trust/zone_file.h"

#include "base/map.h"
#include "rt/net.h"
#include "trust/zone_reader.h"

#include <netinet/in.h>

#define NAMES_MAX 1000000u
#define ARENA_BYTES (ZONE_FILE_BYTES_MAX * 8u)
#define ALIASES_MAX 16 /* CNAMEs after each other */
#define NAME_BYTES_MAX 253

struct zone_record {
	struct zone_record *next;
	enum trust_dns_type type;
	struct trust_record r;
};

struct zone_name {
	struct zone_record *first, *last;
	bool fails;       /* what it has not got cannot be asked now */
	unsigned failing; /* bit N: nor can the type known[N] */
};

struct zone_file {
	struct arena arena;
	struct map names; /* struct zone_name, lower case; each with all its parents */
};

static const enum trust_dns_type known[] = {
    TRUST_DNS_A, TRUST_DNS_CNAME, TRUST_DNS_PTR, TRUST_DNS_MX, TRUST_DNS_TXT, TRUST_DNS_AAAA};

/* ---- answers --------------------------------------------------------------------------------------------- */

static unsigned
bit_of(enum trust_dns_type type)
{
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (known[i] == type)
			return 1u << i;
	return 0;
}

/* The name, or the wildcard below its closest parent that exists (RFC 4592 §3.3.1), or NULL. */
static struct zone_name *
find(const struct zone_file *z, struct slice name)
{
	struct zone_name *found = map_get(&z->names, name);

	while (found == NULL && name.n > 0) {
		uint8_t wild[NAME_BYTES_MAX + 2] = "*.";

		(void)slice_cut(&name, '.');
		if (name.n == 0)
			return map_get(&z->names, SLICE("*"));
		if (map_get(&z->names, name) == NULL)
			continue;
		memcpy(wild + 2, name.p, name.n);
		return map_get(&z->names, slice_of(wild, name.n + 2));
	}
	return found;
}

static int
records_of(const struct zone_name *n, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	struct trust_record *v;
	size_t count = 0;

	for (const struct zone_record *r = n->first; r != NULL; r = r->next)
		count += r->type == type;
	if (count == 0)
		return 0;
	v = ARENA_ARRAY(a, struct trust_record, count);
	if (v == NULL)
		return ERR_NOMEM;
	count = 0;
	for (const struct zone_record *r = n->first; r != NULL; r = r->next)
		if (r->type == type)
			v[count++] = r->r;
	*out = (struct trust_answer){.status = TRUST_DNS_FOUND, .v = v, .n = count};
	return 0;
}

static const struct zone_record *
alias_of(const struct zone_name *n)
{
	const struct zone_record *r = n->first;

	while (r != NULL && r->type != TRUST_DNS_CNAME)
		r = r->next;
	return r;
}

static int
query(void *of, struct slice name, enum trust_dns_type type, struct arena *a, struct trust_answer *out)
{
	const struct zone_file *z = of;
	uint8_t lower[NAME_BYTES_MAX];

	ASSERT(name.n <= sizeof(lower));
	for (size_t i = 0; i < name.n; i++)
		lower[i] = ascii_lower(slice_at(name, i));
	name = slice_of(lower, name.n);
	*out = (struct trust_answer){.status = TRUST_DNS_TEMPORARY};
	for (int i = 0; i < ALIASES_MAX; i++) {
		const struct zone_name *n = find(z, name);
		const struct zone_record *alias;
		int e;

		if (n == NULL)
			out->status = TRUST_DNS_NO_NAME;
		if (n == NULL || (n->failing & bit_of(type)) != 0)
			return 0;
		e = records_of(n, type, a, out);
		if (e != 0 || out->n > 0)
			return e;
		alias = alias_of(n);
		if (alias == NULL) {
			out->status = n->fails ? TRUST_DNS_TEMPORARY : TRUST_DNS_NO_DATA;
			return 0;
		}
		name = alias->r.data;
	}
	return 0;
}

struct trust_dns
zone_file_dns(struct zone_file *z)
{
	return (struct trust_dns){.query = query, .of = z};
}

/* ---- taking entries in ------------------------------------------------------------------------------------- */

/* The name, made together with those of its parents that are new. */
static int
name_of(struct zone_file *z, struct slice name, struct zone_name **out)
{
	*out = map_get(&z->names, name);
	for (struct slice rest = name; map_get(&z->names, rest) == NULL; (void)slice_cut(&rest, '.')) {
		struct zone_name *n = ARENA_NEW(&z->arena, struct zone_name);
		int e = n == NULL ? ERR_NOMEM : map_put(&z->names, rest, n);

		if (e != 0)
			return e;
		if (*out == NULL)
			*out = n;
	}
	return 0;
}

static int
add(struct zone_file *z, struct zone_name *n, enum trust_dns_type type, struct trust_record r)
{
	struct zone_record *record = ARENA_NEW(&z->arena, struct zone_record);

	if (record == NULL)
		return ERR_NOMEM;
	*record = (struct zone_record){.type = type, .r = r};
	if (n->last == NULL)
		n->first = record;
	else
		n->last->next = record;
	n->last = record;
	return 0;
}

static int
read_address(struct arena *a, enum trust_dns_type type, struct slice text, struct slice *out)
{
	struct net_address address;
	int e = net_address_parse(text, 0, &address);

	if (e != 0)
		return e;
	if (type == TRUST_DNS_A && address.sa.ss_family == AF_INET)
		*out = arena_copy(a, slice_of(&((struct sockaddr_in *)&address.sa)->sin_addr, 4));
	else if (type == TRUST_DNS_AAAA && address.sa.ss_family == AF_INET6)
		*out = arena_copy(a, slice_of(&((struct sockaddr_in6 *)&address.sa)->sin6_addr, 16));
	else
		return ERR_SYNTAX;
	return arena_failed(a) ? ERR_NOMEM : 0;
}

static int
read_mx(struct zone_reader *r, const struct zone_entry *entry, struct trust_record *out)
{
	uint64_t preference;

	if (entry->n != 2 || slice_to_u64(entry->v[0].text, UINT16_MAX, &preference) != 0)
		return zone_reader_fail(r, "MX takes a preference and a host, as \"MX 10 mail\"");
	out->preference = (uint16_t)preference;
	return zone_reader_name(r, entry->v[1], &out->data);
}

static int
read_txt(struct zone_file *z, const struct zone_entry *entry, struct slice *out)
{
	size_t n = 0, at = 0;
	uint8_t *p;

	for (size_t i = 0; i < entry->n; i++)
		n += entry->v[i].text.n;
	p = arena_alloc(&z->arena, n + 1);
	if (p == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < entry->n; i++) {
		struct slice s = entry->v[i].text;

		if (s.n > 0)
			memcpy(p + at, s.p, s.n);
		at += s.n;
	}
	*out = slice_of(p, n);
	return 0;
}

static int
take_record(struct zone_file *z, struct zone_reader *r, const struct zone_entry *entry, struct zone_name *n)
{
	struct trust_record record = {.data = SLICE_EMPTY};
	int e;

	switch (entry->type) {
	case TRUST_DNS_TXT:
		e = entry->n == 0 ? zone_reader_fail(r, "TXT without a text") : read_txt(z, entry, &record.data);
		break;
	case TRUST_DNS_MX: e = read_mx(r, entry, &record); break;
	case TRUST_DNS_PTR:
	case TRUST_DNS_CNAME:
		e = entry->n != 1 ? zone_reader_fail(r, "%s takes one name", trust_dns_type_name(entry->type))
				  : zone_reader_name(r, entry->v[0], &record.data);
		break;
	default:
		e = entry->n != 1 ? ERR_SYNTAX : read_address(&z->arena, entry->type, entry->v[0].text, &record.data);
		if (e == ERR_SYNTAX)
			e = zone_reader_fail(r, "%s takes one address", trust_dns_type_name(entry->type));
		break;
	}
	return e != 0 ? e : add(z, n, entry->type, record);
}

static int
take_entry(struct zone_file *z, struct zone_reader *r, const struct zone_entry *entry)
{
	struct zone_name *n;
	int e = name_of(z, entry->owner, &n);

	if (e != 0)
		return e == ERR_LIMIT ? zone_reader_fail(r, "more than %u names", NAMES_MAX) : e;
	switch (entry->kind) {
	case ZONE_RECORD: return take_record(z, r, entry, n);
	case ZONE_FAILS: n->fails = true; return 0;
	case ZONE_FAILS_FOR: n->failing |= bit_of(entry->type); return 0;
	case ZONE_OTHER: return 0;
	}
	return 0;
}

static int
read_all(struct zone_file *z, struct slice text, struct buf *detail)
{
	struct zone_reader r;
	struct zone_entry entry;
	int e;

	zone_reader_init(&r, text, &z->arena, detail);
	while ((e = zone_reader_next(&r, &entry)) == 0) {
		e = take_entry(z, &r, &entry);
		if (e != 0)
			return e;
	}
	return e == ERR_NOTFOUND ? 0 : e;
}

int
zone_file_new(struct zone_file **out, struct slice text, struct buf *detail)
{
	struct zone_file *z;
	int e;

	*out = NULL;
	if (text.n > ZONE_FILE_BYTES_MAX)
		return ERR_LIMIT;
	z = calloc(1, sizeof(*z));
	if (z == NULL)
		return ERR_NOMEM;
	arena_init(&z->arena, ARENA_BYTES);
	/* The file is the operator's own: nobody chooses collisions. */
	map_init(&z->names, NAMES_MAX, 1);
	text = arena_copy(&z->arena, text);
	e = arena_failed(&z->arena) ? ERR_NOMEM : read_all(z, text, detail);
	if (e != 0)
		zone_file_free(&z);
	*out = z;
	return e;
}

void
zone_file_free(struct zone_file **z)
{
	if (*z == NULL)
		return;
	map_free(&(*z)->names);
	arena_free(&(*z)->arena);
	free(*z);
	*z = NULL;
}
