"""What SeaweedFS asks of whoever speaks to its inner ports: its security.toml.

Without it any user of the machine can reach them, list and read all objects and make an S3
administrator (`weed shell`). One certificate, its own authority, is the only one that any of its
servers and clients takes; the key never leaves the store's folder. Volumes give and take nothing
without a token that the master signs.
"""

import os
import secrets
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_YEARS = 10
# A server may run for long, and reads its certificate when it starts.
_RENEWED_DAYS = 365
_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "client")
# A token is asked for before the bytes are sent; the default of 10 s is short on a busy machine.
_TOKEN_SECONDS = 60


def write_security(folder: Path) -> None:
    """Writes security.toml into the folder in which SeaweedFS is started: it looks there first."""
    certificate = folder / "grpc.pem"
    if not _usable(certificate):
        write_private(certificate, _new_certificate())
    lines = [f'[grpc]\nca = "{certificate}"']
    lines += [f'[grpc.{part}]\ncert = "{certificate}"\nkey = "{certificate}"' for part in _PARTS]
    lines += [
        f'[{name}]\nkey = "{secrets.token_hex(32)}"\nexpires_after_seconds = {_TOKEN_SECONDS}'
        for name in ("jwt.signing", "jwt.signing.read", "jwt.filer_signing")
    ]
    write_private(folder / "security.toml", "\n".join(lines).encode())


def write_private(path: Path, content: bytes) -> None:
    """The whole file or none, readable by its owner alone."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def _usable(certificate: Path) -> bool:
    """Whether it is whole, key and certificate belong together, and its end is far."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate)
        context.load_verify_locations(certificate)
        (found,) = context.get_ca_certs()
    except (OSError, ValueError):  # an SSLError is an OSError
        return False
    return ssl.cert_time_to_seconds(str(found["notAfter"])) > time.time() + _RENEWED_DAYS * 86_400


def _new_certificate() -> bytes:
    """Key and certificate as PEM, one after the other."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stock-assets local store")])
    now = datetime.now(UTC)
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(both, critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
