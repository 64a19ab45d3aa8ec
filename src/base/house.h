/* house.h: what a process of the house knows of itself: clock, randomness, log, limits. Time and
 * randomness come only from here, so that a test house can be advanced by days and replayed. There is
 * one struct house a process (tests may have many); it is shared by the threads of the process. */
#ifndef BASE_HOUSE_H
#define BASE_HOUSE_H

#include "base/limits.h"
#include "base/slice.h"

#include <stdatomic.h>

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

#define HOUSE_MAGIC 0x686f7573u
#define ULID_LEN 26

struct house {
	uint32_t magic;
	const char *role; /* "keeper", "gate", …; static string */
	int index;        /* which of several processes of that role */
	struct limits limits;
	_Atomic int64_t clock_offset_us; /* what the test clock has been advanced by */
	_Atomic uint64_t random_seed;    /* 0: the kernel's randomness; else a replayable sequence */
	_Atomic uint64_t
	    ulid_last; /* milliseconds and a count within them: ids of one process sort by time of making */
	enum log_level log_level;
	enum log_format log_format;
	int log_fd; /* whole lines are written here; 2 by default */
};

/* A house with default limits, the real clock and a text log on stderr. */
void house_init(struct house *h, const char *role);

/* Wall clock, microseconds since 1970 UTC, the test clock's advance included. */
int64_t house_now_us(const struct house *h);
static inline int64_t
house_now_ms(const struct house *h)
{
	return house_now_us(h) / 1000;
}
static inline int64_t
house_now_s(const struct house *h)
{
	return house_now_us(h) / 1000000;
}
/* Monotonic clock in milliseconds for deadlines; the test clock does not touch it. */
int64_t house_mono_ms(const struct house *h);
int64_t house_mono_us(const struct house *h);
void house_clock_advance(struct house *h, int64_t us);

/* n unpredictable bytes. Never fails: without entropy the process traps. */
void house_random(struct house *h, void *out, size_t n);
uint64_t house_random_u64(struct house *h);
/* Uniform in 0..bound-1; bound > 0. */
uint64_t house_random_below(struct house *h, uint64_t bound);

/* A fresh ULID: 26 characters of Crockford base 32 (48 bits of milliseconds, 16 that count within one, 64 random bits)
 * and a NUL. Later ones of a process sort behind earlier ones, also when the clock goes back. */
void house_ulid(struct house *h, char out[ULID_LEN + 1]);
/* True if the slice has the form of a ULID (upper case). */
bool ulid_is_valid(struct slice s);

/* RFC 3339 in UTC with milliseconds, "2026-11-22T02:42:26.123Z" and a NUL, of house_now_us() values. */
#define RFC3339_MAX 32
void time_rfc3339(int64_t us, char out[RFC3339_MAX]);
/* Civil UTC fields of seconds since 1970. */
struct civil_time {
	int64_t year;
	int month, day;           /* 1..12, 1..31 */
	int hour, minute, second; /* 0..23, 0..59, 0..60 */
	int weekday;              /* 0 is Sunday */
};
void time_to_civil(int64_t s, struct civil_time *out);
int64_t time_from_civil(const struct civil_time *c); /* ignores weekday */

#endif
