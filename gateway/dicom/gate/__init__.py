"""The conformance gate: whether an object is what the standard and the known viewers take.

Three verdicts: passed; repaired, by a fixed list of repairs that change no meaning and are
recorded in the object; held, with a reason and what to do. Nothing here opens files or knows a
database; what is looked at is what the caller gives.
"""

from gateway.dicom.gate.examination import examine, prepare
from gateway.dicom.gate.references import reference_findings, referred_to
from gateway.dicom.gate.series import Summary, examine_series, summarise
from gateway.dicom.gate.streams import examine_part10, held
from gateway.dicom.gate.verdict import Finding, Outcome, Severity, Verdict, outcome_of

__all__ = [
    "Finding",
    "Outcome",
    "Severity",
    "Summary",
    "Verdict",
    "examine",
    "examine_part10",
    "examine_series",
    "held",
    "outcome_of",
    "prepare",
    "reference_findings",
    "referred_to",
    "summarise",
]
