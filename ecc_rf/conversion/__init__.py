"""An image in another format, in bounded memory, read back and compared."""

from ecc_rf.conversion.convert import ConversionRecord, convert

__all__ = ["ConversionRecord", "convert"]
