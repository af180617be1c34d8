"""What a command would take, without doing it: blocks, memory, disk space, and time from a short probe."""

from ecc_rf.forecast.cells import forecast_cells
from ecc_rf.forecast.classify import forecast_order
from ecc_rf.forecast.convert import forecast_conversion
from ecc_rf.forecast.run import forecast_run
from ecc_rf.forecast.stage import Forecast

__all__ = ["Forecast", "forecast_cells", "forecast_conversion", "forecast_order", "forecast_run"]
