"""JAX's jit as a peer: value and gradient on one thread, in an environment of its own.

    python -m benchmarks speed --jax PYTHON     the interpreter of an environment with jax and optax

This file is also what that interpreter runs; there it may import JAX and nothing of this project.
The losses are optax's where it has them.
"""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

PYTHON = os.environ.get("LOSSBOOK_JAX", "")
ALONE = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
         "JAX_PLATFORMS": "cpu"}


def seconds(name, arrays, rounds=5):
    """The processor time of a call by JAX; None without it, or if it has no such loss there."""
    if not PYTHON:
        return None
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, *arrays)
        file.flush()
        answer = subprocess.run([PYTHON, __file__, name, file.name, str(rounds)], check=True,
                                capture_output=True, text=True, env={**os.environ, **ALONE})
    return float(answer.stdout) if answer.stdout.strip() else None


def versions():
    """Of JAX and optax."""
    code = "from importlib.metadata import version as v; print(v('jax'), v('optax'))"
    answer = subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout
    return dict(zip(("jax", "optax"), answer.split()))


def losses():
    """The unreduced losses by the name of a case."""
    import jax
    import jax.numpy as jnp
    import optax
    return {
        "L1Loss": lambda x, y: jnp.abs(x - y),
        "MSELoss": optax.squared_error,
        "HuberLoss": optax.huber_loss,
        "SmoothL1Loss": optax.huber_loss,
        "BCEWithLogitsLoss": optax.sigmoid_binary_cross_entropy,
        "SoftMarginLoss": lambda x, y: jax.nn.softplus(-x * y),
        "PoissonNLLLoss": lambda x, y: jnp.exp(x) - y * x,
        "KLDivLoss": lambda x, y: jax.scipy.special.xlogy(y, y) - y * x,
        "HingeEmbeddingLoss": lambda x, y: jnp.where(y > 0, x, jnp.maximum(0, 1 - x)),
        "NLLLoss": lambda x, y: -jnp.take_along_axis(x, y[:, None], 1),
        "CrossEntropyLoss, classes": optax.softmax_cross_entropy_with_integer_labels,
        "CrossEntropyLoss, probabilities": optax.softmax_cross_entropy,
        "FocalLoss, yes or no": optax.sigmoid_focal_loss,
    }


def main(name, file, rounds):
    """Print the least processor time of a call, or nothing."""
    import jax
    import jax.numpy as jnp
    loss = losses().get(name)
    if loss is None:
        return
    arrays = [jnp.asarray(array) for array in np.load(file).values()]
    run = jax.jit(jax.value_and_grad(lambda *given: loss(*given).mean()))
    jax.block_until_ready(run(*arrays))
    shortest = np.inf
    for _ in range(20 * int(rounds)):
        start = time.process_time()
        jax.block_until_ready(run(*arrays))
        shortest = min(shortest, time.process_time() - start)
    print(shortest)


if __name__ == "__main__":
    main(*sys.argv[1:])
