/* charset.c: built-in conversion of the four charsets that most mail uses, iconv for the others. Which names are
 * offered is one table; glibc's stateful Chinese and Japanese extensions and the IBM sets, whose converters had memory
 * bugs, are left out on purpose. */
#include "message/charset.h"

#include <errno.h>
#include <iconv.h>

#define NAME_MAX 32

enum kind { KIND_ASCII, KIND_UTF8, KIND_1252, KIND_ICONV };

static const struct charset {
	const char *name; /* preferred MIME name */
	enum kind kind;
	const char *iconv;   /* glibc's name; a superset where mail says one thing and means another */
	const char *aliases; /* letters and digits only, between spaces */
} charsets[] = {
    {"utf-8", KIND_UTF8, NULL, " utf8 unicode11utf8 xutf8 "},
    {"us-ascii", KIND_ASCII, NULL, " usascii ascii ansix341968 ansix341986 iso646us ibm367 cp367 csascii isoir6 646 "},
    {"iso-8859-1", KIND_1252, NULL, " iso88591 latin1 l1 isoir100 csisolatin1 cp819 ibm819 iso885911987 88591 "},
    {"windows-1252", KIND_1252, NULL, " windows1252 cp1252 xcp1252 win1252 cswindows1252 ansi "},
    {"iso-8859-15", KIND_ICONV, "ISO-8859-15", " iso885915 latin9 l9 csisolatin9 "},
    {"iso-8859-2", KIND_ICONV, "ISO-8859-2", " iso88592 latin2 l2 isoir101 csisolatin2 iso885921987 "},
    {"iso-8859-3", KIND_ICONV, "ISO-8859-3", " iso88593 latin3 l3 isoir109 csisolatin3 "},
    {"iso-8859-4", KIND_ICONV, "ISO-8859-4", " iso88594 latin4 l4 isoir110 csisolatin4 "},
    {"iso-8859-5", KIND_ICONV, "ISO-8859-5", " iso88595 cyrillic isoir144 csisolatincyrillic "},
    {"iso-8859-6", KIND_ICONV, "ISO-8859-6",
	" iso88596 iso88596e iso88596i arabic isoir127 csisolatinarabic asmo708 ecma114 "},
    {"iso-8859-7", KIND_ICONV, "ISO-8859-7", " iso88597 greek greek8 isoir126 csisolatingreek elot928 ecma118 "},
    {"iso-8859-8", KIND_ICONV, "ISO-8859-8",
	" iso88598 iso88598i iso88598e hebrew isoir138 csisolatinhebrew logical visual "},
    {"iso-8859-9", KIND_ICONV, "ISO-8859-9", " iso88599 latin5 l5 isoir148 csisolatin5 "},
    {"iso-8859-10", KIND_ICONV, "ISO-8859-10", " iso885910 latin6 l6 isoir157 csisolatin6 "},
    {"iso-8859-13", KIND_ICONV, "ISO-8859-13", " iso885913 latin7 l7 "},
    {"iso-8859-14", KIND_ICONV, "ISO-8859-14", " iso885914 latin8 l8 isoceltic "},
    {"iso-8859-16", KIND_ICONV, "ISO-8859-16", " iso885916 latin10 l10 "},
    {"windows-1250", KIND_ICONV, "CP1250", " windows1250 cp1250 xcp1250 win1250 cswindows1250 "},
    {"windows-1251", KIND_ICONV, "CP1251", " windows1251 cp1251 xcp1251 win1251 cswindows1251 "},
    {"windows-1253", KIND_ICONV, "CP1253", " windows1253 cp1253 xcp1253 cswindows1253 "},
    {"windows-1254", KIND_ICONV, "CP1254", " windows1254 cp1254 xcp1254 cswindows1254 "},
    {"windows-1255", KIND_ICONV, "CP1255", " windows1255 cp1255 xcp1255 cswindows1255 "},
    {"windows-1256", KIND_ICONV, "CP1256", " windows1256 cp1256 xcp1256 cswindows1256 "},
    {"windows-1257", KIND_ICONV, "CP1257", " windows1257 cp1257 xcp1257 cswindows1257 "},
    {"windows-1258", KIND_ICONV, "CP1258", " windows1258 cp1258 xcp1258 cswindows1258 "},
    {"windows-874", KIND_ICONV, "CP874", " windows874 cp874 dos874 iso885911 tis620 tis6202533 "},
    {"koi8-r", KIND_ICONV, "KOI8-R", " koi8r koi8 koi cskoi8r "},
    {"koi8-u", KIND_ICONV, "KOI8-U", " koi8u koi8ru "},
    {"ibm437", KIND_ICONV, "CP437", " ibm437 cp437 437 cspc8codepage437 "},
    {"ibm850", KIND_ICONV, "CP850", " ibm850 cp850 850 cspc850multilingual "},
    {"ibm852", KIND_ICONV, "CP852", " ibm852 cp852 852 cspcp852 "},
    {"ibm866", KIND_ICONV, "CP866", " ibm866 cp866 866 csibm866 "},
    {"macintosh", KIND_ICONV, "MACINTOSH", " macintosh mac macroman xmacroman csmacintosh "},
    {"gb18030", KIND_ICONV, "GB18030",
	" gb18030 gb2312 gb23121980 csgb2312 euccn gbk cp936 ms936 windows936 xgbk chinese isoir58 csiso58gb231280 "},
    {"big5", KIND_ICONV, "BIG5-HKSCS", " big5 big5hkscs csbig5 cnbig5 xxbig5 cp950 windows950 "},
    {"shift_jis", KIND_ICONV, "CP932",
	" shiftjis sjis xsjis csshiftjis mskanji ms932 cp932 windows31j cswindows31j windows932 "},
    {"euc-jp", KIND_ICONV, "EUC-JP-MS", " eucjp xeucjp eucjpms cseucpkdfmtjapanese ujis "},
    {"iso-2022-jp", KIND_ICONV, "ISO-2022-JP-2", " iso2022jp iso2022jp1 iso2022jp2 csiso2022jp iso2022jpms jis "},
    {"euc-kr", KIND_ICONV, "CP949",
	" euckr ksc56011987 ksc56011989 ksc5601 korean cp949 uhc windows949 cseuckr isoir149 csksc56011987 ks "},
    {"iso-2022-kr", KIND_ICONV, "ISO-2022-KR", " iso2022kr csiso2022kr "},
    {"utf-16", KIND_ICONV, "UTF-16", " utf16 csutf16 ucs2 iso10646ucs2 "},
    {"utf-16be", KIND_ICONV, "UTF-16BE", " utf16be csutf16be "},
    {"utf-16le", KIND_ICONV, "UTF-16LE", " utf16le csutf16le "},
    {"utf-32", KIND_ICONV, "UTF-32", " utf32 csutf32 ucs4 iso10646ucs4 "},
    {"utf-7", KIND_ICONV, "UTF-7", " utf7 unicode11utf7 csutf7 "},
};

/* 0x80..0x9f of windows-1252; 0 is unassigned. */
static const uint16_t high_1252[32] = {
    0x20ac,
    0,
    0x201a,
    0x0192,
    0x201e,
    0x2026,
    0x2020,
    0x2021,
    0x02c6,
    0x2030,
    0x0160,
    0x2039,
    0x0152,
    0,
    0x017d,
    0,
    0,
    0x2018,
    0x2019,
    0x201c,
    0x201d,
    0x2022,
    0x2013,
    0x2014,
    0x02dc,
    0x2122,
    0x0161,
    0x203a,
    0x0153,
    0,
    0x017e,
    0x0178,
};

/* The name as " letters digits " in lower case, for looking up in the aliases; false if it is too long or empty. */
static bool
name_key(struct slice name, char key[NAME_MAX + 3])
{
	size_t n = 0;

	key[n++] = ' ';
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = ascii_lower(slice_at(name, i));

		if (!ascii_is_alnum(c))
			continue;
		if (n > NAME_MAX)
			return false;
		key[n++] = (char)c;
	}
	key[n] = ' ';
	key[n + 1] = 0;
	return n > 1;
}

static const struct charset *
charset_find(struct slice name)
{
	char key[NAME_MAX + 3];

	if (!name_key(name, key))
		return NULL;
	for (size_t i = 0; i < COUNT_OF(charsets); i++)
		if (strstr(charsets[i].aliases, key) != NULL)
			return &charsets[i];
	return NULL;
}

bool
charset_is_known(struct slice name)
{
	return charset_find(name) != NULL;
}

bool
charset_is_builtin(struct slice name)
{
	const struct charset *c = charset_find(name);

	return c != NULL && c->kind != KIND_ICONV;
}

const char *
charset_canonical(struct slice name)
{
	const struct charset *c = charset_find(name);

	return c == NULL ? NULL : c->name;
}

static void
put_replacement(struct buf *out)
{
	buf_put(out, SLICE("\xef\xbf\xbd"));
}

static void
put_codepoint(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_put_u8(out, (uint8_t)c);
	} else if (c < 0x800) {
		buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
		buf_put_u8(out, (uint8_t)(0x80 | (c & 63)));
	} else {
		buf_put_u8(out, (uint8_t)(0xe0 | c >> 12));
		buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (c & 63)));
	}
}

/* Length of the run of ASCII at i. */
static size_t
ascii_run(struct slice s, size_t i)
{
	size_t from = i;

	while (i < s.n && slice_at(s, i) < 0x80)
		i++;
	return i - from;
}

static int
put_1252(struct slice in, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; i < in.n;) {
		size_t run = ascii_run(in, i);
		uint8_t c;

		buf_put(out, slice_range(in, i, i + run));
		i += run;
		if (i >= in.n)
			break;
		c = slice_at(in, i++);
		if (c >= 0xa0) {
			put_codepoint(out, c);
		} else if (high_1252[c - 0x80] != 0) {
			put_codepoint(out, high_1252[c - 0x80]);
		} else {
			put_replacement(out);
			err = ERR_INVALID;
		}
	}
	return err;
}

/* Length of the valid UTF-8 sequence at i, or 0. */
static size_t
utf8_length(struct slice s, size_t i)
{
	uint8_t c = slice_at(s, i);
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	return n > 0 && n <= s.n - i && slice_is_utf8(slice_range(s, i, i + n), false) ? n : 0;
}

void
charset_clean_utf8(struct slice in, struct buf *out)
{
	size_t good = 0, i = 0;

	while (i < in.n) {
		size_t n = utf8_length(in, i);

		if (n > 0) {
			i += n;
			continue;
		}
		buf_put(out, slice_range(in, good, i));
		put_replacement(out);
		/* The rest of a broken sequence is part of the same mistake. */
		for (i++; i < in.n && (slice_at(in, i) & 0xc0) == 0x80;)
			i++;
		good = i;
	}
	buf_put(out, slice_range(in, good, in.n));
}

/* Is there any character of more than one byte in it that is right? */
static bool
has_utf8_character(struct slice in)
{
	for (size_t i = 0; i < in.n; i++)
		if (slice_at(in, i) >= 0xc2 && utf8_length(in, i) > 1)
			return true;
	return false;
}

void
charset_guess_to_utf8(struct slice in, struct buf *out)
{
	if (slice_is_utf8(in, false))
		buf_put(out, in);
	else
		(void)put_1252(in, out);
}

static int
from_utf8(struct slice in, struct buf *out)
{
	if (slice_is_utf8(in, false)) {
		buf_put(out, in);
		return 0;
	}
	if (has_utf8_character(in))
		charset_clean_utf8(in, out);
	else
		(void)put_1252(in, out);
	return ERR_INVALID;
}

static void
iconv_cleanup(iconv_t *cd)
{
	if (*cd != (iconv_t)-1)
		(void)iconv_close(*cd);
}

/* The loop ends since each turn takes input or gives output. ERR_UNSUPPORTED: nothing was appended. */
static int
put_iconv(const char *name, struct slice in, struct buf *out)
{
	__attribute__((cleanup(iconv_cleanup))) iconv_t cd = iconv_open("UTF-8", name);
	char *p = (char *)(uintptr_t)in.p;
	size_t left = in.n;
	bool flushing = false;
	int err = 0;

	if (cd == (iconv_t)-1)
		return ERR_UNSUPPORTED;
	while (out->err == 0) {
		char piece[2048], *to = piece;
		size_t room = sizeof(piece), before = left;
		size_t r = iconv(cd, flushing ? NULL : &p, flushing ? NULL : &left, &to, &room);
		int e = r == (size_t)-1 ? errno : 0;

		buf_put(out, slice_of(piece, sizeof(piece) - room));
		if (e == E2BIG && (room < sizeof(piece) || left < before))
			continue;
		if (e != 0) {
			put_replacement(out);
			err = ERR_INVALID;
			if (flushing)
				break;
			if (e == EILSEQ && left > 1) {
				p++;
				left--;
				continue;
			}
			left = 0;
		}
		if (flushing)
			break;
		flushing = true;
	}
	return err;
}

int
charset_to_utf8(struct slice name, struct slice in, enum charset_place place, struct buf *out)
{
	const struct charset *c = charset_find(name);
	int err = ERR_UNSUPPORTED;

	if (c != NULL && c->kind == KIND_UTF8)
		err = from_utf8(in, out);
	else if (c != NULL && c->kind == KIND_1252)
		err = put_1252(in, out);
	else if (c != NULL && (in.n == 0 || (c->kind == KIND_ASCII && slice_is_ascii(in)))) {
		buf_put(out, in);
		err = 0;
	} else if (c != NULL && c->kind == KIND_ASCII) {
		charset_guess_to_utf8(in, out);
		err = ERR_INVALID;
	} else if (c != NULL && place == CHARSET_THREAD) {
		err = put_iconv(c->iconv, in, out);
	}
	if (err == ERR_UNSUPPORTED)
		charset_guess_to_utf8(in, out);
	return out->err != 0 ? out->err : err;
}

struct charset_warmth {
	size_t n;
	iconv_t v[COUNT_OF(charsets)];
};

struct charset_warmth *
charset_warm(size_t *missing)
{
	struct charset_warmth *w = calloc(1, sizeof(*w));

	*missing = 0;
	if (w == NULL)
		return NULL;
	for (size_t i = 0; i < COUNT_OF(charsets); i++) {
		iconv_t cd;

		if (charsets[i].kind != KIND_ICONV)
			continue;
		cd = iconv_open("UTF-8", charsets[i].iconv);
		if (cd != (iconv_t)-1)
			w->v[w->n++] = cd;
		else
			(*missing)++;
	}
	return w;
}

void
charset_cool(struct charset_warmth *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->n; i++)
		(void)iconv_close(w->v[i]);
	free(w);
}
