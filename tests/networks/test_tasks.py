"""Tasks on pairs: labels, division into training and test set, mistakes."""

from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from phasegrok import cards
from phasegrok.cards.files import read_rows
from phasegrok.errors import InputError
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.tasks.pairs import PERMUTATIONS, SYMMETRIC, Operation, label

RESIDUES = [o for o in get_args(Operation) if o not in PERMUTATIONS]


def label_of(operation, p, pairs):
    return label(Parameters(operation=operation, p=p), pairs)


def test_labels_of_every_operation():
    p = 7
    pairs = np.array([[a, b] for a in range(p) for b in range(1, p)])
    a, b = pairs.T
    assert np.array_equal(label_of("+", p, pairs), (a + b) % p)
    assert np.array_equal(label_of("-", p, pairs), (a - b) % p)
    assert np.array_equal(label_of("*", p, pairs), (a * b) % p)
    assert np.array_equal(label_of("/", p, pairs) * b % p, a)  # the quotient times b is a
    for operation in RESIDUES[4:]:
        formula = operation.replace("2", "**2").replace("3", "**3").replace("xy", "x*y")
        expected = [eval(formula, {"x": int(x), "y": int(y)}) % p for x, y in pairs]
        assert np.array_equal(label_of(operation, p, pairs), expected), operation


def test_operations_that_are_called_symmetric_are_those_that_are():
    pairs = np.array([[a, b] for a in range(11) for b in range(1, 11)])
    pairs = pairs[pairs[:, 0] > 0]
    for operation in RESIDUES:
        swapped = label_of(operation, 11, pairs[:, ::-1])
        same = np.array_equal(label_of(operation, 11, pairs), swapped)
        assert same == (operation in SYMMETRIC), operation


@pytest.mark.parametrize("written", ["x^3 + xy^2 + y", "x³+xy²+y", "x**3+xy**2+y"])
def test_spellings_of_an_operation(written):
    assert Parameters(operation=written).operation == "x3+xy2+y"


def test_ordered_split_divides_pairs_of_one_label():
    p = 31
    for split, expected in (("unordered", 1.0), ("ordered", 0.5)):
        system = Parameters(operation="+", p=p, train_fraction=0.5, split=split).build()
        train = {tuple(x) for x in system.train.inputs.tolist()}
        off = [(a, b) for a, b in train if a != b]
        share = sum((b, a) in train for a, b in off) / len(off)
        error = 2.0 * np.sqrt(0.25 * 0.75 / (p * (p - 1) / 2))  # pairs {a, b} are independent
        assert abs(share - expected) < 3.0 * error * (split == "ordered") + 1e-12


@pytest.mark.parametrize("operation", ["+", "-", "*", "/", "x2+y2"])
def test_split_covers_all_pairs_once_and_does_not_leak(operation):
    p = 13
    system = Parameters(operation=operation, p=p, train_fraction=0.4).build()
    train = {tuple(x) for x in system.train.inputs.tolist()}
    test = {tuple(x) for x in system.test.inputs.tolist()}
    allowed = {(a, b) for a in range(p) for b in range(p) if operation != "/" or b}
    assert train | test == allowed and not train & test
    assert len(train) == len(system.train.targets) and len(test) == len(system.test.targets)
    if operation in ("-", "/"):
        assert len(train) == round(0.4 * len(allowed))
        assert any((b, a) in test for a, b in train)
    else:  # a symmetric operation: both orders on one side
        assert all((b, a) in train for a, b in train)
        assert len({tuple(sorted(x)) for x in train}) == round(0.4 * p * (p + 1) / 2)


def test_smaller_training_sets_are_nested_and_seeds_differ():
    def train(fraction, seed):
        system = Parameters(p=13, train_fraction=fraction, split_seed=seed).build()
        return {tuple(x) for x in system.train.inputs.tolist()}

    assert train(0.3, 0) < train(0.6, 0)
    assert train(0.3, 0) != train(0.3, 1)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(p=15), "p = 15 is not a prime"),
        (dict(d_model=10, heads=4), "not divisible"),
        (dict(train_fraction=1.0), "train_fraction"),
        (dict(operation="x5"), "operation"),
        (dict(unknown=1), "unknown"),
        (dict(operation="product"), "need a degree"),
        (dict(degree=4), "give one of product"),
        (dict(operation="product", degree=4, p=31), "leave out p"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Parameters(**wrong)


def test_empty_training_set_is_refused():
    with pytest.raises(ValueError, match="no training set"):
        Parameters(p=3, train_fraction=0.01).build()


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_labels_of_permutations_obey_the_laws_of_the_group(degree):
    """From the labels alone: one identity, inverses, associativity, classes of conjugates."""
    n = Parameters(operation="product", degree=degree).elements
    assert n == {3: 6, 4: 24, 5: 120}[degree]
    a, b = np.divmod(np.arange(n * n), n)
    table = {operation: label(Parameters(operation=operation, degree=degree),
                              np.stack([a, b], axis=1)).reshape(n, n)
             for operation in PERMUTATIONS}
    product = table["product"]
    assert np.array_equal(product[0], np.arange(n)) and np.array_equal(product[:, 0], np.arange(n))
    assert all(len(set(row)) == n for row in (*product, *product.T))
    some = np.random.default_rng(1).integers(0, n, (500, 3))
    x, y, z = some.T
    assert np.array_equal(product[product[x, y], z], product[x, product[y, z]])
    assert not np.array_equal(product, product.T)
    inverse = np.argmax(product == 0, axis=1)
    assert np.array_equal(table["conjugation"][x, y], product[product[x, y], inverse[x]])
    assert np.array_equal(table["aba"][x, y], product[product[x, y], x])
    classes = {frozenset(table["conjugation"][:, k]) for k in range(n)}
    assert len(classes) == {3: 3, 4: 5, 5: 7}[degree]  # partitions of the degree


def test_products_of_permutations_act_from_right_to_left():
    # lexicographic order of S3: 012 021 102 120 201 210; 021 after 102 maps 0 -> 1 -> 2
    assert label(Parameters(operation="product", degree=3), np.array([[1, 2]]))[0] == 4


def test_training_pairs_may_be_given(tmp_path):
    (tmp_path / "train.csv").write_text("a,b\n1,2\n0,3\n1,2\n")
    text = """
name = "given"
title = "A given split"
kind = "modular-transformer"
reference = "none"
units = "none"
[parameters]
operation = "-"
p = 5
split = "given"
d_model = 8
heads = 2
mlp = 8
[data]
file = "train.csv"
[observables]
energy = "loss"
order_parameter = "test accuracy"
"""
    system = cards.from_text(text, tmp_path).build()
    assert system.train.inputs.tolist() == [[0, 3], [1, 2]]
    assert system.train.targets.tolist() == [2, 4] and len(system.test.inputs) == 23
    for rows, message in (("1,9\n", "1, 9 is not one"), ("1,2,3\n", "two columns")):
        (tmp_path / "train.csv").write_text(rows)
        with pytest.raises(InputError, match=message):
            cards.from_text(text, tmp_path)
    with pytest.raises(InputError, match="needs the file"):
        cards.from_text(text.replace('[data]\nfile = "train.csv"', ""), tmp_path)
    with pytest.raises(InputError, match="only"):
        cards.from_text(text.replace('split = "given"', ""), tmp_path)


def test_a_text_that_is_called_npz_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "pairs.npz").write_text("0, 1\n")
    with pytest.raises(ValueError, match=r"it is no \.npz file, which numpy\.savez writes$"):
        read_rows(tmp_path / "pairs.npz")
