"""Every seed of a process moved by an offset: what `make reseed` sets up in a notebook's kernel.

A seed is moved where it enters a generator of NumPy, Python or torch. So one rule reaches the page,
the package and what scikit-learn and SciPy do with `random_state`. No seed, or a generator in place
of one, stays what it is. A name that was imported before `install()` is not reached.
"""

import random
from functools import wraps
from numbers import Integral

import numpy as np

offset = 0      # a cell with the tag `one-draw` runs with 0


def moved(seed):
    """The seed plus the offset; of several numbers, as NumPy takes them, the first is moved."""
    if isinstance(seed, (list, tuple, np.ndarray)) and len(seed):
        return [moved(seed[0]), *seed[1:]]
    if isinstance(seed, Integral) and not isinstance(seed, bool):
        return int(seed) + offset
    return seed


def moving(function):
    """The function, its first argument being a seed."""
    @wraps(function)
    def seeded(*arguments, **options):
        return function(*map(moved, arguments[:1]), *arguments[1:],
                        **{name: moved(value) if name in ("seed", "entropy", "x", "a") else value
                           for name, value in options.items()})
    return seeded


def moving_class(kind):
    """The same for a class: it makes instances of `kind`, and these are instances of it."""
    class Meta(type):
        def __call__(cls, *arguments, **options):
            make = moving(kind) if cls is made else super().__call__
            return make(*arguments, **options)

        def __instancecheck__(cls, thing):
            return isinstance(thing, kind) if cls is made else super().__instancecheck__(thing)

    made = Meta(kind.__name__, (kind,), {"__doc__": kind.__doc__})
    return made


def install():
    """Put them in place of what NumPy, Python and, where it is installed, torch have."""
    random.seed, random.Random = moving(random.seed), moving_class(random.Random)
    for name in ("default_rng", "seed"):
        setattr(np.random, name, moving(getattr(np.random, name)))
    for name in ("RandomState", "SeedSequence", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        setattr(np.random, name, moving_class(getattr(np.random, name)))
    try:
        import torch
    except ModuleNotFoundError:
        return

    class Generator(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(moved(seed))

    torch.Generator = Generator
    torch.manual_seed = torch.random.manual_seed = moving(torch.manual_seed)
