"""Sequences whose items are read when they are asked for, so that a large source is never in memory as a whole.

All of them can be pickled, compare equal item by item and show no item in their representation.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import Generic, TypeVar, overload

T = TypeVar("T")
S = TypeVar("S")


class Lazy(Sequence[T]):
    """A sequence that reads its items when they are asked for. A kind of it says how many there are and how several are read."""

    @abstractmethod
    def many(self, indices: Iterable[int]) -> Iterator[T]:
        """The items at `indices`, each from 0 to len - 1, in the order of `indices`."""

    def take(self, indices: Sequence[int]) -> Sequence[T]:
        """The items at `indices` as a sequence of their own, none of them read yet."""
        return Picked(self, indices)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        places = range(len(self))[index]
        return self.take(places) if isinstance(places, range) else next(self.many([places]))

    def __iter__(self) -> Iterator[T]:
        return self.many(range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


def many(items: Sequence[T], indices: Iterable[int]) -> Iterator[T]:
    """The items at `indices`; a lazy sequence reads them in one go."""
    return items.many(indices) if isinstance(items, Lazy) else (items[index] for index in indices)


class Mapped(Lazy[T], Generic[S, T]):
    """`make` of every item of `source`. `make` is a function of a module, or a partial of one, so that it can be pickled."""

    def __init__(self, source: Sequence[S], make: Callable[[S], T]) -> None:
        self.source, self.make = source, make

    def __len__(self) -> int:
        return len(self.source)

    def many(self, indices: Iterable[int]) -> Iterator[T]:
        return map(self.make, many(self.source, indices))


class Picked(Lazy[T]):
    """The items of `source` at `indices`, in their order."""

    def __init__(self, source: Sequence[T], indices: Sequence[int]) -> None:
        self.source: Sequence[T] = source
        self.indices: Sequence[int] = indices if isinstance(indices, range) else array("q", indices)

    def __len__(self) -> int:
        return len(self.indices)

    def many(self, indices: Iterable[int]) -> Iterator[T]:
        return many(self.source, (self.indices[index] for index in indices))

    def take(self, indices: Sequence[int]) -> Sequence[T]:
        return Picked(self.source, [self.indices[index] for index in indices])


class Concatenated(Lazy[T]):
    """The items of several sequences, one after another."""

    def __init__(self, parts: Sequence[Sequence[T]]) -> None:
        self.parts = parts
        self.starts = [0, *accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self.starts[-1]

    def many(self, indices: Iterable[int]) -> Iterator[T]:
        for part, run in groupby(indices, key=lambda index: part_of(index, self.starts)):
            start = self.starts[part]
            yield from many(self.parts[part], (index - start for index in run))


def part_of(index: int, starts: Sequence[int]) -> int:
    """The number of the part that holds item `index`, where part i begins at starts[i]."""
    return bisect_right(starts, index) - 1
