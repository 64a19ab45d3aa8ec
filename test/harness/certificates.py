"""Certificates for tests: an authority, and leaves of it or of nobody, right or wrong."""
import datetime
import hashlib
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificate:
    def __init__(self, folder, name, certificate, key, chain=()):
        self.certificate, self.key = certificate, key
        self.pem = pathlib.Path(folder) / f"{name}.pem"
        self.key_pem = pathlib.Path(folder) / f"{name}.key"
        pem = serialization.Encoding.PEM
        self.pem.write_bytes(b"".join(c.public_bytes(pem) for c in (certificate, *chain)))
        self.key_pem.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def tlsa(self, usage=3, selector=1, matching=1):
        """The data of a TLSA record: "3 1 1 hex"."""
        der = serialization.Encoding.DER
        if selector == 0:
            data = self.certificate.public_bytes(der)
        else:
            data = self.certificate.public_key().public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo)
        if matching:
            data = {1: hashlib.sha256, 2: hashlib.sha512}[matching](data).digest()
        return f"{usage} {selector} {matching} {data.hex()}"


class Authority:
    def __init__(self, folder, name="Test Authority"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.count = 0
        self.root = self._make(name, None, authority=True)

    def _make(self, subject, names, issuer=None, days=(-10, 3650), authority=False, addresses=()):
        now = datetime.datetime.utcnow()
        key = ec.generate_private_key(ec.SECP256R1())
        common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        builder = (x509.CertificateBuilder().subject_name(common).public_key(key.public_key())
                   .issuer_name(common if issuer is None else issuer.certificate.subject)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
        if names or addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.DNSName(n) for n in names or ()] + [x509.RFC822Name(a) for a in addresses]), critical=False)
        certificate = builder.sign(key if issuer is None else issuer.key, hashes.SHA256())
        self.count += 1
        return Certificate(self.folder, f"{self.count}-{subject.replace(' ', '-')}", certificate, key,
                           () if issuer is None else (issuer.certificate,))

    def leaf(self, *names, expired=False):
        return self._make(names[0], names, self.root, (-20, -2) if expired else (-10, 3650))

    def person(self, address, issued=True, expired=False):
        """A certificate of who reads that address: issued by this authority, or by himself."""
        return self._make(address, (), self.root if issued else None, (-20, -2) if expired else (-10, 3650), addresses=(address,))

    def self_signed(self, *names):
        return self._make(names[0], names)
