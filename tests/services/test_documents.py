"""Documents are made ahead, of nothing but the header, and made again if they are lost."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from gateway.bootstrap import Services, open_services
from gateway.core.errors import BlobMissing, NotFound
from gateway.core.instances import Instance
from gateway.dicom.json.headers import ROOT
from gateway.dicom.json.model import dataset_json
from gateway.services import documents
from gateway.services.documents import document_name
from gateway.settings import Settings
from tests.factories import make_svs


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    folder = tmp_path_factory.mktemp("documents")
    make_svs(folder / "slide.svs", seed=3)
    services = open_services(Settings(data=folder / "data"))
    services.ingest.add(str(folder / "slide.svs"))
    return services


@pytest.fixture
def instance(services: Services) -> Instance:
    (slide,) = services.ingest.slides()
    return services.retrieve.instances(slide.study)[0]


def said(services: Services, instance: Instance) -> dict[str, Any]:
    text = b"".join(services.retrieve.document(instance).text()).decode()
    found: dict[str, Any] = json.loads(text.replace(ROOT, "root"))
    return found


def blob_of(services: Services, instance: Instance) -> Path:
    return services.store._root / document_name(instance.header)


@pytest.mark.req("REQ-META-08")
def test_a_slide_has_its_documents_when_it_is_added(services: Services, instance: Instance) -> None:
    (slide,) = services.ingest.slides()
    for one in services.retrieve.instances(slide.study):
        assert blob_of(services, one).exists()
        wanted = dataset_json(services.retrieve.header(one), str, inline_limit=10**9)
        wanted["00083002"] = {"vr": "UI", "Value": [one.transfer_syntax]}
        assert said(services, one) == json.loads(json.dumps(wanted))


@pytest.mark.req("REQ-META-08")
@pytest.mark.parametrize("damage", ["lost", "cut", "empty", "old"])
def test_a_document_that_is_not_there_whole_is_made_again(
    services: Services, instance: Instance, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, blob = said(services, instance), blob_of(services, instance)
    content = blob.read_bytes()
    if damage == "lost":
        blob.unlink()
    elif damage == "old":
        monkeypatch.setattr(documents, "_MAGIC", b"sgdoc  X")
    else:
        blob.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    assert said(services, instance) == before
    monkeypatch.undo()
    assert said(services, instance) == before
    assert blob.read_bytes() == content


@pytest.mark.req("REQ-META-08")
def test_without_room_for_it_a_document_is_answered_all_the_same(
    services: Services, instance: Instance
) -> None:
    before, blob = said(services, instance), blob_of(services, instance)
    content = blob.read_bytes()
    blob.unlink()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        assert said(services, instance) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not blob.exists()
    assert said(services, instance) == before
    assert blob.read_bytes() == content


def test_without_its_header_a_document_is_not_made(tmp_path: Path) -> None:
    make_svs(tmp_path / "slide.svs", seed=4)
    services = open_services(Settings(data=tmp_path / "data"))
    slide = services.ingest.add(str(tmp_path / "slide.svs"))
    instance = services.retrieve.instances(slide.study)[0]
    blob_of(services, instance).unlink()
    (services.store._root / instance.header).unlink()
    with pytest.raises(BlobMissing):
        services.retrieve.document(instance)


@pytest.mark.req("REQ-META-04", "REQ-META-06")
def test_bulk_data_are_read_where_they_lie(services: Services, instance: Instance) -> None:
    profile = services.retrieve.header(instance).OpticalPathSequence[0].ICCProfile
    value = services.retrieve.bulk_data(instance, "00480105/0/00282000")
    assert value.size == len(profile)
    assert b"".join(value.pieces(0, value.size)) == profile
    assert b"".join(value.pieces(5, 25)) == profile[5:25]
    for wrong in ("00282000", "00480105/1/00282000", "00480105/0", "00480105/x/00282000", ""):
        with pytest.raises(NotFound):
            services.retrieve.bulk_data(instance, wrong)
