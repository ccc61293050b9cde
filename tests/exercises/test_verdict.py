"""What checks are made of."""

import torch

from aigc_lib.exercises.verdict import Wrong, call, exercise


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
