/* dkim_rsa.h: public keys of RSA as they are in DNS. OpenSSL's own reader takes six times as long as checking a signature. */
#ifndef TRUST_DKIM_RSA_H
#define TRUST_DKIM_RSA_H

#include "base/slice.h"

#include <openssl/evp.h>

/* A SubjectPublicKeyInfo (RFC 5280 §4.1), or the RSAPublicKey in it (RFC 8017 appendix A.1.1), of which RFC 6376 §3.6.1 speaks; in
 * DER, to its last byte. NULL when it is neither, or the modulus has more than `bits_max` bits; then *bits still tells how many it
 * has, else 0. */
EVP_PKEY *dkim_rsa_open(struct slice der, int bits_max, int *bits);

#endif
