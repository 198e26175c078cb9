"""What the blobs of an instance are called."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from gateway.core.instances import InstanceKey


@dataclass(frozen=True, slots=True)
class Names:
    """Names of an instance's blobs: by its UIDs and by what it says.

    Two that claim one UID at the same time, or one before and after a correction, have blobs of
    their own: neither replaces what the row of the other names.

    Parameters
    ----------
    key
        UIDs of the instance.
    sha256
        Hexadecimal digest of what it is: of its header, or of all that was received.
    """

    key: InstanceKey
    sha256: str

    @classmethod
    def by_header(cls, key: InstanceKey, header: bytes) -> Self:
        """Name the blobs of an instance that has this header."""
        return cls(key, hashlib.sha256(header).hexdigest())

    def of(self, kind: str) -> str:
        """Return the name of one kind: ``header``, ``linked``, ``built``, ``frames``, ``dcm``.

        The ``document`` of a header is named after it.
        """
        return f"{self.key.study}/{self.key.instance}-{self.sha256[:16]}.{kind}"
