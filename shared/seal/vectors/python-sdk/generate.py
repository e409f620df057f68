"""Writes the vectors beside this file with the stock AWS Encryption SDK for Python.

    python3 -m venv /tmp/sdk && /tmp/sdk/bin/pip install -r requirements.txt && /tmp/sdk/bin/python generate.py

Every run draws new data keys, message ids and IVs, so the files change; what they must open to does not.
"""

import base64
import importlib.metadata
import json
import pathlib

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    AesWrappingAlg,
    CreateMultiKeyringInput,
    CreateRawAesKeyringInput,
)
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import Algorithm

HERE = pathlib.Path(__file__).parent
OURS = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SIGNED = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
UNCOMMITTED = Algorithm.AES_256_GCM_IV12_TAG16_HKDF_SHA256

PRIMARY = {"namespace": "lifeboat", "name": "primary", "key": bytes(range(32)).hex()}
OFFSITE = {"namespace": "lifeboat", "name": "offsite", "key": bytes(range(32, 64)).hex()}
CONTEXT = {"repository": "clinic", "database": "praxis", "Zebra": "capital first", "naïve": "ünïcode"}

# name: (frame length, plaintext length, context, keys, algorithm, outcome)
SCENARIOS = {
    "empty": (4096, 0, {}, [PRIMARY], OURS, "open"),
    "empty-with-context": (4096, 0, CONTEXT, [PRIMARY], OURS, "open"),
    "one-byte": (4096, 1, CONTEXT, [PRIMARY], OURS, "open"),
    "shorter-than-a-frame": (128, 127, CONTEXT, [PRIMARY], OURS, "open"),
    "exactly-one-frame": (128, 128, CONTEXT, [PRIMARY], OURS, "open"),
    "one-more-than-a-frame": (128, 129, CONTEXT, [PRIMARY], OURS, "open"),
    "exactly-three-frames": (128, 384, {}, [PRIMARY], OURS, "open"),
    "default-frames": (4096, 10_000, CONTEXT, [PRIMARY], OURS, "open"),
    "two-data-keys": (256, 600, CONTEXT, [PRIMARY, OFFSITE], OURS, "open"),
    "our-frames": (65536, 65537, CONTEXT, [PRIMARY, OFFSITE], OURS, "open"),
    "signed-suite": (128, 129, CONTEXT, [PRIMARY], SIGNED, "Suite { suite: 1400 }"),
    "uncommitted-suite": (128, 129, CONTEXT, [PRIMARY], UNCOMMITTED, "Version { version: 1 }"),
    "not-framed": (0, 129, CONTEXT, [PRIMARY], OURS, "ContentType { content_type: 1 }"),
    "frames-too-long": (2 * 1024 * 1024, 129, {}, [PRIMARY], OURS, "FrameLength { frame_len: 2097152, limit: 1048576 }"),
}


def keyring(providers, keys):
    rings = [
        providers.create_raw_aes_keyring(
            CreateRawAesKeyringInput(
                key_namespace=key["namespace"],
                key_name=key["name"],
                wrapping_key=bytes.fromhex(key["key"]),
                wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
            )
        )
        for key in keys
    ]
    if len(rings) == 1:
        return rings[0]
    return providers.create_multi_keyring(CreateMultiKeyringInput(generator=rings[0], child_keyrings=rings[1:]))


def main():
    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("aws-encryption-sdk", "aws-cryptographic-material-providers")
    )
    for name, (frame_len, plaintext_len, context, keys, algorithm, outcome) in SCENARIOS.items():
        policy = (
            CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
            if algorithm is UNCOMMITTED
            else CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
        )
        client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy)
        message, _ = client.encrypt(
            source=bytes(i % 251 for i in range(plaintext_len)),
            keyring=keyring(providers, keys),
            encryption_context=context,
            algorithm=algorithm,
            frame_length=frame_len,
        )
        vector = {
            "scenario": name.replace("-", " "),
            "source": versions,
            "frame_len": frame_len,
            "context": context,
            "wrapping_keys": keys,
            "plaintext_len": plaintext_len,
            "message": base64.b64encode(message).decode(),
            "outcome": outcome,
        }
        text = json.dumps(vector, indent=2, ensure_ascii=False)
        (HERE / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
