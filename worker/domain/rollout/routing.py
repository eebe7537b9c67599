"""Which jobs a share of the traffic is made of.

Invariant: a job that is in a share is in every larger share of the same rollout, on every worker and at every attempt.
"""

import hashlib
from typing import Final

ALL: Final = 10_000
"""The whole of the traffic, in the unit of shares: hundredths of a percent."""


def bucket_of(salt: str, key: bytes) -> int:
    """Return the bucket of a key, 0 to 9,999; the salt makes it another one in the next rollout."""
    digest = hashlib.blake2b(key, digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest) % ALL


def is_in_share(salt: str, key: bytes, share: int) -> bool:
    """Whether jobs of this key belong to a share of the traffic."""
    return bucket_of(salt, key) < share
