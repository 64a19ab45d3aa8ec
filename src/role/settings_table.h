/* settings_table.h: the table of settings as data, made from settings.def. */
#ifndef ROLE_SETTINGS_TABLE_H
#define ROLE_SETTINGS_TABLE_H

#include "role/settings.h"

#define SETTINGS_PROCESSES_MAX 64
#define HOST_NAME_MAX_BYTES 255u

enum setting_type {
	SETTING_TEXT,
	SETTING_NAME,
	SETTING_ADDRESS,
	SETTING_HOST,
	SETTING_BOOL,
	SETTING_COUNT,
	SETTING_NUMBER,
	SETTING_PORT,
	SETTING_WORDS,
	SETTING_LINES,
	SETTING_NETWORKS,
	SETTING_FORMAT,
	SETTING_LEVEL,
	SETTING_SERVICE,
	SETTING_SECURITY,
	SETTING_IP,
	SETTING_POLICY
};

struct setting_row {
	const char *kind, *key;
	enum setting_type type;
	size_t offset;     /* in the struct that the section fills */
	const char *value; /* the default as written; "" may mean that there is none */
	const char *text;
};

struct section_row {
	const char *kind;
	bool named;
	const char *text;
};

extern const struct setting_row setting_rows[];
extern const size_t setting_rows_count;
extern const struct section_row section_rows[]; /* [limits] is among them */
extern const size_t section_rows_count;

/* NULL when there is none. */
const struct setting_row *setting_find(struct slice kind, struct slice key);
const struct section_row *section_find(struct slice kind);

#endif
