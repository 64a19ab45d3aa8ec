/* charset.h: from any charset to UTF-8. us-ascii, utf-8, iso-8859-1 and windows-1252 are built in; the others go
 * through iconv, which needs more stack than a fiber has and opens files the first time: so every caller says where
 * it runs, and a role calls charset_warm() before its sandbox closes. */
#ifndef MESSAGE_CHARSET_H
#define MESSAGE_CHARSET_H

#include "base/buf.h"

enum charset_place {
	CHARSET_FIBER,  /* on a fiber's stack: built-in charsets only; others fall back as if unknown */
	CHARSET_THREAD, /* in a worker thread or on the command line: all of them */
};

/* Appends `in`, converted, to `out`: always valid UTF-8; what cannot be converted becomes U+FFFD. Names are matched
 * without regard to case, with common aliases. An unknown, empty or lying name (claims utf-8 or us-ascii and is
 * not): UTF-8 if the bytes are that, else windows-1252. 0: converted as declared; ERR_UNSUPPORTED: fell back
 * because the name is not known here; ERR_INVALID: some bytes were replaced or the name lied; or out->err. In all
 * cases but the last the output is usable. */
int charset_to_utf8(struct slice name, struct slice in, enum charset_place place, struct buf *out);
/* As an unknown charset. */
void charset_guess_to_utf8(struct slice in, struct buf *out);
/* Copies valid UTF-8 and replaces what is not by U+FFFD. */
void charset_clean_utf8(struct slice in, struct buf *out);
/* Is the name known at all (so that IMAP's SEARCH CHARSET may answer BADCHARSET)? */
bool charset_is_known(struct slice name);
/* True if the fiber-safe path converts it. */
bool charset_is_builtin(struct slice name);
/* The preferred MIME name, static, e.g. "iso-8859-1" for "latin1"; NULL if unknown. */
const char *charset_canonical(struct slice name);

/* Keeps the converters of all offered charsets open, so that no file is opened later. One a process. */
struct charset_warmth;
/* *missing is how many offered charsets this libc does not have. NULL when out of memory. */
struct charset_warmth *charset_warm(size_t *missing);
void charset_cool(struct charset_warmth *w);

#endif
