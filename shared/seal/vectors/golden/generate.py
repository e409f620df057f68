"""Writes the golden vectors beside this file, from docs/format/sealed-message.md alone.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install cryptography && /tmp/golden/bin/python generate.py

A second writer of the format, independent of the Rust one and of any SDK. All keys, ids and IVs are fixed, so that a run
changes no file.
"""

import base64
import hashlib
import json
import pathlib
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).parent
DATA_KEY = bytes(range(100, 132))
MESSAGE_ID = bytes(range(200, 232))
PRIMARY = {"namespace": "lifeboat", "name": "primary", "key": bytes(range(32)).hex()}
OFFSITE = {"namespace": "lifeboat", "name": "offsite", "key": bytes(range(32, 64)).hex()}
CONTEXT = {"database": "praxis", "repository": "clinic"}

# name: (frame length, plaintext length, context, keys)
SCENARIOS = {
    "empty": (16, 0, {}, [PRIMARY]),
    "one-byte": (16, 1, {}, [PRIMARY]),
    "one-byte-frames": (1, 3, {}, [PRIMARY]),
    "shorter-than-a-frame": (16, 15, CONTEXT, [PRIMARY]),
    "exactly-one-frame": (16, 16, CONTEXT, [PRIMARY]),
    "one-more-than-a-frame": (16, 17, CONTEXT, [PRIMARY]),
    "three-frames": (16, 40, CONTEXT, [PRIMARY, OFFSITE]),
    "exactly-three-frames": (16, 48, CONTEXT, [PRIMARY, OFFSITE]),
    "names-beyond-ascii": (16, 5, {"a": "", "é": "ünïcode", "\uffff": "4", "\U00010000": "5"}, [PRIMARY]),
    "our-frames": (65536, 200_000, CONTEXT, [PRIMARY, OFFSITE]),
}


def short(field):
    return struct.pack(">H", len(field)) + field


def derive(info):
    return HKDF(SHA512(), 32, salt=MESSAGE_ID, info=info).derive(DATA_KEY)


def serialize(context):
    if not context:
        return b""
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return struct.pack(">H", len(pairs)) + b"".join(short(key) + short(value) for key, value in pairs)


def wrap(key, number, context):
    iv = bytes([number]) * 12
    info = key["name"].encode() + struct.pack(">II", 128, 12) + iv
    wrapped = AESGCM(bytes.fromhex(key["key"])).encrypt(iv, DATA_KEY, context)
    return {"provider": key["namespace"], "info": info, "ciphertext": wrapped}


def seal(frame_len, plaintext, context, data_keys):
    cipher = AESGCM(derive(b"\x04\x78" + b"DERIVEKEY"))
    body = b"\x02\x04\x78" + MESSAGE_ID + short(context) + struct.pack(">H", len(data_keys))
    for key in data_keys:
        body += short(key["provider"].encode()) + short(key["info"]) + short(key["ciphertext"])
    body += b"\x02" + struct.pack(">I", frame_len) + derive(b"COMMITKEY")
    message = body + cipher.encrypt(bytes(12), b"", body)

    def frame(sequence, content, label):
        iv = bytes(8) + struct.pack(">I", sequence)
        aad = MESSAGE_ID + label + struct.pack(">IQ", sequence, len(content))
        return iv, cipher.encrypt(iv, content, aad)

    whole = len(plaintext) // frame_len
    for sequence in range(1, whole + 1):
        content = plaintext[(sequence - 1) * frame_len : sequence * frame_len]
        iv, sealed = frame(sequence, content, b"AWSKMSEncryptionClient Frame")
        message += struct.pack(">I", sequence) + iv + sealed
    rest = plaintext[whole * frame_len :]
    iv, sealed = frame(whole + 1, rest, b"AWSKMSEncryptionClient Final Frame")
    return message + b"\xff\xff\xff\xff" + struct.pack(">I", whole + 1) + iv + struct.pack(">I", len(rest)) + sealed


def main():
    for name, (frame_len, plaintext_len, context, keys) in SCENARIOS.items():
        serialized = serialize(context)
        data_keys = [wrap(key, number, serialized) for number, key in enumerate(keys, 1)]
        message = seal(frame_len, bytes(i % 251 for i in range(plaintext_len)), serialized, data_keys)
        vector = {
            "scenario": name.replace("-", " "),
            "source": "generate.py",
            "frame_len": frame_len,
            "context": context,
            "wrapping_keys": keys,
            "data_key": base64.b64encode(DATA_KEY).decode(),
            "message_id": base64.b64encode(MESSAGE_ID).decode(),
            "plaintext_len": plaintext_len,
            "message_sha256": hashlib.sha256(message).hexdigest(),
            "outcome": "open",
        }
        if len(message) < 4096:
            vector["message"] = base64.b64encode(message).decode()
        (HERE / f"{name}.json").write_text(json.dumps(vector, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
