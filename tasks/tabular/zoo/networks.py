"""Neural networks: scikit-learn's, and our own with embeddings where torch is installed."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPClassifier, MLPRegressor

from tasks.tabular.coding import scaled_target
from tasks.tabular.zoo.entry import Learner, Params, one_of, real, simple, whole


def _classifier(params: Params, seed: int, threads: int) -> Any:
    from tasks.tabular.neural import NeuralClassifier  # noqa: PLC0415 - torch is an extra

    return NeuralClassifier(**params, random_state=seed, threads=threads)


def _regressor(params: Params, seed: int, threads: int) -> Any:
    from tasks.tabular.neural import NeuralRegressor  # noqa: PLC0415 - torch is an extra

    return NeuralRegressor(**params, random_state=seed, threads=threads)


ENTRIES = (
    Learner(
        "mlp",
        "linear",
        simple(MLPClassifier, None, early_stopping=True, hidden_layer_sizes=(64, 64))["classifier"],
        lambda params, seed, _threads: scaled_target(
            MLPRegressor(
                **{"early_stopping": True, "hidden_layer_sizes": (64, 64), **params},
                random_state=seed,
            )
        ),
        {
            "alpha": real(1e-6, 1e-1, log=True),
            "learning_rate_init": real(1e-4, 1e-2, log=True),
            "activation": one_of("relu", "tanh"),
        },
    ),
    Learner(
        "neural_network",
        "native",
        _classifier,
        _regressor,
        {
            "learning_rate": real(1e-3, 2e-2, log=True),
            "weight_decay": real(1e-3, 3e-1, log=True),
            "dropout": real(0.0, 0.4),
            "width": whole(64, 320, log=True),
            "depth": whole(1, 4),
            "embedding": whole(4, 24, log=True),
        },
        ("nn", "torch_mlp"),
        stops=True,
        extra="torch",
        modules=("torch", "tasks.tabular.neural_training"),
    ),
)
