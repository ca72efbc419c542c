"""Learners that misbehave, for tests: each in a way a real one has."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
from sklearn.dummy import DummyClassifier

from tasks.tabular.zoo.entry import Learner


class Breaks(DummyClassifier):
    def fit(self, X, y, sample_weight=None):  # noqa: N803
        raise ValueError("I cannot read this")


class Dies(DummyClassifier):
    def fit(self, X, y, sample_weight=None):  # noqa: N803
        os.kill(os.getpid(), signal.SIGSEGV)
        return self


class Hangs(DummyClassifier):
    def fit(self, X, y, sample_weight=None):  # noqa: N803
        while True:
            time.sleep(0.05)


class Eats(DummyClassifier):
    def fit(self, X, y, sample_weight=None):  # noqa: N803
        eaten = []
        while True:
            eaten.append(np.ones(2**23))  # 64 MiB that are really used
            time.sleep(0.01)


class Blathers(DummyClassifier):
    def predict_proba(self, X):  # noqa: N803
        return np.full((X.shape[0], 2), np.nan)


def rogue(kind: type) -> Learner:
    def build(params, seed, threads):
        return kind()

    return Learner(kind.__name__.lower(), "linear", build, None)
