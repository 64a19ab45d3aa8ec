#include "role/clerk_health.h"

#include "role/settings.h"

#include <stdarg.h>

#define RESTART_SOON_S 900 /* a restart is told for so long */
#define JUMP_SOON_S 86400  /* and a jump of the clock */
#define DAY_S 86400
#define SILENT_QUEUE_S 600 /* something is overdue for so long, and nothing is attempted */
#define NEARLY_FACTOR 5    /* the disk is nearly full with less than so many times the least */
#define NEARLY_PERCENT 5
#define NEARLY_BYTES_MAX ((int64_t)20 << 30)
#define DNS_SOME 5
#define DNS_SOME_S 120
#define DNS_MANY 20
#define DNS_MANY_S 300
#define CERTIFICATE_LAST_S (3 * DAY_S)
#define TEXT_BYTES_MAX 4096

static int64_t
number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* a * b for factors that are not negative; the most that there is where that is too much. */
static int64_t
times(int64_t a, int64_t b)
{
	int64_t out;

	return __builtin_mul_overflow(a, b, &out) ? INT64_MAX : out;
}

/* a - b, at most a thousand years either way. */
static int64_t
seconds_between(int64_t a, int64_t b)
{
	const int64_t max = INT64_C(1000) * 366 * DAY_S;
	int64_t out;

	if (__builtin_sub_overflow(a, b, &out))
		return a < b ? -max : max;
	return out > max ? max : out < -max ? -max : out;
}

/* ---- a problem ---------------------------------------------------------------------------------------- */

static void add(json_t *problems, enum bus_health level, const char *problem, const char *todo, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

static void
add(json_t *problems, enum bus_health level, const char *problem, const char *todo, const char *fmt, ...)
{
	char what[TEXT_BYTES_MAX];
	json_t *o;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	o = json_pack(
	    "{s:s, s:s, s:s, s:s}", "problem", problem, "level", health_word(level), "what", what, "do", todo);
	/* Text that is no UTF-8 makes no string; what our rows hold was JSON. */
	if (o != NULL)
		(void)json_array_append_new(problems, o);
}

/* "3 days", "20 minutes", "5 seconds" */
static const char *
span(int64_t s, char out[48])
{
	const char *unit = s >= 2 * DAY_S ? "days" : s >= 7200 ? "hours" : s >= 120 ? "minutes" : "seconds";
	int64_t size = s >= 2 * DAY_S ? DAY_S : s >= 7200 ? 3600 : s >= 120 ? 60 : 1;

	(void)snprintf(out, 48, "%lld %s", (long long)(s / size), unit);
	return out;
}

static const char *
bytes_text(int64_t n, char out[48])
{
	if (n >= (int64_t)10 << 30)
		(void)snprintf(out, 48, "%lld GB", (long long)(n >> 30));
	else
		(void)snprintf(out, 48, "%lld MB", (long long)(n >> 20));
	return out;
}

/* ---- what can be wrong --------------------------------------------------------------------------------- */

static void
judge_process(json_t *problems, const json_t *row, const char *role)
{
	const json_t *counters = json_object_get(row, "counters"), *up_s = json_object_get(row, "up_seconds");
	long long index = number(row, "index"), restarts = number(row, "restarts");
	int64_t files = number(counters, "open_files"), max = number(counters, "open_files_max");
	char text[48];

	if (!json_is_true(json_object_get(row, "ready")))
		add(problems, HEALTH_CRITICAL, "role_down",
		    "The keeper starts it again by itself. If that does not help, its last lines in the log tell why "
		    "it ends.",
		    "the %s (process %lld) is down: it is being started", role, index);
	else if (!json_is_true(json_object_get(row, "up")))
		add(problems, HEALTH_CRITICAL, "role_silent",
		    "Look at its last lines in the log. If it stays so, kill it by its pid (`posthouse status`): the "
		    "keeper "
		    "starts it again, and no mail is lost.",
		    "the %s (process %lld) does not answer", role, index);
	else if (restarts > 0 && json_is_integer(up_s) && json_integer_value(up_s) < RESTART_SOON_S)
		add(problems, HEALTH_WARNING, "role_restarted",
		    "The log has why it ended (role_died, role_ended, and above it a backtrace). Please report a "
		    "crash.",
		    "the %s (process %lld) was started again %s ago; %lld times in all", role, index,
		    span(json_integer_value(up_s), text), restarts);
	if (max > 0 && files > max / 5 * 4)
		add(problems, HEALTH_WARNING, "files_nearly_used",
		    "Raise LimitNOFILE of the service, or find out which clients hold so many sessions.",
		    "the %s (process %lld) has %lld of %lld descriptors open", role, index, (long long)files,
		    (long long)max);
}

static void
judge_queue(json_t *problems, const json_t *queue, const struct health_facts *f)
{
	int64_t overdue_s = number(queue, "overdue_seconds");
	char text[48];

	if (overdue_s >= SILENT_QUEUE_S && number(queue, "attempts_running") == 0)
		add(problems, HEALTH_CRITICAL, "queue_stuck",
		    "Look at `posthouse queue list` and `posthouse queue sites`, and in the log for errors of the "
		    "clerk, the desks "
		    "and the couriers.",
		    "the queue stands still: a delivery is overdue by %s, and none is under way",
		    span(overdue_s, text));
	else if (overdue_s >= f->limits->watch_queue_ms / 1000)
		add(problems, HEALTH_WARNING, "queue_behind",
		    "`posthouse queue sites` shows which servers are slow; `posthouse queue list` who sends so much.",
		    "the queue is behind: a delivery is overdue by %s; %lld recipients wait", span(overdue_s, text),
		    (long long)number(queue, "recipients_waiting"));
}

static void
judge_storage(json_t *problems, const json_t *storage, const char *area, const struct health_facts *f)
{
	int64_t free_bytes = number(storage, "bytes_free"), size = number(storage, "bytes");
	int64_t share = size / 100 * NEARLY_PERCENT, nearly = times(f->limits->low_disk_bytes, NEARLY_FACTOR);
	int64_t files = number(storage, "files_free");
	bool fixed = json_object_get(storage, "files_free") != NULL;
	char text[48];

	if (size <= 0)
		return;
	share = share > NEARLY_BYTES_MAX ? NEARLY_BYTES_MAX : share;
	nearly = nearly < share ? share : nearly;
	if (free_bytes < f->limits->low_disk_bytes || (fixed && files < f->limits->low_disk_files))
		add(problems, HEALTH_CRITICAL, "disk_low",
		    "Free space, or make the disk larger: nothing is lost meanwhile, but mail waits outside. `df -h` "
		    "and `df -i` "
		    "tell which disk it is.",
		    "the disk with the %s is full: %s and %lld files are left; new mail is asked to come again (452 "
		    "4.3.1)",
		    area, bytes_text(free_bytes, text), (long long)(fixed ? files : 0));
	else if (free_bytes < nearly || (fixed && files < times(f->limits->low_disk_files, NEARLY_FACTOR)))
		add(problems, HEALTH_WARNING, "disk_nearly_full", "Make room before mail has to wait outside.",
		    "the disk with the %s is nearly full: %s are left", area, bytes_text(free_bytes, text));
}

static void
judge_certificates(json_t *problems, const json_t *expire, const struct health_facts *f)
{
	const char *name;
	json_t *v;
	char text[48];

	json_object_foreach((json_t *)(uintptr_t)expire, name, v)
	{
		int64_t left_s = seconds_between(json_integer_value(v), f->now_s);

		if (!json_is_integer(v) || left_s >= times(f->limits->watch_certificate_days, DAY_S))
			continue;
		add(problems, left_s < CERTIFICATE_LAST_S ? HEALTH_CRITICAL : HEALTH_WARNING, "certificate_expires",
		    "Renew it, put it where [tls NAME] says, and run `posthouse reload`.",
		    left_s > 0 ? "the certificate for %.200s expires in %s"
			       : "the certificate for %.200s has expired, %s ago",
		    name, span(left_s < 0 ? -left_s : left_s, text));
	}
}

static void
judge_dns(json_t *problems, const json_t *counters, const char *role)
{
	int64_t n = number(counters, "dns_failing"), s = number(counters, "dns_failing_seconds");
	bool dead = n >= DNS_MANY && s >= DNS_MANY_S;
	char text[48];

	if (!dead && (n < DNS_SOME || s < DNS_SOME_S))
		return;
	add(problems, dead ? HEALTH_CRITICAL : HEALTH_WARNING, dead ? "dns_dead" : "dns_fails",
	    "Look whether the servers of [dns] (or of /etc/resolv.conf) answer this machine: `dig example.org MX`.",
	    "the %s gets no answers from the DNS since %s: %lld questions in a row failed", role, span(s, text),
	    (long long)n);
}

static void
judge_backup(json_t *problems, const struct health_facts *f)
{
	int64_t max_s = times(f->limits->watch_backup_days, DAY_S);
	char text[48];

	if (max_s == 0)
		return;
	if (f->backup_s > 0 && f->now_s - f->backup_s > max_s)
		add(problems, HEALTH_WARNING, "backup_old",
		    "Look why it is not made any more: `systemctl list-timers`, and run `posthouse backup DEST` by "
		    "hand.",
		    "the last backup is %s old", span(f->now_s - f->backup_s, text));
	else if (f->backup_s == 0 && f->begin_s > 0 && f->now_s - f->begin_s > max_s)
		add(problems, HEALTH_WARNING, "backup_none",
		    "Make one with `posthouse backup DEST`, and let the timer posthouse-backup@ make one each night.",
		    "there has never been a backup, and the house is %s old", span(f->now_s - f->begin_s, text));
}

static void
judge_clock(json_t *problems, const struct health_facts *f)
{
	char by[48], ago[48];

	if (f->jump_s == 0 || f->now_s - f->jumped_at_s > JUMP_SOON_S)
		return;
	add(problems, HEALTH_WARNING, "clock_jumped",
	    "Look whether the time is right (`timedatectl`). Retries, expiries and dates of messages go by it.",
	    "the clock of this machine was set %s by %s, %s ago", f->jump_s > 0 ? "forward" : "back",
	    span(f->jump_s < 0 ? -f->jump_s : f->jump_s, by),
	    span(f->now_s > f->jumped_at_s ? f->now_s - f->jumped_at_s : 0, ago));
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static void
judge_row(json_t *problems, const json_t *row, const struct health_facts *f)
{
	const char *role = json_string_value(json_object_get(row, "role"));
	const json_t *counters = json_object_get(row, "counters"), *storage = json_object_get(counters, "storage");

	if (role == NULL || strcmp(role, "keeper") == 0)
		return;
	judge_process(problems, row, role);
	if (strcmp(role, "clerk") == 0) {
		judge_storage(problems, storage, "queue", f);
		judge_queue(problems, json_object_get(counters, "queue"), f);
	} else if (strcmp(role, "desk") == 0 && number(row, "index") == 0) {
		judge_storage(problems, storage, "accounts", f);
	} else if (strcmp(role, "vault") == 0) {
		judge_certificates(problems, json_object_get(counters, "certificates_expire"), f);
	}
	judge_dns(problems, counters, role);
}

/* The critical ones first, else in the order in which they were found. */
static json_t *
worst_first(json_t *problems)
{
	json_t *sorted = json_array(), *p;
	size_t i;

	for (int level = HEALTH_CRITICAL; level > HEALTH_FINE; level--)
		json_array_foreach(problems, i, p)
		{
			const char *word = json_string_value(json_object_get(p, "level"));

			if (strcmp(word, health_word((enum bus_health)level)) == 0)
				(void)json_array_append(sorted, p);
		}
	json_decref(problems);
	return sorted;
}

json_t *
health_judge(const json_t *rows, const struct health_facts *f)
{
	json_t *problems = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++)
		judge_row(problems, json_array_get(rows, i), f);
	judge_backup(problems, f);
	judge_clock(problems, f);
	return worst_first(problems);
}

enum bus_health
health_level(const json_t *problems)
{
	const char *worst = json_string_value(json_object_get(json_array_get(problems, 0), "level"));

	return worst == NULL ? HEALTH_FINE : strcmp(worst, "critical") == 0 ? HEALTH_CRITICAL : HEALTH_WARNING;
}

const char *
health_word(enum bus_health level)
{
	return level == HEALTH_CRITICAL ? "critical" : level == HEALTH_WARNING ? "warning" : "fine";
}

void
health_line(const json_t *problems, struct buf *out)
{
	const json_t *worst = json_array_get(problems, 0);
	size_t more = json_array_size(problems);

	if (more == 0) {
		buf_put_z(out, "fine");
		return;
	}
	buf_printf(out, "%s: %s", json_string_value(json_object_get(worst, "level")),
	    json_string_value(json_object_get(worst, "what")));
	if (more > 1)
		buf_printf(out, " (and %zu more)", more - 1);
}
