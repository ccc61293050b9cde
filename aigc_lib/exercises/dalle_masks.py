"""A check for an exercise of the chapter on DALL-E: who looks where."""

import torch

from aigc_lib.exercises.verdict import Wrong, call, exercise


@exercise
def neighbour_mask(answer):
    """answer(text, h, w, reach): ints -> (S, S) bool, S = text + h w, true where one
    may look."""
    for text, h, w, reach in ((5, 4, 4, 1), (3, 3, 5, 2), (2, 5, 3, 1), (4, 2, 4, 0)):
        got = call(answer, text, h, w, reach)
        n, size = h * w, text + h * w
        if tuple(got.shape) != (size, size):
            raise Wrong(
                f"Your result has shape {tuple(got.shape)}: expected ({size}, {size}), "
                f"for {text} tokens of a caption and {n} of a picture."
            )
        if got.dtype != torch.bool:
            raise Wrong(f"Your mask is {got.dtype}: expected torch.bool.")
        true, slips = _masks(text, h, w, reach)
        if torch.equal(got, true):
            continue
        for value, hint in slips:
            if torch.equal(got, value):
                raise Wrong(hint)
        for part, hint in (
            ((slice(text), slice(text)), "Among the caption's tokens it is off."),
            ((slice(text), slice(text, None)), "A caption does not see the picture."),
            ((slice(text, None), slice(text)), "The picture sees the whole caption."),
        ):
            if not torch.equal(got[part], true[part]):
                raise Wrong(hint)
        raise Wrong("Within the picture it is off: which line and column has token i?")
    return "The number of keys does not grow with the picture."


def _masks(text, h, w, reach):
    """The mask that is asked for, and others with what is wrong in them."""
    place = torch.arange(text + h * w)
    past = place[:, None] >= place
    of_text = place < text
    in_text = of_text[:, None] & of_text
    both = ~of_text[:, None] & ~of_text  # a token of the picture looks at another one

    def seen(i, wide, reach):
        """Places i of a picture with lines of `wide` tokens, not too far apart."""
        line, column = i.div(wide, rounding_mode="floor"), i % wide
        down, right = ((x[:, None] - x).abs() for x in (line, column))
        return down <= reach, right <= reach, down + right <= reach

    lines, columns, diamond = seen(place - text, w, reach)
    near = lines & columns
    true = past & (near | ~both)
    back = place[:, None] - place
    flat = ((back + reach) % w <= 2 * reach) & (back <= reach * w + reach)
    off, tall = seen(place, w, reach), seen(place - text, h, reach)
    wide, narrow = (seen(place - text, w, r) for r in (reach + 1, reach - 1))
    slips = [
        (
            past & ((off[0] & off[1]) | ~both),
            "Your lines are counted from the start of the row: the picture begins "
            f"at place {text}.",
        ),
        (
            past & (flat | ~both),
            "Your neighbourhood goes on around the edge: the last token of a line and "
            "the first of the next one are far apart.",
        ),
        (
            past & (lines | ~both),
            "The columns may lie any distance apart in your mask.",
        ),
        (
            past & (columns | ~both),
            "The lines may lie any distance apart in your mask.",
        ),
        (
            past & (diamond | ~both),
            "You add the distances in lines and in columns: each may be `reach`.",
        ),
        (past & ((wide[0] & wide[1]) | ~both), "Your neighbourhood is one too wide."),
        (
            past & ((narrow[0] & narrow[1]) | ~both),
            "Your neighbourhood is one too narrow: `reach` itself is allowed.",
        ),
        (
            past & ((tall[0] & tall[1]) | ~both),
            "You number the tokens by columns: they stand by lines.",
        ),
        (past, "Your tokens see all that came before."),
        (true.T, "Your tokens look ahead: rows ask, columns answer."),
        (true & (both | in_text), "The tokens of your picture do not see the caption."),
        (true | in_text, "The tokens of your caption see what comes later in it."),
        (
            true | (both & near),
            "Your tokens see neighbours that come later in the row.",
        ),
        (true & (back != 0), "A token should see itself, too."),
        (~true, "Your mask is true where a token must not look."),
    ]
    return true, slips
