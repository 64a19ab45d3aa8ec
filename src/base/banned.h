/* banned.h: force-included in every file. Functions that have no place in a mail server do not
 * compile; time and randomness come only from struct house (base/house.h), which reads the clock through the one
 * wrapper below. System headers come first, so that the
 * macros do not hit their own declarations. */
#ifndef POSTHOUSE_BANNED_H
#define POSTHOUSE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The one door to the clock, for base/house.c alone. */
static inline int
house_clock_gettime(clockid_t id, struct timespec *ts)
{
	return clock_gettime(id, ts);
}

/* Function-like, so that a field or a variable may still be called `time`. */
#define BANNED(name) banned_function_##name
#undef strcpy
#define strcpy(...) BANNED(strcpy)
#undef strcat
#define strcat(...) BANNED(strcat)
#undef strncpy
#define strncpy(...) BANNED(strncpy)
#undef strncat
#define strncat(...) BANNED(strncat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef gets
#define gets(...) BANNED(gets)
#undef strtok
#define strtok(...) BANNED(strtok)
#undef alloca
#define alloca(...) BANNED(alloca)
#undef atoi
#define atoi(...) BANNED(atoi)
#undef atol
#define atol(...) BANNED(atol)
#undef atoll
#define atoll(...) BANNED(atoll)
#undef atof
#define atof(...) BANNED(atof)
#undef sscanf
#define sscanf(...) BANNED(sscanf)
#undef time
#define time(...) BANNED(time)
#undef gettimeofday
#define gettimeofday(...) BANNED(gettimeofday)
#undef clock_gettime
#define clock_gettime(...) BANNED(clock_gettime)
#undef localtime
#define localtime(...) BANNED(localtime)
#undef gmtime
#define gmtime(...) BANNED(gmtime)
#undef ctime
#define ctime(...) BANNED(ctime)
#undef asctime
#define asctime(...) BANNED(asctime)
#undef mktime
#define mktime(...) BANNED(mktime)
#undef rand
#define rand(...) BANNED(rand)
#undef srand
#define srand(...) BANNED(srand)
#undef random
#define random(...) BANNED(random)
#undef srandom
#define srandom(...) BANNED(srandom)
#undef drand48
#define drand48(...) BANNED(drand48)
#undef rand_r
#define rand_r(...) BANNED(rand_r)
#undef tmpnam
#define tmpnam(...) BANNED(tmpnam)
#undef tempnam
#define tempnam(...) BANNED(tempnam)
#undef mktemp
#define mktemp(...) BANNED(mktemp)
#undef system
#define system(...) BANNED(system)
#undef popen
#define popen(...) BANNED(popen)

#endif
