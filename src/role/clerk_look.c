/* clerk_look.c: a look at the whole house: all processes as the keeper knows them, each with the counters that it tells of itself. They
 * are asked all at once, so that one that hangs is waited for once, and the others do not wait for each other. */
#include "role/clerk_private.h"

#define LOOK_MS 5000
#define STATUS_BYTES ((size_t)1 << 20)

struct asking {
	struct clerk *k;
	json_t *row;
	enum bus_role role;
	struct fiber *fiber;
};

static json_t *
parse(struct slice text)
{
	return json_loadb((const char *)text.p, text.n, 0, NULL);
}

static enum bus_role
role_named(const char *name)
{
	for (unsigned r = ROLE_KEEPER; name != NULL && r <= ROLE_READER; r <<= 1)
		if (strcmp(bus_role_name((enum bus_role)r), name) == 0)
			return (enum bus_role)r;
	return ROLE_ANY;
}

/* The role's own counters, asked over its link, or our own. NULL when it does not answer. */
static json_t *
counters_of(struct clerk *k, enum bus_role role, int index)
{
	struct bus_role_status_request q;
	struct bus_role_status_reply rep = {0};
	struct arena a ARENA_CLEANUP;

	arena_init(&a, STATUS_BYTES);
	memset(&q, 0, sizeof(q));
	if (role == ROLE_CLERK) {
		json_t *own = json_object();

		role_clerk_ops.status(k->c, own);
		process_status(own);
		return own;
	}
	if (bus_peer(k->c->bus, role, index) == NULL ||
	    BUS_CALL(k->c->bus, role, index, role_status, &q, &a, &rep, LOOK_MS) != 0)
		return NULL;
	return parse(rep.json);
}

static void
ask(void *arg)
{
	struct asking *x = arg;
	json_t *counters = counters_of(x->k, x->role, (int)json_integer_value(json_object_get(x->row, "index")));

	json_object_set_new(x->row, "answers", json_boolean(counters != NULL));
	if (counters != NULL)
		json_object_set_new(x->row, "counters", counters);
}

static void
ask_all(struct clerk *k, json_t *rows)
{
	size_t n = json_array_size(rows);
	struct asking *v = calloc(n + 1, sizeof(*v));

	for (size_t i = 0; v != NULL && i < n; i++) {
		json_t *row = json_array_get(rows, i);

		v[i] = (struct asking){
		    .k = k, .row = row, .role = role_named(json_string_value(json_object_get(row, "role")))};
		if (v[i].role == ROLE_ANY || v[i].role == ROLE_KEEPER)
			continue;
		if (fiber_start(k->c->loop, "look", ask, &v[i], &v[i].fiber) != 0)
			v[i].fiber = NULL;
	}
	for (size_t i = 0; v != NULL && i < n; i++)
		if (v[i].fiber != NULL)
			fiber_join(k->c->loop, &v[i].fiber);
	free(v);
}

int
clerk_look(struct clerk *k, json_t **rows)
{
	struct bus_keeper_status_request q;
	struct bus_keeper_status_reply rep = {0};
	struct arena a ARENA_CLEANUP;
	json_t *row;
	size_t i;
	int err;

	*rows = NULL;
	arena_init(&a, STATUS_BYTES);
	memset(&q, 0, sizeof(q));
	err = BUS_CALL(k->c->bus, ROLE_KEEPER, 0, keeper_status, &q, &a, &rep, LOOK_MS);
	if (err != 0)
		return err;
	*rows = parse(rep.json);
	if (*rows == NULL)
		return ERR_INVALID;
	ask_all(k, *rows);
	json_array_foreach(*rows, i, row)
	{
		const json_t *answers = json_object_get(row, "answers");

		json_object_set_new(
		    row, "up", json_boolean(json_is_true(json_object_get(row, "ready")) && !json_is_false(answers)));
	}
	return 0;
}
