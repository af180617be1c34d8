"""vigra's share of the benchmark; runs in the system's Python and needs nothing but vigra and NumPy.

    python3 vigra_peer.py features IMAGE.npy
    python3 vigra_peer.py forest PROJECT.ilp NUMBER_OF_FORESTS ROWS.npy RESULT.npy

For every line it reads, a number of threads, it does its work once and answers with the seconds that it took.
"""

import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import vigra


def features(image):
    """The 16 recommended cell features as ilastik asks vigra for them, presmoothed images shared."""
    f = vigra.filters

    def presmoothed(scale):
        return f.gaussianSmoothing(image, math.sqrt(scale**2 - 1) if scale > 1 else scale, window_size=3.5)

    def smooth(p, d):
        return f.gaussianSmoothing(p, d, window_size=2.0)

    def difference(p, d):
        return smooth(p, d) - smooth(p, 0.66 * d)

    def gradient(p, d):
        return f.gaussianGradientMagnitude(p, d, window_size=2.0)

    def hessian(p, d):
        return f.hessianOfGaussianEigenvalues(p, d, window_size=2.0)

    scales = (0.3, 0.7, 1.0, 1.6, 3.5)
    filters = [(hessian, s) for s in (1.0, 1.6, 3.5)] + [(difference, s) for s in (0.7, 1.0, 1.6, 3.5)]
    filters += [(gradient, 0.7), (smooth, 0.3), (smooth, 0.7)]

    def work(pool):
        p = dict(zip(scales, pool.map(presmoothed, scales)))
        list(pool.map(lambda task: task[0](p[task[1]], min(task[1], 1.0)), filters))

    return work


def forest(project, count, rows, result):
    """Probabilities merged from the project's forests as ilastik merges them."""
    group = "PixelClassification/ClassifierForests/Forest%04d"
    forests = [vigra.learning.RandomForest(project, group % k) for k in range(int(count))]
    trees = np.float32(sum(one.treeCount() for one in forests))
    saved = []

    def work(pool):
        total = 0
        for one, found in zip(forests, pool.map(lambda one: one.predictProbabilities(rows), forests)):
            total = total + found * np.float32(one.treeCount())
        total /= trees
        if not saved:
            saved.append(True)
            np.save(result, total)

    return work


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    if task == "features":
        action = features(np.load(arguments[0]))
    else:
        action = forest(arguments[0], arguments[1], np.load(arguments[2]), arguments[3])
    for line in sys.stdin:
        with ThreadPoolExecutor(int(line)) as pool:
            start = time.perf_counter()
            action(pool)
            print(time.perf_counter() - start, flush=True)
