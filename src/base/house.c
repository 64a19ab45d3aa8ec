/* house.c: the only place that reads a clock or the kernel's randomness. */
#include "base/house.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

void
house_init(struct house *h, const char *role)
{
	memset(h, 0, sizeof(*h));
	h->magic = HOUSE_MAGIC;
	h->role = role;
	h->log_level = LOG_INFO;
	h->log_fd = STDERR_FILENO;
	limits_default(&h->limits);
}

static int64_t
clock_us(clockid_t id)
{
	struct timespec ts;

	ASSERT(house_clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
house_now_us(const struct house *h)
{
	return clock_us(CLOCK_REALTIME) + atomic_load_explicit(&h->clock_offset_us, memory_order_relaxed);
}

int64_t
house_mono_us(const struct house *h)
{
	(void)h;
	return clock_us(CLOCK_MONOTONIC);
}

int64_t
house_mono_ms(const struct house *h)
{
	return house_mono_us(h) / 1000;
}

void
house_clock_advance(struct house *h, int64_t us)
{
	atomic_fetch_add(&h->clock_offset_us, us);
}

/* splitmix64: only for replayable tests. */
static uint64_t
seeded_next(struct house *h)
{
	uint64_t z = atomic_fetch_add(&h->random_seed, 0x9e3779b97f4a7c15ull) + 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Bytes of the kernel that nobody has used yet, so that each id does not cost a call. What is used is wiped here; what
 * may be a key is more than POOL_SERVES bytes and comes from the kernel itself. A child of fork() starts with none. */
#define POOL_BYTES 256
#define POOL_SERVES 24
struct pool {
	unsigned process; /* `forks` when it was filled */
	size_t left;
	uint8_t p[POOL_BYTES];
};
/* file scope: forks belong to the process, and the pool to the thread, not to a house */
static _Thread_local struct pool pool;
static _Atomic unsigned forks;
static pthread_once_t forks_counted = PTHREAD_ONCE_INIT;

static void
count_fork(void)
{
	atomic_fetch_add(&forks, 1);
}

static void
count_forks(void)
{
	ASSERT(pthread_atfork(NULL, NULL, count_fork) == 0);
}

static void
kernel_random(uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = getrandom(p, n > 256 ? 256 : n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		ASSERT(got > 0);
		p += got;
		n -= (size_t)got;
	}
}

static void
pool_random(uint8_t *out, size_t n)
{
	uint8_t *from;

	if (pool.left < n || pool.process != atomic_load(&forks)) {
		ASSERT(pthread_once(&forks_counted, count_forks) == 0);
		kernel_random(pool.p, sizeof(pool.p));
		pool.left = sizeof(pool.p);
		pool.process = atomic_load(&forks);
	}
	pool.left -= n;
	from = pool.p + pool.left;
	memcpy(out, from, n);
	explicit_bzero(from, n);
}

void
house_random(struct house *h, void *out, size_t n)
{
	uint8_t *p = out;

	if (atomic_load(&h->random_seed) != 0) {
		while (n > 0) {
			uint64_t v = seeded_next(h);
			size_t step = n < sizeof(v) ? n : sizeof(v);

			memcpy(p, &v, step);
			p += step;
			n -= step;
		}
		return;
	}
	if (n <= POOL_SERVES)
		pool_random(p, n);
	else
		kernel_random(p, n);
}

uint64_t
house_random_u64(struct house *h)
{
	uint64_t v;

	house_random(h, &v, sizeof(v));
	return v;
}

uint64_t
house_random_below(struct house *h, uint64_t bound)
{
	uint64_t limit, v;

	ASSERT(bound > 0);
	limit = UINT64_MAX - UINT64_MAX % bound;
	do
		v = house_random_u64(h);
	while (v >= limit);
	return v % bound;
}

static const char ulid_digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
house_ulid(struct house *h, char out[ULID_LEN + 1])
{
	uint64_t last = atomic_load(&h->ulid_last), next, random = house_random_u64(h), ms, hi, lo;

	do {
		next = (uint64_t)house_now_ms(h) << 16;
		/* The same millisecond, or the clock went back: count on (into the next millisecond after 65536). */
		if (next <= last)
			next = last + 1;
	} while (!atomic_compare_exchange_weak(&h->ulid_last, &last, next));
	ms = next >> 16;
	hi = (next & 0xffff) << 24 | random >> 40;
	lo = random & 0xffffffffffull;
	for (int i = 9; i >= 0; i--) {
		out[i] = ulid_digits[ms & 31];
		ms >>= 5;
	}
	for (int i = 17; i >= 10; i--) {
		out[i] = ulid_digits[hi & 31];
		hi >>= 5;
	}
	for (int i = 25; i >= 18; i--) {
		out[i] = ulid_digits[lo & 31];
		lo >>= 5;
	}
	out[ULID_LEN] = 0;
}

bool
ulid_is_valid(struct slice s)
{
	if (s.n != ULID_LEN || s.p[0] > '7')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == 0 || strchr(ulid_digits, s.p[i]) == NULL)
			return false;
	return true;
}

/* Days from civil and back: Howard Hinnant's algorithms for the proleptic Gregorian calendar. */
int64_t
time_from_civil(const struct civil_time *c)
{
	int64_t y = c->year - (c->month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	int64_t days = era * 146097 + doe - 719468;

	return days * 86400 + c->hour * 3600 + c->minute * 60 + c->second;
}

void
time_to_civil(int64_t s, struct civil_time *out)
{
	int64_t days = s >= 0 ? s / 86400 : -((86399 - s) / 86400);
	int64_t left = s - days * 86400;
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	out->year = yoe + era * 400 + (out->month <= 2);
	out->hour = (int)(left / 3600);
	out->minute = (int)(left / 60 % 60);
	out->second = (int)(left % 60);
	out->weekday = (int)(((days + 4) % 7 + 7) % 7);
}

void
time_rfc3339(int64_t us, char out[RFC3339_MAX])
{
	struct civil_time c;
	int64_t s = us >= 0 ? us / 1000000 : -((999999 - us) / 1000000);

	time_to_civil(s, &c);
	if (c.year < 0 || c.year > 9999)
		c.year = c.year < 0 ? 0 : 9999;
	(void)snprintf(out, RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)c.year % 10000, c.month % 100,
	    c.day % 100, c.hour % 100, c.minute % 100, c.second % 100, (int)((us - s * 1000000) / 1000) % 1000);
}
