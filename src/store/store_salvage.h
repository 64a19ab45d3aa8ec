/* store_salvage.h: for store_check.c. */
#ifndef STORE_STORE_SALVAGE_H
#define STORE_STORE_SALVAGE_H

#include "sql/sql_salvage.h"
#include "store/store_private.h"

struct salvaging {
	struct store_account *a;
	struct sql_salvaged n;
	bool nothing; /* of the old file could be read */
	char from[STORE_PATH_MAX], fresh[STORE_PATH_MAX];
	char aside[STORE_PATH_MAX]; /* where it lies now */
	struct buf *detail;
};
/* Of a struct store_op with `closed`: on the worker, with the struct as its argument; and on the loop. */
NODISCARD int salvage_account(struct store_account *a, void *arg);
void salvage_finish(void *arg, int err);

#endif
