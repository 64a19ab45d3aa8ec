"""The OpenDKIM of Debian's packages, unpacked (not installed) by script/bootstrap: its filter in test mode, which tells what it would add to a
message, and takes public keys from a file instead of DNS."""
import os
import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "opendkim" / "root"


def available():
    return (ROOT / "usr/sbin/opendkim").exists()


def environment():
    libraries = [ROOT / "usr/lib/x86_64-linux-gnu", ROOT / "usr/lib", ROOT / "lib/x86_64-linux-gnu"]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "LC_ALL": "C"}


def verify(folder, records, files):
    """{file: what the filter says of its signatures: "dkim=pass header.d=…", in their order}. `records`: {name: text of the TXT record}."""
    folder = pathlib.Path(folder)
    keys, config = folder / "opendkim.keys", folder / "opendkim.conf"
    keys.write_text("".join(f"{name} {text}\n" for name, text in records.items()))
    config.write_text(f"Mode v\nTestPublicKeys {keys}\nSocket local:{folder}/opendkim.socket\n")
    done = subprocess.run([str(ROOT / "usr/sbin/opendkim"), "-x", str(config), "-vv", "-t", ",".join(map(str, files))], env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300)
    results, said = {}, []
    # What is inserted stands before the line that names the file.
    for field, name in re.findall(r"hname='Authentication-Results' hvalue='(.*?)'\n|^opendkim: (\S+): ", done.stdout.decode(errors="replace"),
                                  re.S | re.M):
        if name:
            results[name] = said
            said = []
        else:
            said = [part.strip() for part in field.split(";") if part.strip().startswith("dkim=")]
    return results


def sign(folder, message, domain, selector, key, canonicalization):
    """The message (bytes) with a signature in front; `canonicalization` is "relaxed/simple" and such."""
    folder = pathlib.Path(folder)
    path, config = folder / "opendkim.message", folder / "opendkim.conf"
    path.write_bytes(message)
    config.write_text(f"Mode s\nDomain {domain}\nSelector {selector}\nKeyFile {key}\nCanonicalization {canonicalization}\n"
                      f"SignatureAlgorithm rsa-sha256\nRequireSafeKeys no\nSocket local:{folder}/opendkim.socket\n")
    done = subprocess.run([str(ROOT / "usr/sbin/opendkim"), "-x", str(config), "-vv", "-t", str(path)], env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    field = re.search(rb"hname='DKIM-Signature' hvalue='(.*?)'(\n|\Z)", done.stdout, re.S)
    assert field, done.stdout + done.stderr
    return b"DKIM-Signature: " + field.group(1).replace(b"\n", b"\r\n") + b"\r\n" + message
