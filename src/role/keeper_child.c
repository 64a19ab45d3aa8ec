/* keeper_child.c: one process over all its lives. A fiber for each starts it, waits for its end and starts it again within
 * a second; with longer pauses only when it has died young many times in a row; never for the last time while the house
 * runs. */
#include "role/keeper_private.h"

#include "bus/bus_table.h"

#include <signal.h>
#include <sys/wait.h>

#define READY_TIMEOUT_MS 60000
#define YOUNG_MS 10000
#define PAUSE_MIN_MS 50
#define PAUSE_SOON_MS 800 /* the longest for the first PAUSE_SOON_COUNT deaths in a row */
#define PAUSE_SOON_COUNT 20
#define PAUSE_MAX_MS 30000

const enum bus_role keeper_order[KEEPER_ROLES_COUNT] = {
    ROLE_VAULT, ROLE_READER, ROLE_CLERK, ROLE_DESK, ROLE_COURIER, ROLE_GATE, ROLE_PORCH};

size_t
keeper_role_place(enum bus_role role)
{
	size_t i = 0;

	while (i < KEEPER_ROLES_COUNT && keeper_order[i] != role)
		i++;
	ASSERT(i < KEEPER_ROLES_COUNT);
	return i;
}

struct child *
keeper_child(struct keeper *k, enum bus_role role, int index)
{
	for (size_t i = 0; i < k->children_n; i++)
		if (k->children[i].role == role && k->children[i].index == index)
			return &k->children[i];
	return NULL;
}

int
keeper_count(const struct keeper *k, enum bus_role role)
{
	int n = 0;

	for (size_t i = 0; i < k->children_n; i++)
		n += k->children[i].role == role;
	return n;
}

bool
keeper_roles_talk(enum bus_role a, enum bus_role b)
{
	if (a == b)
		return false;
	for (enum bus_type t = BUS_NONE + 1; t < BUS_TYPE_COUNT; t++) {
		const struct bus_message *m = bus_message(t);

		if (((m->from & a) != 0 && (m->to & b) != 0) || ((m->from & b) != 0 && (m->to & a) != 0))
			return true;
	}
	return false;
}

int
child_init(struct child *c, struct keeper *k, enum bus_role role, int index)
{
	*c = (struct child){.k = k, .role = role, .index = index};
	buf_init(&c->detail, 65536);
	waitq_init(&c->changed);
	return 0;
}

void
child_free(struct child *c)
{
	buf_free(&c->detail);
}

static void
log_end(struct child *c, int status)
{
	struct house *h = &c->k->house;
	int64_t lived = house_mono_ms(h) - c->started_ms;

	if (WIFSIGNALED(status) && !c->killed)
		LOG(h, ERROR, "role_died", LOG_Z("of", bus_role_name(c->role)), LOG_I("of_index", c->index),
		    LOG_I("pid", c->pid), LOG_I("signal", WTERMSIG(status)), LOG_I("lived_ms", lived));
	else if (WIFEXITED(status) && (WEXITSTATUS(status) != 0 || !c->k->stopping))
		LOG(h, ERROR, "role_ended", LOG_Z("of", bus_role_name(c->role)), LOG_I("of_index", c->index),
		    LOG_I("pid", c->pid), LOG_I("code", WEXITSTATUS(status)), LOG_I("lived_ms", lived));
}

void
child_reap(struct child *c, int status)
{
	log_end(c, status);
	c->pid = 0;
	c->ready = false;
	waitq_wake_all(&c->changed);
}

/* Until the process has said how its start went, or has ended. */
static void
wait_reported(struct child *c)
{
	struct keeper *k = c->k;
	int64_t deadline = loop_deadline(k->loop, READY_TIMEOUT_MS);

	while (c->pid > 0 && !c->reported) {
		if (waitq_wait(k->loop, &c->changed, deadline) == 0)
			continue;
		LOG(&k->house, ERROR, "role_not_ready", LOG_Z("of", bus_role_name(c->role)),
		    LOG_I("of_index", c->index), LOG_I("pid", c->pid));
		(void)kill(c->pid, SIGKILL);
		c->killed = true;
		break;
	}
	if (c->pid == 0 && !c->reported) {
		c->reported = true;
		c->result = ERR_UNAVAILABLE;
		buf_put_z(&c->detail, "the process ended before it was ready; its last log lines tell why");
	}
	c->ready = c->pid > 0 && c->result == 0;
	c->proved = c->proved || c->ready;
	if (c->ready)
		LOG(&k->house, INFO, "role_ready", LOG_Z("of", bus_role_name(c->role)), LOG_I("of_index", c->index),
		    LOG_I("pid", c->pid), LOG_I("restarts", c->restarts));
	waitq_wake_all(&c->changed);
}

static void
live_once(struct child *c)
{
	struct keeper *k = c->k;
	int err;

	c->reported = c->ready = c->killed = false;
	c->result = 0;
	buf_reset(&c->detail);
	c->started_ms = house_mono_ms(&k->house);
	c->since_us = house_now_us(&k->house);
	err = child_spawn(c);
	if (err != 0 && c->pid == 0) {
		LOG(&k->house, ERROR, "role_not_started", LOG_Z("of", bus_role_name(c->role)), LOG_E(err));
		c->reported = true;
		c->result = err;
		waitq_wake_all(&c->changed);
		return;
	}
	wait_reported(c);
	/* Deaf to nothing: its end is what wakes us, and it always comes. */
	while (c->pid > 0)
		if (waitq_wait(k->loop, &c->changed, DEADLINE_NEVER) != 0)
			break;
}

/* The pause before a start, after so many deaths in a row. */
static int64_t
next_pause(int64_t last_ms, int young)
{
	int64_t max = young <= PAUSE_SOON_COUNT ? PAUSE_SOON_MS : PAUSE_MAX_MS;

	if (young <= 1)
		return PAUSE_MIN_MS;
	return last_ms * 2 > max ? max : last_ms * 2;
}

static void
supervise(void *arg)
{
	struct child *c = arg;
	struct keeper *k = c->k;
	int64_t pause_ms = PAUSE_MIN_MS;
	int young = 0;

	while (!k->stopping) {
		live_once(c);
		/* A house that never came up says so instead of trying again. */
		if (!c->proved || k->stopping)
			break;
		young = house_mono_ms(&k->house) - c->started_ms >= YOUNG_MS ? 0 : young + 1;
		pause_ms = next_pause(pause_ms, young);
		c->restarts++;
		LOG(&k->house, WARN, "role_restarts", LOG_Z("of", bus_role_name(c->role)), LOG_I("of_index", c->index),
		    LOG_I("in_ms", pause_ms));
		if (fiber_sleep(k->loop, pause_ms) != 0)
			break;
	}
	c->ended = true;
	waitq_wake_all(&c->changed);
}

int
child_supervise(struct child *c)
{
	return fiber_start(c->k->loop, "supervise", supervise, c, &c->supervisor);
}
