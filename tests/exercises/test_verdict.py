"""What checks are made of."""

import sys

import pytest
import torch

from aigc_lib.exercises.verdict import SETTINGS, Wrong, call, exercise, expect_shape, same


@exercise
def doubled(answer):
    x = torch.rand(3)
    if not torch.equal(call(answer, x), 2 * x):
        raise Wrong("Twice, please.")
    return "Twice it is."


def test_three_answers():
    assert repr(doubled(lambda x: None)).startswith("… Not attempted yet.")
    assert repr(doubled(lambda x: 3 * x)) == "✗ Not yet. Twice, please."
    assert repr(doubled(lambda x: x + x)) == "✓ Correct. Twice it is."


def test_an_exception_in_the_answer_is_a_hint():
    verdict = doubled(lambda x: x.no_such_thing)
    assert verdict.status == "wrong" and "AttributeError" in verdict.message and "no_such_thing" in verdict.message
    assert "list" in doubled(lambda x: [1]).message
    assert "int" in doubled(7).message


def test_a_check_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    doubled(lambda x: 2 * x)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "change, hint",
    [
        (lambda y: y + 5j, "torch.complex64, complex numbers: expected real ones"),
        (lambda y: y.to_sparse(), "layout torch.sparse_coo: expected a dense tensor"),
        (lambda y: torch.nested.nested_tensor([y], layout=torch.jagged), "a nested tensor"),
        (lambda y: y.to("meta"), "on the device meta: expected cpu"),
    ],
)
def test_a_result_that_is_no_ordinary_tensor_is_named(change, hint):
    verdict = doubled(lambda x: change(2 * x))
    assert verdict.status == "wrong" and hint in verdict.message


def test_same_compares_no_real_parts():
    assert not same(torch.ones(2) + 5j, torch.ones(2)) and same(torch.ones(2).double(), torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
def test_floats_are_expected(dtype):
    with pytest.raises(Wrong, match=f"dtype {dtype}: expected floats"):
        expect_shape(torch.zeros(2).to(dtype), (2,), "as the input")


def test_leaving_python_is_a_hint_but_the_reader_may_interrupt():
    verdict = doubled(lambda x: sys.exit("bye"))
    assert verdict.status == "wrong" and "calls exit(): return the result" in verdict.message

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        doubled(interrupted)


@pytest.mark.parametrize(
    "change, hint",
    [
        (lambda: torch.set_grad_enabled(False), "the grad mode changed from True to False"),
        (lambda: torch.set_default_dtype(torch.float64), "default dtype changed from torch.float32 to torch.float64"),
        (lambda: torch.set_default_device("meta"), "the default device changed from cpu to meta"),
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "the number of threads changed"),
    ],
)
def test_a_setting_left_changed_is_put_back_and_named(change, hint):
    before = [read() for _, read, _ in SETTINGS]

    def answer(x, then=lambda y: y):
        change()
        return then(2 * x)

    verdict = doubled(answer)
    assert verdict.status == "wrong" and hint in verdict.message and "put back" in verdict.message
    assert [read() for _, read, _ in SETTINGS] == before
    assert "ZeroDivisionError" in doubled(lambda x: answer(x, lambda y: 1 / 0)).message
    assert [read() for _, read, _ in SETTINGS] == before


def test_a_check_works_where_gradients_are_switched_off():
    @exercise
    def slope(answer):
        x = torch.ones(1, requires_grad=True)
        (got,) = torch.autograd.grad(call(answer, x), x)
        return str(got.item())

    with torch.no_grad():
        assert slope(lambda x: 3 * x).message == "3.0"
        assert not torch.is_grad_enabled()


@exercise
def reversed_list(answer):
    items = [[1], [2]]
    if call(answer, items, returns=list) != [[2], [1]] or items != [[1], [2]]:
        raise Wrong("The other way round, please.")
    return "Round it is."


def test_a_check_can_ask_for_a_list_and_keeps_its_own():
    def in_place(items):
        items[0][0], items[1][0] = 2, 1
        return items

    assert reversed_list(in_place).status == "right"
    assert "returned tuple: expected list" in reversed_list(lambda items: tuple(items[::-1])).message
    assert "returned Tensor: expected list" in reversed_list(lambda items: torch.ones(2)).message
    assert "returned bool: expected a tensor" in doubled(lambda x: True).message
