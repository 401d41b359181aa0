"""The gradient of one batch on many machines, by real processes: book/data/many_machines.json.

    python -m tools.many_machines            start 2 processes, then 4, and write the file
    python -m tools.many_machines --check    write nothing; exit with 1 if the file says otherwise

Each process is a machine: it has one thread, holds its share of the batch and talks to the others
by torch.distributed over gloo. The gradients on which they settle are compared with the gradient of
one process that holds the whole batch. The page book/practice/mean_of_means shows the file and
computes its numbers again.

Nothing outlives a run. The parent kills its processes on the way out, whatever the way; should the
parent be gone, each process ends itself; they meet in a file of a temporary folder.
"""

import faulthandler
import multiprocessing
import os
import re
import string
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.multiprocessing import start_processes

from lossbook import CrossEntropyLoss, CTCLoss, Loss, Sums
from tools import kept

BOOK = Path(__file__).resolve().parents[1] / "book"
FILE = BOOK / "data" / "many_machines.json"
SPEECH = BOOK / "data" / "gettysburg.txt"
WORLDS = (2, 4)
STEPS = 100
EQUAL = 1e-12       # of the gradient's norm
LIMIT = 600         # seconds that the processes of a world may take; each needs about 7


# -------------------------------------------------------------------------------------- the batches

LETTERS = " " + string.ascii_lowercase      # the first one stands at both ends of a word
IGNORED = -100


def words() -> list[str]:
    """The words of the speech, in its order."""
    lines = SPEECH.read_text(encoding="utf-8").splitlines()
    words = " ".join(line for line in lines if not line.startswith("#"))
    return re.findall("[a-z]+", words.lower())


def spelled(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Each letter of each word, and the letter that follows; IGNORED behind the end of a word."""
    given = np.zeros((len(words), max(map(len, words)) + 1), int)
    following = np.full_like(given, IGNORED)
    for row, word in enumerate(words):
        places = [LETTERS.index(letter) for letter in f" {word} "]
        given[row, :len(word) + 1], following[row, :len(word) + 1] = places[:-1], places[1:]
    return given, following


def balanced(following: np.ndarray) -> np.ndarray:
    """A weight for each letter: the rarer, the heavier. All together weigh as many as they are."""
    counts = np.bincount(following[following != IGNORED], minlength=len(LETTERS))
    return np.where(counts, counts.sum() / (counts > 0).sum() / np.maximum(counts, 1), 0)


def strips(count: int = 10) -> tuple[np.ndarray, ...]:
    """Handwritten digits in strips of 1, 2, 3 … digits, one frame for each column of pixels.

    Returns the frames, with a constant beside the pixels, the digits + 1 (0 is the blank), and the
    numbers of both in each strip.
    """
    from sklearn.datasets import load_digits

    lengths = np.arange(1, count + 1)
    images, digits = load_digits(return_X_y=True)
    frames, labels = np.zeros((count, 8 * count, 9)), np.zeros((count, count), int)
    for row, (end, length) in enumerate(zip(lengths.cumsum(), lengths)):
        columns = images[end - length:end].reshape(length, 8, 8).transpose(0, 2, 1).reshape(-1, 8)
        frames[row, :len(columns)] = np.column_stack([columns / 16, np.ones(len(columns))])
        labels[row, :length] = digits[end - length:end] + 1
    return frames, labels, 8 * lengths, lengths


# --------------------------------------------------------------------------------------- the models

def table() -> nn.Module:
    """The logits of the next letter, given a letter: a row for each, all 0 at the start."""
    zeros = torch.zeros(len(LETTERS), len(LETTERS), dtype=torch.float64)
    return nn.Embedding.from_pretrained(zeros, freeze=False)


def linear() -> nn.Module:
    """The logits of the ten digits and the blank, given a frame; all 0 at the start."""
    model = nn.Linear(9, 11, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    return model


class Recurrent(nn.Module):
    """The logits of the next letter, given all the letters before it."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(len(LETTERS), 16, dtype=torch.float64)
        self.memory = nn.GRU(16, 16, batch_first=True, dtype=torch.float64)
        self.logits = nn.Linear(16, len(LETTERS), dtype=torch.float64)

    def forward(self, letters):
        return self.logits(self.memory(self.embedding(letters))[0])


@dataclass(frozen=True)
class Task:
    """A model, a batch whose rows are dealt to the machines, and the two halves of a mean.

    Beside them the same mean by lossbook: a loss, and what it takes.
    """

    model: Callable
    batch: tuple[np.ndarray, ...]
    total: Callable                     # (model, *share) -> what the mean divides
    count: Callable                     # (*share) -> what it divides by
    loss: Loss
    inputs: Callable                    # (model, *share) -> what the loss takes

    def share(self, rank: int = 0, world: int = 1) -> list[torch.Tensor]:
        """The rows of one machine: neighbours, and for all machines as many, or one more."""
        return [torch.from_numpy(np.array_split(rows, world)[rank]) for rows in self.batch]


def letters_inputs(model, given, following):
    return model(given).transpose(1, 2), following


def letters_total(model, given, following, weight=None):
    return F.cross_entropy(*letters_inputs(model, given, following), weight, ignore_index=IGNORED,
                           reduction="sum")


def letters_count(given, following, weight=None):
    kept = following[following != IGNORED]
    if weight is None:
        return torch.tensor(float(len(kept)), dtype=torch.float64)
    return weight[kept].sum()


def strips_inputs(model, frames, *counted):
    return model(frames).log_softmax(2).transpose(0, 1), *counted


def strips_total(model, *share):
    losses = F.ctc_loss(*strips_inputs(model, *share), reduction="none")
    return (losses / share[-1]).sum()


def strips_count(frames, labels, frame_counts, label_counts):
    return torch.tensor(float(len(frames)), dtype=torch.float64)


def tasks() -> dict[str, Task]:
    dealt, by_length = spelled(words()), spelled(sorted(words(), key=len))
    weight = balanced(by_length[1])
    plain, weighted = CrossEntropyLoss(), CrossEntropyLoss(weight=weight)
    letters = letters_total, letters_count, plain, letters_inputs
    halves = (partial(half, weight=torch.from_numpy(weight)) for half in letters[:2])
    return {
        "as they come": Task(table, dealt, *letters),
        "by length": Task(table, by_length, *letters),
        "recurrent": Task(Recurrent, by_length, *letters),
        "class weights": Task(table, by_length, *halves, weighted, letters_inputs),
        "CTC": Task(linear, strips(), strips_total, strips_count, CTCLoss(), strips_inputs),
    }


# ---------------------------------------------------- ways to settle on a gradient, on each machine

def over_all(count):
    """The sum of a count over the machines."""
    count = count.clone()
    dist.all_reduce(count)
    return count


def mean_of_means(task, model, share):
    """Wrong: each machine divides by its own count, and DDP averages over the machines."""
    (task.total(model, *share) / task.count(*share)).backward()


def factor_forgotten(task, model, share):
    """Wrong: the count is that of all, but DDP's average divides once more."""
    count = over_all(task.count(*share))
    (task.total(model, *share) / count).backward()


def scaled(task, model, share):
    """Right: undo DDP's average, divide by the count of all machines."""
    count = over_all(task.count(*share))
    machines = dist.get_world_size()
    (task.total(model, *share) * machines / count).backward()


def accumulated(task, model, share, parts=2):
    """Right: the same in parts, one after the other; the last one talks."""
    count = over_all(task.count(*share))
    machines = dist.get_world_size()
    pieces = list(zip(*(rows.tensor_split(parts) for rows in share)))
    for piece in pieces:
        last = piece is pieces[-1]
        with nullcontext() if last else model.no_sync():
            loss = task.total(model, *piece) * machines / count
            loss.backward()


def summed(task, model, share):
    """Right, without DDP: add up the gradients of the sums, then divide."""
    model = model.module
    count = over_all(task.count(*share))
    task.total(model, *share).backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= count


def gathered(sums: Sums) -> list[Sums]:
    """The sums of all machines, on each."""
    everyone = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, sums)
    return everyone


def by_sums(task, model, share):
    """Right, by lossbook: from the sums of all, each machine's part of the gradient."""
    model, loss = model.module, task.loss
    prediction, *rest = task.inputs(model, *share)
    part = prediction.detach().numpy(), *rest
    sums = gathered(loss.sums(*part))
    total = sum(sums)
    slopes = loss.grad(*part, sums=total)
    prediction.backward(torch.from_numpy(slopes))
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)


WAYS = {
    "mean of means": mean_of_means, "factor forgotten": factor_forgotten,
    "scaled": scaled, "accumulated": accumulated, "summed": summed, "by sums": by_sums,
}
WRONG = ("mean of means", "factor forgotten")


def flat(tensors) -> np.ndarray:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).numpy()


def gradients(rank: int, world: int) -> dict[str, np.ndarray]:
    """On one machine: the gradient of each task by each way."""
    found = {}
    for name, task in tasks().items():
        for way, settle in WAYS.items():
            model = nn.parallel.DistributedDataParallel(task.model())
            settle(task, model, task.share(rank, world))
            found[f"{name}/{way}"] = flat(parameter.grad for parameter in model.parameters())
    return found


# ----------------------------------------------------------------------------------- a training run

OPTIMISERS = {
    "gradient descent": (torch.optim.SGD, 15.0),    # and the rate
    "Adam": (torch.optim.Adam, 0.05),
}
TRAINED = ("scaled", "factor forgotten", "mean of means")


def trained(rank: int, world: int) -> dict[str, np.ndarray]:
    """On one machine: the parameters after training, by each optimiser and way."""
    found, task = {}, tasks()["by length"]
    share = task.share(rank, world)
    for name, (optimiser, rate) in OPTIMISERS.items():
        for way in TRAINED:
            model = nn.parallel.DistributedDataParallel(task.model())
            step = optimiser(model.parameters(), lr=rate)
            for _ in range(STEPS):
                step.zero_grad()
                WAYS[way](task, model, share)
                step.step()
            found[f"{name}/{way}"] = flat(model.parameters())
    return found


def both(rank: int, world: int) -> dict[str, np.ndarray]:
    return {**gradients(rank, world), **trained(rank, world)}


# ---------------------------------------------------------------------------------------- processes

def machine(rank: int, work: Callable, world: int, folder: str, limit: float,
            arguments: tuple) -> None:
    """What each process runs: `work(rank, world, *arguments)`, and store what it returns."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    faulthandler.dump_traceback_later(limit + 5, exit=True)     # should that thread not run
    torch.set_num_threads(1)
    meeting = dist.FileStore(str(Path(folder) / "meeting"), world)
    dist.init_process_group("gloo", store=meeting, rank=rank, world_size=world,
                            timeout=timedelta(seconds=limit))
    try:
        np.savez(Path(folder) / f"{rank}.npz", **work(rank, world, *arguments))
    finally:
        dist.destroy_process_group()


def end_with_parent() -> None:
    """Wait until the parent is gone, even if it was killed; then end this process."""
    multiprocessing.parent_process().join()
    os._exit(1)


def start_method() -> str:
    """From a server that has imported torch once, where the system can fork; else anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.set_forkserver_preload(["sklearn.datasets", "torch._dynamo", __name__])
    return "forkserver"


def on_machines(world: int, work: Callable, *arguments,
                limit: float = LIMIT) -> list[dict[str, np.ndarray]]:
    """Start `world` processes that run `work(rank, world, *arguments)`; the arrays that each
    returned.

    TimeoutError after `limit` seconds, ProcessException where one fails. None is left in either
    case.
    """
    from tools.notebooks import settle_environment      # loads nbformat, which takes a second

    settle_environment()        # processes inherit it: one thread each
    deadline = time.monotonic() + limit
    with tempfile.TemporaryDirectory() as folder:
        context = start_processes(machine, (work, world, folder, limit, arguments), nprocs=world,
                                  join=False, daemon=True, start_method=start_method())
        try:
            while not context.join(max(0, deadline - time.monotonic())):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"{work.__name__} on {world} processes: not done within "
                                       f"{limit:g} seconds")
        finally:
            for process in context.processes:
                process.kill()
                process.join()
            for traceback in context.error_files:       # torch leaves those that it has shown
                Path(traceback).unlink(missing_ok=True)
        return [dict(np.load(Path(folder) / f"{rank}.npz")) for rank in range(world)]


# ----------------------------------------------------------------------------------------- the file

def alone(task: Task) -> np.ndarray:
    """The gradient of the mean over the whole batch, in this process."""
    model, share = task.model(), task.share()
    (task.total(model, *share) / task.count(*share)).backward()
    return flat(parameter.grad for parameter in model.parameters())


def error(found: list[np.ndarray], truth: np.ndarray) -> float:
    """How far the worst machine is off, relative to the norm; 0 where that is at most EQUAL."""
    worst = max(np.linalg.norm(one - truth) for one in found) / np.linalg.norm(truth)
    return 0.0 if worst <= EQUAL else rounded(worst)


def rounded(number: float) -> float:
    return float(f"{number:.5g}")


def errors(found: list[dict]) -> dict:
    """For each task: the counts of the machines, the gradient's norm, the error of each way."""
    result = {}
    for name, task in tasks().items():
        truth = alone(task)
        result[name] = {
            "counts": [rounded(task.count(*task.share(rank, len(found))).item())
                       for rank in range(len(found))],
            "norm": rounded(np.linalg.norm(truth)),
            "errors": {way: error([one[f"{name}/{way}"] for one in found], truth) for way in WAYS},
        }
    return result


def training(found: list[dict]) -> dict:
    """The mean loss of all letters after training, by optimiser and way."""
    task, result = tasks()["by length"], {"machines": len(found), "steps": STEPS}
    for name, (_, rate) in OPTIMISERS.items():
        result[name] = {"rate": rate}
        for way in TRAINED:
            parameters, *others = (one[f"{name}/{way}"] for one in found)
            if not all((other == parameters).all() for other in others):
                raise ArithmeticError(f"{name}, {way}: the machines have drifted apart")
            table = torch.from_numpy(parameters).view(len(LETTERS), -1)
            model = nn.Embedding.from_pretrained(table)
            loss = task.total(model, *task.share()) / task.count(*task.share())
            result[name][way] = rounded(loss.item())
    return result


def measure() -> dict:
    """Start the processes of each world, those of the last one also to train."""
    last = max(WORLDS)
    found = {world: on_machines(world, both if world == last else gradients) for world in WORLDS}
    return {
        "about": "made by: python -m tools.many_machines. "
                 f"An error is relative to the norm; 0 says at most {EQUAL:g}",
        "worlds": {str(world): errors(machines) for world, machines in found.items()},
        "training": training(found[last]),
    }


def main(arguments: list[str] | None = None) -> int:
    return kept.main("tools.many_machines", __doc__, FILE, measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
