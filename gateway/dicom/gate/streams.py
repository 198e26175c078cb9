"""Part 10 streams as they come: read, summed up and examined, whatever is in them."""

from __future__ import annotations

from datetime import datetime

from gateway.core.errors import GatewayError
from gateway.dicom.gate.examination import Object, examine_item
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.pixels import Read
from gateway.dicom.gate.series import Summary, summarise_item
from gateway.dicom.gate.verdict import Finding, Verdict
from gateway.dicom.streams.reader import read_part10


def examine_part10(
    read: Read, size: int, *, moment: datetime | None = None
) -> tuple[Verdict, Summary | None]:
    """Examine a stream.

    Parameters
    ----------
    read
        Returns the bytes at ``(offset, length)``.
    size
        Bytes of the stream.
    moment
        When repairs are made; None is now.

    Returns
    -------
    The verdict, and what the rules over several instances need; None if it cannot be read. What
    cannot be read is held.
    """
    try:
        found = read_part10(read, size)
    except GatewayError as error:
        return held("FILE-UNREADABLE", error.detail), None
    item = Item(found.dataset)
    of = Object(item, found.transfer_syntax, found.frames, read)
    return examine_item(of, found.wrong_offsets, moment), summarise_item(item)


def held(rule: str, message: str) -> Verdict:
    """Return the verdict of what cannot be read."""
    action = "Have the sender send it again, or find out what it is."
    return Verdict((Finding(rule, message, action),))
