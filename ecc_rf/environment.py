"""Versions and machine: what a run writes down, and what a bug report needs.

Nothing heavy is imported: versions are read from the metadata of what is installed.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from ecc_rf._version import __version__

_LIBRARIES = ("numpy", "numba", "h5py", "zarr", "joblib", "pandas", "scikit-learn")
_MORE = ("llvmlite", "scipy", "tifffile", "imagecodecs", "nibabel", "matplotlib", "rich", "dask", "pyarrow", "napari")
_VECTORS = ("sse4.2", "avx2", "fma", "avx512f", "neon", "sve")


def versions() -> dict[str, str]:
    """Versions of this package, Python, the libraries that compute, and the platform."""
    found = {"ecc_rf": __version__, "python": platform.python_version(), "platform": platform.platform()}
    return found | {name: _version(name) for name in _LIBRARIES}


def describe_environment() -> str:
    """What a bug report needs, as lines of text; the first is the version itself."""
    found = versions()
    lines = {
        "Python": f"{found['python']} ({platform.python_implementation()}), {sys.executable}",
        "platform": found["platform"],
        "processor": _processor(),
        "cores": _cores(),
        "installed": ", ".join(f"{name} {found[name]}" for name in _LIBRARIES),
        "": ", ".join(f"{name} {_version(name, 'not installed')}" for name in _MORE),
    }
    width = max(map(len, lines)) + 1
    return "\n".join([f"ecc-rf {__version__}", *(f"  {name:<{width}} {text}" for name, text in lines.items())])


def _version(name: str, otherwise: str = "unknown") -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # an installation without metadata
        return str(getattr(sys.modules.get(name), "__version__", otherwise))


def _cores() -> str:
    """How many there are, how many this process may use, and what limits the threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{name}={os.environ[name]}" for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ]
    return ", ".join([f"{os.cpu_count()}, of which {usable} may be used", *limits])


def _processor() -> str:
    """Its name as the compiler of the kernels knows it, and the vector instructions that count."""
    try:
        from llvmlite import binding
    except Exception as error:  # a broken installation is what a bug report is about
        return f"{platform.machine()} (llvmlite cannot be imported: {error})"
    features = binding.get_host_cpu_features()
    return ", ".join([binding.get_host_cpu_name(), *(name for name in _VECTORS if features.get(name))])
