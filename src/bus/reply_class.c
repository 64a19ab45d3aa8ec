#include "bus/reply_class.h"

struct row {
	const char *name, *words;
};

static const struct row rows[] = {
#define REPLY_CLASS(id, number, name, words) [number] = {name, words},
#include "bus/reply_classes.def"
#undef REPLY_CLASS
};

static const struct row *
find(int64_t c)
{
	return c >= 0 && (size_t)c < COUNT_OF(rows) && rows[c].name != NULL ? &rows[c] : &rows[REPLY_OTHER];
}

const char *
reply_class_name(int64_t reply_class)
{
	return find(reply_class)->name;
}

const char *
reply_class_words(int64_t reply_class)
{
	return find(reply_class)->words;
}
