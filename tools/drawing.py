"""Where a page draws: seeds, random numbers, splits, shuffles, networks that start at random.

The cells are read from top to bottom, as syntax trees. What `draws(…)` of lossbook.pages runs many
times is fine, with the functions that it reaches; all else draws once, and is named. A function
that draws, or a generator that a name holds, draws wherever its name is used.
"""

import ast
import re
from collections.abc import Iterable, Iterator

SEEDS = {"default_rng", "SeedSequence", "RandomState", "Random", "PCG64", "PCG64DXSM", "MT19937",
         "Philox", "SFC64", "Generator", "manual_seed", "seed"}
DRAWING = re.compile(
    r"(np|numpy|scipy)\.random\.\w+|random\.\w+|(.*\.)?rvs"
    r"|torch\.(rand|randn|randint|randperm|rand_like|randn_like|normal|bernoulli|multinomial)"
    r"|(.*\.)?(train_test_split|\w*KFold|\w*ShuffleSplit|cross_val\w+|shuffle|resample|bootstrap)"
    r"|(.*\.)?((MLP|SGD|RandomForest|ExtraTrees)(Classifier|Regressor)|KMeans)"
    r"|(.*\.)?nn\.(Linear|Bilinear|Embedding|Conv\w+|LSTM|GRU|RNN|Transformer\w*)")
FUNCTIONS = (ast.FunctionDef, ast.ClassDef)
# What tells of an experiment; an identity at random numbers needs none of it.
EXPERIMENT = re.compile(r"permutation|randperm|shuffle|Shuffle|train_test|KFold|\bload_|\.fit\("
                        r"|minimize|optim\.")


def dotted(node: ast.expr) -> str:
    """`np.random.default_rng` of a call's function; what is no name becomes an empty part."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def seeds(call: ast.Call) -> bool:
    return dotted(call.func).rpartition(".")[2] in SEEDS


def draws_itself(node: ast.AST) -> bool:
    """Whether this node, apart from its parts, draws or seeds."""
    if not isinstance(node, ast.Call):
        return False
    options = {option.arg: option.value for option in node.keywords}
    shuffles = getattr(options.get("shuffle"), "value", None) is True
    return bool(seeds(node) or DRAWING.fullmatch(dotted(node.func)) or "random_state" in options
                or shuffles)


def is_draws(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "draws"


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but not what `draws(…)` is given."""
    yield node
    if not is_draws(node):
        for child in ast.iter_child_nodes(node):
            yield from parts(child)


def names(nodes: Iterable[ast.AST], context: type = ast.Load) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)
            and isinstance(node.ctx, context)}


class Drawing:
    """What draws on a page whose cells have these sources."""

    def __init__(self, sources: Iterable[str]):
        self.trees = [ast.parse(source) for source in sources]
        self.calls = [node for tree in self.trees for node in ast.walk(tree) if is_draws(node)]
        self.functions = {node.name: node for tree in self.trees for node in ast.walk(tree)
                          if isinstance(node, FUNCTIONS)}
        self.repeated = self.reached(names(part for call in self.calls for part in ast.walk(call)))

    def reached(self, todo: set[str]) -> set[str]:
        """These functions of the page and those that they use."""
        found = set()
        while todo := (todo & set(self.functions)) - found:
            found |= todo
            todo = names(part for name in todo for part in ast.walk(self.functions[name]))
        return found

    def using(self, drawing: set[str]) -> set[str]:
        """These names and the functions that draw, by themselves or by use of these names."""
        while more := {name for name, node in self.functions.items() if name not in drawing and any(
                draws_itself(part) or names([part]) & drawing for part in parts(node))}:
            drawing = drawing | more
        return drawing

    def once(self) -> list[tuple[int, str]]:
        """(number of the cell, what draws there) for each thing that is drawn once."""
        found, drawing = [], self.using(set())
        for number, tree in enumerate(self.trees):
            for statement in tree.body:
                found += [(number, what) for what in self.of_statement(statement, drawing)]
                if isinstance(statement, ast.Assign):
                    held = names(ast.walk(statement), ast.Store)
                    keeps = isinstance(statement.value, ast.Call) and seeds(statement.value)
                    drawing = drawing - held | (held if keeps else set())
                    drawing = self.using(drawing)
        return found

    def of_statement(self, statement: ast.stmt, drawing: set[str]) -> Iterator[str]:
        if isinstance(statement, FUNCTIONS):
            if statement.name in self.repeated:
                yield from (f"{seed} in {statement.name}, the same in each draw"
                            for seed in fixed_seeds(statement))
            return
        for node in parts(statement):
            if draws_itself(node) or names([node]) & drawing:
                yield ast.unparse(node)
            if is_draws(node):
                yield from (f"{seed}, the same in each draw" for seed in fixed_seeds(node))


def fixed_seeds(node: ast.AST) -> Iterator[str]:
    """The calls in which a constant is the seed."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            given = [option.value for option in call.keywords
                     if option.arg in ("seed", "random_state")]
            if any(isinstance(value, ast.Constant) for value in
                   [*given, *(call.args[:1] if seeds(call) else [])]):
                yield ast.unparse(call)
