"""The property that everything about identity serves: no UID ever shows two patients."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from gateway.bootstrap import Services
from gateway.core.errors import GatewayError
from gateway.core.queries import QueryLevel
from tests.factories import make_svs
from tests.services.test_identity import DETAILS, IDENTITY, correct, found, opened


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

    rows = st.builds(
        lambda barcode, person, name, order: (
            {"barcode": barcode, "patient_id": person + name}
            | {"slide_id": barcode}
            | {"accession": order, "accession_issuer": "HOSPITAL" if order else ""}
        ),
        st.sampled_from(["B1", "B2"]),
        st.sampled_from(["ann", "ben"]),
        st.sampled_from(["", "_2"]),
        st.sampled_from(["", "S1", "S2"]),
    )
    slides = st.sampled_from([0, 1])

    @rule(number=slides, row=st.none() | rows)
    def add(self, number: int, row: dict[str, str] | None) -> None:
        self.does(row, lambda services: services.ingest.add(str(SLIDES[number])))

    @rule(number=slides, row=rows)
    def match(self, number: int, row: dict[str, str]) -> None:
        self.does(row, lambda services: services.quarantine.match(str(SLIDES[number]), "1"))

    @rule(row=rows)
    def match_all(self, row: dict[str, str]) -> None:
        self.does(row, lambda services: services.quarantine.match_all())

    @rule(number=slides, name=st.sampled_from(["", "_2", "_3"]))
    def details(self, number: int, name: str) -> None:
        """Correct what is said of the same person."""
        for slide in opened(self.data).ingest.slides():
            if slide.file.path == str(SLIDES[number]):
                (match, *_) = [
                    one
                    for one in found(opened(self.data))
                    if one["StudyInstanceUID"] == slide.study
                ]
                person = str(match["PatientID"] or "ann").partition("_")[0]
                row = {"barcode": f"B{number + 1}", "patient_id": person + name}
                self.does(row, partial(self.correct_details, row, SLIDES[number]))

    def correct_details(self, row: dict[str, str], slide: Path, _: Services) -> None:
        correct(self.data, DETAILS, row, slide)

    @rule(number=slides, row=rows)
    def identity(self, number: int, row: dict[str, str]) -> None:
        self.does(row, lambda _: correct(self.data, IDENTITY, row, SLIDES[number]))


SLIDES: list[Path] = []


@pytest.mark.req("REQ-WSI-23", "REQ-WSI-32")
def test_no_uid_ever_shows_two_patients(tmp_path: Path) -> None:
    SLIDES[:] = [tmp_path / "one.svs", tmp_path / "two.svs"]
    for number, path in enumerate(SLIDES, 1):
        make_svs(path, extra_description=f"|Barcode = B{number}", seed=number)
    run_state_machine_as_test(
        Doors, settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )
