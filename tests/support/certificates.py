"""The keys and certificates of throw-away servers: a Kubernetes API server, a Kafka broker."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=7)


@dataclass(frozen=True)
class KeyPair:
    """A private key (PEM, PKCS#8) and what belongs to it: a certificate, or the public key alone (PEM)."""

    key: bytes
    public: bytes


@dataclass(frozen=True)
class ClusterKeys:
    """What an API server is started with: its authority, its own certificate, an administrator, a token signer."""

    authority: bytes
    server: KeyPair
    admin: KeyPair
    token_signer: KeyPair


class Authority:
    """A certificate authority with a new key. `public` is its certificate (PEM)."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ledgerlb test authority")])
        self.public = _pem(
            _builder(self._name, self._name, self._key, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def server(self, common: str, names: Iterable[str]) -> KeyPair:
        """Issue a server's certificate; `names` are the DNS names and IP addresses that clients reach it by."""
        return self._issue(_name(common), ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, common: str, organisation: str | None = None) -> KeyPair:
        """Issue a client's certificate."""
        return self._issue(_name(common, organisation), ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def _issue(self, name: x509.Name, usage: x509.ObjectIdentifier, names: Iterable[str]) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self._name, key, self._key).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        alternatives = [_alternative(each) for each in names]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return KeyPair(_private(key), _pem(builder.sign(self._key, hashes.SHA256())))


def make_cluster_keys(server_names: Iterable[str]) -> ClusterKeys:
    """Make new keys; `server_names` are the DNS names and IP addresses that clients reach the server by."""
    authority = Authority()
    signer = ec.generate_private_key(ec.SECP256R1())
    return ClusterKeys(
        authority=authority.public,
        server=authority.server("kube-apiserver", server_names),
        # The group system:masters may do everything, without any role being bound to it.
        admin=authority.client("admin", "system:masters"),
        token_signer=KeyPair(
            _private(signer),
            signer.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
        ),
    )


def _name(common: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour back, because the engine's clock may be behind this one (a virtual machine's often is).
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        # Clients that check strictly (Python from 3.13 on) refuse certificates without the two identifiers.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
