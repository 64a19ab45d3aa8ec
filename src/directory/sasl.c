/* sasl.c: SASL PLAIN. */
#include "directory/sasl.h"

int
sasl_plain_parse(struct slice message, struct sasl_plain *out)
{
	struct slice rest = message;

	*out = (struct sasl_plain){0};
	out->authzid = slice_cut(&rest, 0);
	if (rest.p == NULL)
		return ERR_SYNTAX;
	out->authcid = slice_cut(&rest, 0);
	if (rest.p == NULL || slice_find_byte(rest, 0) != SLICE_NONE)
		return ERR_SYNTAX;
	out->password = rest;
	return out->authcid.n == 0 || out->password.n == 0 ? ERR_SYNTAX : 0;
}
