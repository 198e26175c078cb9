"""The property that everything about identity serves: no UID ever shows two patients."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from gateway.bootstrap import Services
from gateway.core.errors import GatewayError
from gateway.core.identity import CorrectionKind
from gateway.core.queries import QueryLevel
from tests.factories import make_svs
from tests.services.test_identity import DETAILS, IDENTITY, found, opened


class Doors(RuleBasedStateMachine):
    """Whatever is added, matched and corrected in whatever order: no UID shows two people."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.data = Path(self.folder.name) / "data"
        self.owners: dict[str, str] = {}
        self.rejected: set[str] = set()

    def teardown(self) -> None:
        self.folder.cleanup()

    def does(self, row: dict[str, str] | None, act: Callable[[Services], object]) -> None:
        services = opened(self.data, *([row] if row else []))
        before = self.visible(services)
        with suppress(GatewayError):
            act(services)
        after = self.visible(services)
        self.rejected |= before.keys() - after.keys()
        assert not self.rejected & after.keys()

    def visible(self, services: Services) -> dict[str, str]:
        """Return who each SOP Instance UID shows; patients with an underscore are one person."""
        shown: dict[str, str] = {}
        for match in found(services, QueryLevel.INSTANCE):
            person = str(match["PatientID"] or "").partition("_")[0]
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                uid = str(match[keyword])
                assert not person or self.owners.setdefault(uid, person) == person
            shown[str(match["SOPInstanceUID"])] = person
        return shown

    slides = st.sampled_from([0, 1])
    people = st.sampled_from(["ann", "ben", "ann_2"])
    orders = st.sampled_from(["S1", "S2", ""])

    @rule(number=slides, person=people, order=orders)
    def add(self, number: int, person: str, order: str) -> None:
        self.does(row(number, person, order), adding(number))

    @rule(number=slides)
    def add_as_nobodys(self, number: int) -> None:
        self.does(None, adding(number))

    @rule(number=slides, person=people, order=orders)
    def add_without_a_match_and_match(self, number: int, person: str, order: str) -> None:
        self.does(row(1 - number, person, order), adding(number))
        self.does(row(number, person, order), lambda services: services.quarantine.match_all())

    @rule(number=slides, record=st.sampled_from(["", "_2"]), order=orders)
    def details(self, number: int, record: str, order: str) -> None:
        """Say another thing of the same person."""
        for slide in opened(self.data).ingest.slides():
            if slide.file.path == str(SLIDES[number]):
                person = self.owners.get(slide.study, "ann")
                self.does(row(number, person + record, order), correcting(DETAILS, number))

    @rule(number=slides, person=people, order=orders)
    def identity(self, number: int, person: str, order: str) -> None:
        self.does(row(number, person, order), correcting(IDENTITY, number))


def row(number: int, person: str, order: str) -> dict[str, str]:
    issuer = "HOSPITAL" if order else ""
    return {
        "barcode": f"B{number + 1}",
        "patient_id": person,
        "accession": order,
        "accession_issuer": issuer,
    }


def adding(number: int) -> Callable[[Services], object]:
    return lambda services: services.ingest.add(str(SLIDES[number]))


def correcting(kind: CorrectionKind, number: int) -> Callable[[Services], object]:
    def act(services: Services) -> None:
        corrections = services.corrections
        corrections.apply(corrections.plan(str(SLIDES[number]), None, kind, "tester", "wrong"))

    return act


SLIDES: list[Path] = []


@pytest.mark.req("REQ-WSI-23", "REQ-WSI-32")
def test_no_uid_ever_shows_two_patients(tmp_path: Path) -> None:
    SLIDES[:] = [tmp_path / "one.svs", tmp_path / "two.svs"]
    for number, path in enumerate(SLIDES, 1):
        make_svs(path, extra_description=f"|Barcode = B{number}", seed=number)
    # The same sequences each time: they are known to find each safeguard that is taken away.
    steps = settings(
        max_examples=40,
        stateful_step_count=10,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
    )
    run_state_machine_as_test(Doors, settings=steps)
