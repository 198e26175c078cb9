"""Commands about whose slides are: match, correct."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import options
from gateway.core.errors import GatewayError, Unmatched

if TYPE_CHECKING:
    from gateway.bootstrap import Services
    from gateway.core.identity import Correction, QuarantinedSlide
    from gateway.core.instances import Slide
    from gateway.services.corrections import PlannedCorrection

row = click.option(
    "--row",
    metavar="ID",
    help="Row of the worklist: its id, its number if it has none, or barcode.",
)


@click.command()
@click.argument("slide", required=False)
@options.present_data
@options.database
@options.metadata
@row
@click.option("--unidentified", is_flag=True, help="Serve SLIDE as nobody's, with no patient.")
@options.tile_by
@options.focal_planes
@options.json
def match(
    slide: str | None,
    data: Path,
    database: str,
    metadata: Path | None,
    row: str | None,
    unidentified: bool,
    tile_by: str | None,
    focal_planes: str,
    as_json: bool,
) -> None:
    """List the slides that wait until it is known whose they are, or match them.

    With --metadata all of them are tried again. With SLIDE (path or fingerprint) and --row, that
    slide is served under the identity of that row. What still waits is listed; exit 1 if any does.
    """
    with options.importing():
        from converters.sources import Choices
        from gateway.bootstrap import open_services

    if (slide is None) is not (row is None and not unidentified) or (row and unidentified):
        raise click.UsageError("Name a SLIDE together with --row or --unidentified.")
    with options.errors_told():
        metadata = None if unidentified else metadata
        settings = options.settings(data, database, metadata=metadata)
        services = open_services(settings, Choices.of(tile_by, focal_planes))
        if slide is not None:
            _match_one(services, slide, row, as_json)
            return
        if metadata is not None:
            _match_all(services, as_json)
        left = services.quarantine.waiting()
    for one in left:
        _emit_waiting(one, as_json)
    if left:
        sys.exit(options.FAILED)
    if not as_json:
        click.echo("No slide waits.")


def _match_one(services: Services, slide: str, row: str | None, as_json: bool) -> None:
    waiting = services.quarantine
    served = waiting.match(slide, row) if row else waiting.serve_unidentified(slide)
    _emit_served(services, served, as_json)


def _emit_served(services: Services, slide: Slide, as_json: bool) -> None:
    ingest = services.ingest
    empty, provenance = ingest.empty(slide), ingest.provenance(slide)
    options.emit_slide(slide, slide.file.path, empty, provenance, as_json)


def _match_all(services: Services, as_json: bool) -> None:
    for waiting, result in services.quarantine.match_all():
        if not isinstance(result, GatewayError):
            _emit_served(services, result, as_json)
        elif not isinstance(result, Unmatched):  # those are listed
            click.echo(f"Error: {waiting.file.path}: {result.detail}", err=True)


def _emit_waiting(slide: QuarantinedSlide, as_json: bool) -> None:
    record: dict[str, object] = {
        "path": slide.file.path,
        "state": "quarantined",
        "fingerprint": slide.file.fingerprint,
        "barcode": slide.barcode,
        "reason": slide.reason,
        "at": _time(slide.at),
    }
    barcode = f"barcode {slide.barcode}" if slide.barcode else "no barcode"
    text = f"{slide.file.path}: {barcode}, tried {_time(slide.at)}: {slide.reason}\n"
    options.emit(record, f"{text}  fingerprint {slide.file.fingerprint}", as_json)


@click.command()
@click.argument("slide", required=False)
@options.present_data
@options.database
@options.metadata
@row
@click.option(
    "--kind",
    type=click.Choice(["details", "identity"]),
    help="details: same person and study, UIDs stay. identity: another person or study, new UIDs.",
)
@click.option("--reason", help="Why; it is kept with the correction.")
@click.option("--dry-run", is_flag=True, help="Tell what would change; change nothing.")
@click.option("--list", "listing", is_flag=True, help="List all corrections.")
@options.json
def correct(
    slide: str | None,
    data: Path,
    database: str,
    metadata: Path | None,
    row: str | None,
    kind: str | None,
    reason: str | None,
    dry_run: bool,
    listing: bool,
    as_json: bool,
) -> None:
    """Correct what a slide that is served says of patient, order and specimen.

    SLIDE is a path, a fingerprint, or the UID of a series or study. A row of --metadata says what
    is true, all of it: what it does not say becomes empty. Frames are never touched.

    --kind details: the person and the study are the same, a name or number was wrong. UIDs stay;
    patient and order change in the whole study, and headers keep what they said before.

    --kind identity: the slide is another person's or belongs to another study. Its instances are
    rejected, and it is served at once under new UIDs.
    """
    with options.importing():
        from gateway.bootstrap import open_services
        from gateway.core.identity import CorrectionKind

    if not listing and not (slide and kind and reason and reason.strip()):
        raise click.UsageError("Name a SLIDE, --kind and --reason; or use --list.")
    with options.errors_told():
        settings = options.settings(data, database, metadata=metadata)
        corrections = open_services(settings).corrections
        if listing:
            for one in corrections.listed():
                _emit_correction(one, as_json)
            return
        assert slide is not None
        assert reason is not None
        planned = corrections.plan(
            slide, row, CorrectionKind(str(kind)), _operator(), reason.strip()
        )
        if not dry_run:
            corrections.apply(planned)
    _emit_planned(planned, dry_run, as_json)


def _emit_planned(planned: PlannedCorrection, dry_run: bool, as_json: bool) -> None:
    correction = planned.correction
    record: dict[str, object] = {
        "kind": correction.kind.value,
        "study": correction.study,
        "new_study": correction.new_study,
        "instances": len(planned.revisions),
        "applied": not dry_run,
        "changes": [
            {"keyword": one.keyword, "before": one.before, "after": one.after}
            for one in planned.changes
        ],
        "left": planned.left,
    }
    verb = "would be" if dry_run else "are"
    lines = [f"{len(planned.revisions)} instances {verb} corrected; study {correction.new_study}"]
    lines += [f"  {one.keyword}: {one.before!r} -> {one.after!r}" for one in planned.changes]
    if planned.left:
        lines.append(
            f"  {planned.left} received objects stay in study {correction.study}; see whether they "
            "speak of this slide."
        )
    options.emit(record, "\n".join(lines), as_json)


def _emit_correction(correction: Correction, as_json: bool) -> None:
    record: dict[str, object] = {
        "at": _time(correction.at),
        "actor": correction.actor,
        "kind": correction.kind.value,
        "study": correction.study,
        "new_study": correction.new_study,
        "fingerprint": correction.fingerprint,
        "keywords": list(correction.keywords),
        "reason": correction.reason,
    }
    to = "" if correction.new_study == correction.study else f" -> {correction.new_study}"
    text = (
        f"{_time(correction.at)} {correction.actor}: {correction.kind.value} of study "
        f"{correction.study}{to}: {correction.reason}\n  {', '.join(correction.keywords)}"
    )
    options.emit(record, text, as_json)


def _operator() -> str:
    """Return the user of the operating system, as it knows who runs this process."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in many a container
        return f"user {os.getuid()}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
