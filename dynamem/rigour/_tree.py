"""How a search cut a region: every part by its number, which became two halves or a leaf with a word."""

import numpy as np


class Tree:
    """Parts by number; 0 is the whole region."""

    def __init__(self) -> None:
        self.count, self.leaves = 1, 0
        self._splits: list[tuple[np.ndarray, np.ndarray, int]] = []
        self._words: list[tuple[np.ndarray, np.ndarray]] = []

    def split(self, parts: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut parts at the middles of axes; the numbers of the lower and of the upper halves."""
        first, self.count = self.count, self.count + 2 * len(parts)
        self._splits.append((parts, axes, first))
        return np.arange(first, first + len(parts)), np.arange(first + len(parts), self.count)

    def close(self, parts: np.ndarray, words: np.ndarray) -> None:
        """Leaves, and the words for what decides them."""
        self.leaves += len(parts)
        self._words.append((parts, words))

    def cuts(self) -> list[str]:
        """Prefix order, the lower half first: an axis for a cut, the word of a leaf; "" where a part is open."""
        words = np.full(self.count, "", dtype="<U12")
        lower, step = np.zeros(self.count, np.int64), np.zeros(self.count, np.int64)
        for parts, axes, first in self._splits:
            words[parts] = axes.astype("<U12")
            lower[parts], step[parts] = first + np.arange(len(parts)), len(parts)
        for parts, found in self._words:
            words[parts] = found
        said, halves, steps = words.tolist(), lower.tolist(), step.tolist()
        order, stack = [], [0]
        while stack:
            part = stack.pop()
            order.append(said[part])
            if steps[part]:
                stack += [halves[part] + steps[part], halves[part]]
        return order
