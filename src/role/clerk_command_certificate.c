/* clerk_command_certificate.c: certificates of accounts on the control socket. They live in the vault. */
#include "role/clerk_private.h"

int
control_run_certificate_add(struct control_session *s)
{
	struct directory_account account;
	struct bus_vault_certificate_add_request q = {.pem = control_text(&s->request, "certificate")};
	struct bus_vault_certificate_add_reply rep = {0};
	int err = control_account(s, &account);

	if (err != 0)
		return err;
	q.account_id = account.id;
	q.login = account.address;
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_certificate_add, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0 || rep.fingerprint.n == 0)
		return control_fail_role(s, "vault", err, rep.detail);
	control_set_text(s->done, "fingerprint", rep.fingerprint);
	return 0;
}

int
control_run_certificate_list(struct control_session *s)
{
	struct directory_account account;
	struct bus_vault_certificate_list_request q;
	struct bus_vault_certificate_list_reply rep = {0};
	int err = control_account(s, &account);

	if (err != 0)
		return err;
	q = (struct bus_vault_certificate_list_request){.account_id = account.id};
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_certificate_list, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	return control_json_rows(s, rep.json);
}

int
control_run_certificate_remove(struct control_session *s)
{
	struct directory_account account;
	struct bus_vault_certificate_remove_request q = {.fingerprint = control_text(&s->request, "fingerprint")};
	struct bus_vault_certificate_remove_reply rep = {0};
	int err = control_account(s, &account);

	if (err != 0)
		return err;
	q.account_id = account.id;
	err = BUS_CALL(s->k->c->bus, ROLE_VAULT, 0, vault_certificate_remove, &q, &s->arena, &rep, CLERK_ASK_MS);
	if (err != 0)
		return control_fail_role(s, "vault", err, SLICE_EMPTY);
	return rep.removed ? 0
			   : control_fail(s, ERR_NOTFOUND, "`posthouse account certificate list` shows them.",
				 "the account has no certificate %.*s", SLICE_ARG(q.fingerprint));
}
