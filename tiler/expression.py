"""Band arithmetic in a bounded grammar of our own.

    expression := output (";" output)*                                             at most 4
    output     := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]                1 where it holds, else 0
    sum        := product (("+" | "-") product)*
    product    := signed (("*" | "/") signed)*
    signed     := "-" signed | power
    power      := atom ["**" digit from 0 to 4]                                    atom with a name in it
    atom       := number | name | "(" output ")" | function "(" output ("," output)* ")"

A text is at most 512 characters, which become at most 64 nodes; parentheses, functions and signs nest at most 16 deep,
and no node keeps more than 16 arrays waiting. There are no strings, attributes, indexes or calls of anything but the
functions below, and nothing is handed to Python to evaluate.

How it is computed: in float64 whatever the input, in strips of rows, so that memory does not depend on the picture's
size. A cell that is not valid is NaN inside, and so is every result that is no finite number: a division by 0, the
logarithm of 0, an overflow. NaN stays NaN, also in comparisons; only `where` drops it, with the branch not taken.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import GridMismatchError, ParameterError, UnknownNameError
from tiler.block import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Band = tuple[NDArray[Any], NDArray[np.bool_]]

MAX_CHARACTERS = 512
MAX_NODES = 64
MAX_DEPTH = 16
MAX_OUTPUTS = 4
MAX_EXPONENT = 4
_STRIP = 2**16  # cells computed at once: 512 KiB an array, which stays in a processor's cache
_TOKEN = re.compile(
    r" *(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]{0,63})"
    r"|(?P<sign>\*\*|<=|>=|==|!=|[-+*/<>(),;]))"
)


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float
    depth: int = field(default=1, init=False, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{int(self.value)}" if self.value.is_integer() and abs(self.value) < 1e15 else repr(self.value)


@dataclass(frozen=True)
class Name:
    """The values of a band or variable."""

    name: str
    depth: int = field(default=1, init=False, compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Operation:
    """An operator or function and what it is applied to."""

    sign: str
    operands: tuple[Node, ...]
    depth: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Arrays kept while this is computed: each operand waits for those after it.
        depth = max(operand.depth + waiting for waiting, operand in enumerate(self.operands))
        object.__setattr__(self, "depth", depth)

    def __str__(self) -> str:
        if self.sign in _FUNCTIONS:
            return f"{self.sign}({', '.join(map(str, self.operands))})"
        strength = _strength(self)
        if self.sign == _MINUS:
            return f"-{_within(self.operands[0], strength)}"
        left, right = self.operands
        # Operators of one strength are grouped from the left, but those of comparison and power not at all.
        lower = strength + 1 if self.sign in _COMPARISONS or self.sign == "**" else strength
        return f"{_within(left, lower)} {self.sign} {_within(right, strength + 1)}"


Node = Number | Name | Operation


@dataclass(frozen=True)
class Expression:
    """What is computed from bands. Expressions are equal where they read the same but for blanks and parentheses.

    Parameters
    ----------
    text : str
        The expression, with blanks and parentheses where they are needed and nowhere else.
    outputs : tuple of Node
        A tree for each band of the result.
    """

    text: str
    outputs: tuple[Node, ...] = field(compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what it reads, in the order in which they appear."""
        return tuple(dict.fromkeys(name for output in self.outputs for name in _names(output)))

    def evaluate(self, bands: Mapping[str, Band]) -> Block:
        """Compute.

        Parameters
        ----------
        bands : mapping of str to (values, mask)
            For each of `names`, real numbers and a mask that is True where they are valid, both of shape (row, col).
            64-bit integers beyond 2**53 are rounded to float64.

        Returns
        -------
        Block
            A band of float32 for each output. A cell is valid where what it is computed from is, and the result is a
            finite float32; others are 0.

        Raises
        ------
        UnknownNameError
            If a name has no band.
        GridMismatchError
            If shapes differ.
        """
        for name in self.names:
            if name not in bands:
                raise UnknownNameError("band", name, tuple(bands))
        used = {name: bands[name] for name in self.names}
        shape = used[self.names[0]][0].shape
        for name, arrays in used.items():
            if any(array.shape != shape for array in arrays):
                raise GridMismatchError(f"shape of {name}", found=[each.shape for each in arrays], expected=shape)
        values = np.zeros((len(self.outputs), *shape), np.float32)
        mask = np.zeros(values.shape, bool)
        rows = max(1, _STRIP // max(1, shape[1]))
        for start in range(0, shape[0], rows):
            strip = slice(start, start + rows)
            part = {name: (each[strip], valid[strip]) for name, (each, valid) in used.items()}
            for index, output in enumerate(self.outputs):
                with np.errstate(all="ignore"):  # what is no number is told by the mask
                    result = _evaluate(output, part).astype(np.float32)
                mask[index, strip] = np.isfinite(result)
                values[index, strip] = np.where(mask[index, strip], result, np.float32(0))
        return Block(values, mask)


def parse(text: str) -> Expression:
    """Read an expression.

    Parameters
    ----------
    text : str
        As the module describes it.

    Returns
    -------
    Expression
        With at least one name in each output.

    Raises
    ------
    ParameterError
        If the text is longer, larger or deeper than allowed, or not of the grammar.
    """
    if len(text) > MAX_CHARACTERS:
        raise _wrong(f"{len(text)} characters", f"at most {MAX_CHARACTERS} characters")
    parser = _Parser(_tokens(text))
    outputs = [parser.output(1)]
    while parser.accept(";"):
        outputs.append(parser.output(1))
    if parser.next is not None:
        raise _wrong(parser.next, "an operator, or the end")
    if len(outputs) > MAX_OUTPUTS:
        raise _wrong(f"{len(outputs)} outputs", f"at most {MAX_OUTPUTS}")
    for output in outputs:
        if not _names(output):
            raise _wrong(str(output), "a band or variable in each output")
        if output.depth > MAX_DEPTH:
            raise _wrong(f"a depth of {output.depth}", f"at most {MAX_DEPTH}")
    return Expression("; ".join(map(str, outputs)), tuple(outputs))


def _wrong(found: object, expected: str) -> ParameterError:
    return ParameterError("expression", found=found, expected=expected)


# --- from text to trees ----------------------------------------------------------------------------------------------


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    stripped = text.rstrip(" ")
    while place < len(stripped):
        match = _TOKEN.match(stripped, place)
        if match is None:
            raise _wrong(stripped[place : place + 20], "a number, a name, an operator or a parenthesis")
        tokens.append(match[match.lastgroup or 0])
        place = match.end()
    return tokens


class _Parser:
    """Reads tokens from left to right, one method for each rule of the grammar; `level` is how deep it is nested."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0
        self._nodes = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def accept(self, *tokens: str) -> str | None:
        found = self.next
        if found not in tokens:
            return None
        self._place += 1
        return found

    def expect(self, token: str) -> None:
        if self.accept(token) is None:
            raise _wrong(self.next, f"{token!r}")

    def output(self, level: int) -> Node:
        left = self.sum(level)
        sign = self.accept(*_COMPARISONS)
        return left if sign is None else self._made(Operation(sign, (left, self.sum(level))))

    def sum(self, level: int) -> Node:
        left = self.product(level)
        while (sign := self.accept("+", "-")) is not None:
            left = self._made(Operation(sign, (left, self.product(level))))
        return left

    def product(self, level: int) -> Node:
        left = self.signed(level)
        while (sign := self.accept("*", "/")) is not None:
            left = self._made(Operation(sign, (left, self.signed(level))))
        return left

    def signed(self, level: int) -> Node:
        if level > MAX_DEPTH:
            raise _wrong("a deeper one", f"parentheses, functions and signs at most {MAX_DEPTH} deep")
        if self.accept("-"):
            return self._made(Operation(_MINUS, (self.signed(level + 1),)))
        return self.power(level)

    def power(self, level: int) -> Node:
        base = self.atom(level)
        if not self.accept("**"):
            return base
        exponent = self.accept(*map(str, range(MAX_EXPONENT + 1)))
        if exponent is None:
            raise _wrong(self.next, f"a whole exponent from 0 to {MAX_EXPONENT}")
        if not _names(base):
            raise _wrong(f"{base} ** {exponent}", "a power of a band or variable")
        return self._made(Operation("**", (base, Number(float(exponent)))))

    def atom(self, level: int) -> Node:
        token = self.next
        if token is None or not (token == "(" or token[0].isalnum() or token[0] == "."):
            raise _wrong(token, "a number, a name or a parenthesis")
        self._place += 1
        if token == "(":
            inner = self.output(level + 1)
            self.expect(")")
            return inner
        if token[0].isalpha():
            return self.call(token, level) if token in _FUNCTIONS else self._made(Name(token))
        if not math.isfinite(float(token)):
            raise _wrong(token, "a finite number")
        return self._made(Number(float(token)))

    def call(self, function: str, level: int) -> Node:
        count = _FUNCTIONS[function][0]
        self.expect("(")
        operands = [self.output(level + 1)]
        while self.accept(","):
            operands.append(self.output(level + 1))
        self.expect(")")
        if len(operands) != count:
            raise _wrong(f"{len(operands)} arguments of {function}", str(count))
        return self._made(Operation(function, tuple(operands)))

    def _made(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _wrong("more", f"at most {MAX_NODES} numbers, names, operators and functions")
        return node


def _names(node: Node) -> tuple[str, ...]:
    if isinstance(node, Operation):
        return tuple(name for operand in node.operands for name in _names(operand))
    return (node.name,) if isinstance(node, Name) else ()


def _strength(node: Node) -> int:
    """Tell how tightly a node holds together: the rule of the grammar that makes it."""
    if not isinstance(node, Operation) or node.sign in _FUNCTIONS:
        return 6
    return 1 if node.sign in _COMPARISONS else {"+": 2, "-": 2, "*": 3, "/": 3, _MINUS: 4, "**": 5}[node.sign]


def _within(node: Node, strength: int) -> str:
    return str(node) if _strength(node) >= strength else f"({node})"


# --- from trees to numbers -------------------------------------------------------------------------------------------


def _evaluate(node: Node, bands: Mapping[str, Band]) -> Values:
    if isinstance(node, Number):
        return np.array(node.value)
    if isinstance(node, Name):
        values, valid = bands[node.name]
        return _finite(np.where(valid, values, np.nan).astype(np.float64, copy=False))
    if node.sign == "**":
        return _finite(_power(_evaluate(node.operands[0], bands), node.operands[1]))
    compute = _FUNCTIONS[node.sign][1] if node.sign in _FUNCTIONS else _OPERATORS[node.sign]
    return _finite(compute(*(_evaluate(operand, bands) for operand in node.operands)))


def _finite(values: Values) -> Values:
    return np.where(np.isfinite(values), values, np.nan)


def _power(base: Values, exponent: Node) -> Values:
    assert isinstance(exponent, Number), "the grammar has no other exponents"
    result = base * 0.0 + 1.0  # NaN stays NaN
    for _ in range(int(exponent.value)):
        result *= base
    return result


def _compared(holds: Callable[[Values, Values], NDArray[np.bool_]]) -> Callable[[Values, Values], Values]:
    def compare(left: Values, right: Values) -> Values:
        return np.where(np.isnan(left) | np.isnan(right), np.nan, holds(left, right))

    return compare


def _where(condition: Values, if_true: Values, if_false: Values) -> Values:
    return np.where(np.isnan(condition), np.nan, np.where(condition != 0, if_true, if_false))


_MINUS = "minus"
_COMPARISONS: dict[str, Callable[..., Values]] = {
    "<": _compared(np.less),
    "<=": _compared(np.less_equal),
    ">": _compared(np.greater),
    ">=": _compared(np.greater_equal),
    "==": _compared(np.equal),
    "!=": _compared(np.not_equal),
}
_OPERATORS: dict[str, Callable[..., Values]] = {
    **_COMPARISONS,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    _MINUS: np.negative,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Values]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "log10": (1, np.log10),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "where": (3, _where),
}
