"""Slides to index, and the work that tests have done by other processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier

from gateway.core.frames import FrameTable
from gateway.core.instances import (
    FileFacts,
    Identified,
    Instance,
    InstanceKey,
    LinkedFile,
    Signature,
)
from gateway.core.ports import Match, PlannedInstance, SlidePlan
from gateway.core.queries import Query
from gateway.index.work import SqlIndex, open_index

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
FLAVOURS = ("VOLUME", "LABEL")


def planned(number: int, study: str = "", **attributes: str) -> SlidePlan:
    """Return slide ``number``: two instances in a series and a study of its own."""
    study = study or f"1.2.{number}"
    series = f"1.3.{number}"
    file = LinkedFile(f"/slides/{number}.svs", f"print-{number}", Signature(number, 2, 3, 4))
    return SlidePlan(
        file,
        f"identity-{number}",
        study,
        series,
        tuple(
            PlannedInstance(
                InstanceKey(study, series, f"{series}.{place}"),
                JPEG_BASELINE,
                b"",
                {
                    "StudyInstanceUID": study,
                    "SeriesInstanceUID": series,
                    "SOPInstanceUID": f"{series}.{place}",
                    "SOPClassUID": WHOLE_SLIDE,
                    "Modality": "SM",
                    "ImageType": f"ORIGINAL\\PRIMARY\\{FLAVOURS[place % 2]}\\NONE",
                    "InstanceNumber": str(place + 1),
                    **attributes,
                },
                FrameTable.single(1),
                None,
                f"ROLE {place}",
            )
            for place in range(2)
        ),
        FileFacts(barcode=f"B{number}"),
        Identified.NONE,
        "1",
        None,
        {},
    )


def linked(plan: SlidePlan) -> list[Instance]:
    """Return the instances of a plan, their frames in the scanner's file."""
    return [
        Instance(
            planned.key,
            planned.transfer_syntax,
            len(planned.frames),
            f"{planned.key.instance}.header",
            f"{planned.key.instance}.table",
            plan.file,
        )
        for planned in plan.instances
    ]


def add(index: SqlIndex, *numbers: int, study: str = "", **attributes: str) -> None:
    """Add slides of these numbers."""
    for number in numbers:
        plan = planned(number, study, **attributes)
        index.add_slide(plan, linked(plan), due=float(number))


def search(index: SqlIndex, query: Query) -> list[Match]:
    """Return all matches of a query."""
    return list(index.search(query))


def add_elsewhere(url: str, first: int, count: int) -> None:
    """Add slides from two threads of this process."""
    index = open_index(url)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda number: add(index, number), range(first, first + count)))
    index.close()


def fork_and_add(url: str) -> tuple[int, int, int]:
    """Add slides before, in and after a fork; return the child's end and two epochs."""
    index = open_index(url)
    add(index, 1)
    before = index.epoch()
    child = os.fork()
    if not child:
        add(index, 2)
        os._exit(0 if len(index.slides()) == 2 else 1)
    _, status = os.waitpid(child, 0)
    after = index.epoch()
    add(index, 3)
    index.close()
    return status, before, after


def open_together(url: str, barrier: Barrier) -> None:
    """Open an index at the same moment as another process does."""
    barrier.wait(timeout=60)
    index = open_index(url)
    index.epoch()
    index.close()


class Stuck(list[Instance]):
    """Instances that are never all there: who asks for them waits inside the transaction."""

    def __iter__(self) -> Iterator[Instance]:
        print("inside", flush=True)
        time.sleep(60)
        return super().__iter__()


if __name__ == "__main__":
    plan = planned(2)
    open_index(sys.argv[1]).add_slide(plan, Stuck(linked(plan)), due=0.0)
