import sys, time, threading, numpy as np
from ecc_rf.features import FeatureSelection, compute_features
import ecc_rf.features.extract as X

n = 256
rng = np.random.default_rng(0)
v = rng.integers(0, 255, (1, n, n, n)).astype(np.float32)
p = FeatureSelection.recommended().plan((n, n, n))
out = np.empty((16, n, n, n), np.float32)
tiles = [tuple(map(int, a.split(","))) for a in sys.argv[1:]] or [X.TILE]
compute_features(v[:, :40], p, tuple(slice(0, k) for k in (40, n, n)), np.empty((16, 40, n, n), np.float32))
for rep in range(3):
    for t in tiles:
        X.TILE = t
        a = time.perf_counter()
        compute_features(v, p, out=out)
        b = time.perf_counter() - a
        print(t, "1 thread", round(n**3 / b / 1e6, 1), "Mvoxel/s", flush=True)
