"""What a run leaves behind: records written whole and read whole, claims on runs, and what they say of their machine.

Imports numpy, and nothing else of fracpool.
"""

from fracpool.records.record import Record, RecordError
from fracpool.records.store import Store

__all__ = ["Record", "RecordError", "Store"]
