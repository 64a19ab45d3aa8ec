#include "trust/dns_advice.h"

#include "trust/dmarc_record.h"
#include "trust/mta_sts.h"
#include "trust/tag_list.h"
#include "trust/tls_report.h"

static const char *const names[] = {[ADVICE_MX] = "mx",
    [ADVICE_SPF] = "spf",
    [ADVICE_DKIM] = "dkim",
    [ADVICE_DMARC] = "dmarc",
    [ADVICE_STS] = "mta-sts",
    [ADVICE_TLS_REPORT] = "tls-report",
    [ADVICE_TLSA] = "tlsa",
    [ADVICE_SRV] = "srv"};

const char *
dns_advice_kind_name(enum dns_advice_kind kind)
{
	return kind < ADVICE_KINDS ? names[kind] : NULL;
}

enum dns_advice_kind
dns_advice_kind_of(struct slice name)
{
	int kind = 0;

	while (kind < ADVICE_KINDS && !slice_eq(name, slice_z(names[kind])))
		kind++;
	return (enum dns_advice_kind)kind;
}

static void
say(struct dns_advice *out, enum dns_advice_state state, struct slice told, struct slice todo)
{
	*out = (struct dns_advice){state, told, todo};
}

#define AS_SHOWN SLICE("Publish the record as it is shown.")

/* The last word of a record: the host of MX and SRV. */
static struct slice
host_of(struct slice record)
{
	size_t space = slice_rfind_byte(record, ' ');
	struct slice host = space == SLICE_NONE ? record : slice_from(record, space + 1);

	return slice_ends(host, SLICE(".")) ? slice_head(host, host.n - 1) : host;
}

static void
judge_mx(struct slice wanted, struct slice_list found, struct arena *a, struct dns_advice *out)
{
	struct slice host = host_of(wanted), other = SLICE_EMPTY;
	bool ours = false;

	for (size_t i = 0; i < found.n; i++) {
		if (slice_ieq(host_of(found.v[i]), host))
			ours = true;
		else
			other = host_of(found.v[i]);
	}
	if (found.n == 0)
		say(out, ADVICE_MISSING, SLICE("no mail server is named for the domain"), AS_SHOWN);
	else if (!ours)
		say(out, ADVICE_WRONG,
		    arena_printf(a, "mail for the domain goes to %.*s, not to this house", SLICE_ARG(other)),
		    SLICE("Publish the record as it is shown, once mail is to come here."));
	else if (other.n > 0)
		say(out, ADVICE_RIGHT,
		    arena_printf(a, "mail for the domain comes here, and may go to %.*s too", SLICE_ARG(other)),
		    SLICE_EMPTY);
	else
		say(out, ADVICE_RIGHT, SLICE("mail for the domain comes here"), SLICE_EMPTY);
}

static bool
is_version(struct slice text, struct slice version)
{
	return slice_istarts(text, version) &&
	    (text.n == version.n || slice_at(text, version.n) == ' ' || slice_at(text, version.n) == ';');
}

static size_t
count_versions(struct slice_list found, struct slice version)
{
	size_t n = 0;

	for (size_t i = 0; i < found.n; i++)
		n += is_version(found.v[i], version);
	return n;
}

static void
judge_spf(struct slice_list found, struct dns_advice *out)
{
	size_t n = count_versions(found, SLICE("v=spf1"));

	if (n == 0)
		say(out, ADVICE_MISSING, SLICE("nothing says which servers may send for this name"), AS_SHOWN);
	else if (n > 1)
		say(out, ADVICE_WRONG,
		    SLICE("there is more than one record that begins with v=spf1, so that all are void"),
		    SLICE("Make one record of them."));
	else
		say(out, ADVICE_RIGHT, SLICE("there is one record"), SLICE_EMPTY);
}

/* The key in a record, without white space. */
static struct slice
key_of(struct slice text, struct arena *a)
{
	struct tag_list l;
	const struct tag *t = tag_list_parse(text, &l) == 0 ? tag_list_find(&l, SLICE("p")) : NULL;

	return t == NULL ? SLICE_EMPTY : tag_without_space(a, t->value);
}

static void
judge_dkim(struct slice wanted, struct slice_list found, struct arena *a, struct dns_advice *out)
{
	struct slice key = key_of(wanted, a);
	bool same = false;

	for (size_t i = 0; i < found.n; i++)
		same = same || (key.n > 0 && slice_eq(key_of(found.v[i], a), key));
	if (found.n == 0)
		say(out, ADVICE_MISSING, SLICE("the key is not published: nobody can check what it signs"), AS_SHOWN);
	else if (found.n > 1)
		say(out, ADVICE_WRONG, SLICE("there are several records, of which any may be taken"),
		    SLICE("Leave only the one that is shown."));
	else if (!same)
		say(out, ADVICE_WRONG, SLICE("another key is published: signatures of this house count as forged"),
		    AS_SHOWN);
	else
		say(out, ADVICE_RIGHT, SLICE("the key is published"), SLICE_EMPTY);
}

static int
judge_dmarc(struct slice_list found, struct arena *a, struct dns_advice *out)
{
	struct dmarc_record record = {0}, one;
	size_t n = 0;

	for (size_t i = 0; i < found.n; i++) {
		int e = dmarc_record_parse(a, found.v[i], &one);

		if (e == 0) {
			record = one;
			n++;
		} else if (e != ERR_NOTFOUND) {
			return e;
		}
	}
	if (n == 0)
		say(out, ADVICE_MISSING,
		    SLICE("nothing says what is to become of mail in the domain's name that is not from it"), AS_SHOWN);
	else if (n > 1)
		say(out, ADVICE_WRONG, SLICE("there is more than one DMARC record, so that none counts"),
		    SLICE("Make one record of them."));
	else if (record.no_policy)
		say(out, ADVICE_WRONG, SLICE("the record has no policy that can be read (p=)"), AS_SHOWN);
	else
		say(out, ADVICE_RIGHT,
		    arena_printf(a, "the policy is %s%s%s", dmarc_policy_name(record.p),
			record.testing ? ", as a test" : "",
			record.rua.n > 0 ? "" : ", and nobody sends reports, as it names no address for them (rua=)"),
		    SLICE_EMPTY);
	return 0;
}

static void
judge_sts(struct slice_list found, struct arena *a, struct dns_advice *out)
{
	struct slice id;

	if (count_versions(found, SLICE("v=STSv1")) == 0)
		say(out, ADVICE_MISSING, SLICE("servers do not learn that there is a policy for encryption"), AS_SHOWN);
	else if (mta_sts_record(found, &id) != 0)
		say(out, ADVICE_WRONG, SLICE("the record is damaged, or there are several"), AS_SHOWN);
	else
		say(out, ADVICE_RIGHT, arena_printf(a, "there is a policy, with the id %.*s", SLICE_ARG(id)),
		    SLICE_EMPTY);
}

static int
judge_tls_report(struct slice_list found, struct arena *a, struct dns_advice *out)
{
	struct tls_report_places places;
	int e = tls_report_record(found, a, &places);

	if (e == 0)
		say(out, ADVICE_RIGHT, SLICE("reports on encryption are asked for"), SLICE_EMPTY);
	else if (e == ERR_NOTFOUND && count_versions(found, SLICE("v=TLSRPTv1")) == 0)
		say(out, ADVICE_MISSING, SLICE("nobody tells the domain when encryption of its mail fails"), AS_SHOWN);
	else if (e == ERR_NOTFOUND)
		say(out, ADVICE_WRONG, SLICE("the record names no address that can be used, or there are several"),
		    AS_SHOWN);
	return e == ERR_NOTFOUND ? 0 : e;
}

static void
judge_tlsa(struct slice wanted, struct slice_list found, bool secure, struct dns_advice *out)
{
	bool same = false;

	for (size_t i = 0; i < found.n; i++)
		same = same || slice_ieq(found.v[i], wanted);
	if (found.n == 0)
		say(out, ADVICE_MISSING, SLICE("DANE is not in use"),
		    SLICE("If the zone is signed with DNSSEC, publish the record as it is shown."));
	else if (!same)
		say(out, ADVICE_WRONG,
		    SLICE("the records are not of the key in use: servers that look at DANE deliver nothing"),
		    SLICE("Publish the record as it is shown, or take all of them away."));
	else if (!secure)
		say(out, ADVICE_WRONG,
		    SLICE("the record is right, but not signed with DNSSEC, so that nobody looks at it"),
		    SLICE("Sign the zone with DNSSEC."));
	else
		say(out, ADVICE_RIGHT, SLICE("the record is of the key in use"), SLICE_EMPTY);
}

/* Priority and weight are the owner's. */
static bool
same_service(struct slice one, struct slice other)
{
	struct slice port[2] = {one, other};

	for (size_t i = 0; i < 2; i++) {
		(void)slice_cut(&port[i], ' ');
		(void)slice_cut(&port[i], ' ');
		port[i] = slice_cut(&port[i], ' ');
	}
	return slice_eq(port[0], port[1]) && slice_ieq(host_of(one), host_of(other));
}

static void
judge_srv(struct slice wanted, struct slice_list found, struct dns_advice *out)
{
	bool same = false;

	for (size_t i = 0; i < found.n; i++)
		same = same || same_service(found.v[i], wanted);
	if (found.n == 0)
		say(out, ADVICE_MISSING, SLICE("mail programs do not find the service by themselves"), AS_SHOWN);
	else if (!same)
		say(out, ADVICE_WRONG, SLICE("mail programs are led elsewhere"), AS_SHOWN);
	else
		say(out, ADVICE_RIGHT, SLICE("mail programs find the service"), SLICE_EMPTY);
}

int
dns_advice_judge(enum dns_advice_kind kind, struct slice wanted, struct slice_list found, bool secure, struct arena *a,
    struct dns_advice *out)
{
	int e = 0;

	*out = (struct dns_advice){.state = ADVICE_UNKNOWN};
	switch (kind) {
	case ADVICE_MX: judge_mx(wanted, found, a, out); break;
	case ADVICE_SPF: judge_spf(found, out); break;
	case ADVICE_DKIM: judge_dkim(wanted, found, a, out); break;
	case ADVICE_DMARC: e = judge_dmarc(found, a, out); break;
	case ADVICE_STS: judge_sts(found, a, out); break;
	case ADVICE_TLS_REPORT: e = judge_tls_report(found, a, out); break;
	case ADVICE_TLSA: judge_tlsa(wanted, found, secure, out); break;
	case ADVICE_SRV: judge_srv(wanted, found, out); break;
	case ADVICE_KINDS: break;
	}
	return e != 0 ? e : arena_failed(a) ? ERR_NOMEM : 0;
}
