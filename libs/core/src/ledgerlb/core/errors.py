"""The error tree of LedgerLB.

    LedgerLBError
    ├── BadInput                 foreign input that cannot be used; names object, field, remedy
    │   ├── UndecodableRecord    a record of a topic that cannot be used; goes to dead letters
    │   │   ├── LedgerDamaged    a record of the ledger that stops its network
    │   │   └── ForeignRecord    a record that no trusted key signed
    │   ├── InvalidManifest      a manifest or scenario file that cannot be read
    │   └── InvalidSetting       a setting of a service that cannot be used
    ├── LedgerCorrupt            an event contradicts the state of its network
    ├── EventLogError
    │   ├── LogUnavailable       no answer in time, or an unknown outcome: catch up and decide again
    │   │   ├── PositionLost     the offset to read from is gone (raised by the event log): read from the beginning
    │   │   └── LogAccessDenied  the log knows who asks and does not permit it: grant it, the process tries again
    │   ├── RecordTooLarge       the record exceeds the topic's limit: split the decision
    │   └── TopicMisconfigured   a topic is missing or its settings endanger the log
    ├── ClusterError
    │   ├── ClusterUnavailable   the API server does not answer: back off, keep what is programmed
    │   └── ClusterRefused       the API server refused a write for good; shown on the object
    ├── DataPathError            the machine's forwarding state could not be changed
    └── NotSupported             a known feature that this version does not have

LedgerLB raises only these on purpose, so a caller can tell them from a bug. Each branch calls for one reaction: fix
the input (BadInput), stop and investigate (LedgerCorrupt), retry (LogUnavailable, ClusterUnavailable), or tell the user
(the rest).
"""

from __future__ import annotations


class LedgerLBError(Exception):
    """Root of every error that LedgerLB raises on purpose."""


class BadInput(LedgerLBError):
    """Foreign input that cannot be used.

    ``subject`` names the object (``NetworkAttachmentDefinition a/b``), ``field`` the place in it (may be empty),
    ``problem`` what is wrong and ``remedy`` what to do about it.
    """

    def __init__(self, subject: str, field: str, problem: str, remedy: str = "") -> None:
        self.subject = subject
        self.field = field
        self.problem = problem
        self.remedy = remedy
        place = f"{subject}, {field}" if field else subject
        super().__init__(f"{place}: {problem}" + (f"; {remedy}" if remedy else ""))


class UndecodableRecord(BadInput):
    """A record whose bytes do not decode to what its topic carries."""


class LedgerDamaged(UndecodableRecord):
    """A record of the ledger that no honest writer of this version appends: its network decides nothing more."""


class ForeignRecord(UndecodableRecord):
    """A record that no trusted key signed, where keys are configured. No process acts on it."""


class InvalidManifest(BadInput):
    """A manifest or scenario file that cannot be read; ``field`` holds the line if it is known."""


class InvalidSetting(BadInput):
    """A setting (file or environment) that cannot be used."""


class LedgerCorrupt(LedgerLBError):
    """An event contradicts the state that it applies to.

    The fold turns this into damage of the network. From a decision it is a bug: nothing may be appended then.
    """


class EventLogError(LedgerLBError):
    """A failure of the event log."""


class LogUnavailable(EventLogError):
    """The log did not answer in time, or whether it took an append is unknown. Catch up, decide again, never resend."""


class LogAccessDenied(LogUnavailable):
    """The log does not permit what this process's principal asks for. An administrator can grant it at any time."""


class RecordTooLarge(EventLogError):
    """A record over the topic's size limit."""


class TopicMisconfigured(EventLogError):
    """A topic is missing, or has settings under which records would be lost."""


class ClusterError(LedgerLBError):
    """A failure of the Kubernetes API."""


class ClusterUnavailable(ClusterError):
    """The API server does not answer, or asks to come back later."""


class ClusterRefused(ClusterError):
    """The API server refused a write and will refuse it again."""


class DataPathError(LedgerLBError):
    """The kernel (or another data path) refused a change."""


class NotSupported(LedgerLBError):
    """A feature that is specified but not part of this version."""
