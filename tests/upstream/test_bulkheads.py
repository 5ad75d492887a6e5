"""What one family of operations may hold of a pool, row by row, and what that comes to where several hang."""

from __future__ import annotations

import pytest

from proxy.upstream.bulkheads import may_hold_another

ROWS = [
    # held, used, limit, may
    pytest.param(0, 0, 256, True, id="an empty pool is everybody's"),
    pytest.param(191, 191, 256, True, id="one family takes three quarters"),
    pytest.param(192, 192, 256, False, id="and no more"),
    pytest.param(0, 192, 256, True, id="another finds the rest"),
    pytest.param(63, 192, 256, True, id="also one that holds fewer than are left"),
    pytest.param(64, 192, 256, False, id="not one that holds as many as are left"),
    pytest.param(0, 255, 256, True, id="who holds nothing takes the last one"),
    pytest.param(1, 255, 256, False, id="who holds one does not"),
    pytest.param(0, 256, 256, False, id="nobody takes more than there is"),
    pytest.param(3, 3, 4, False, id="of four, one is for others"),
    pytest.param(0, 3, 4, True, id="who get it"),
    pytest.param(2, 2, 3, True, id="fewer than four are everybody's"),
    pytest.param(3, 3, 3, False, id="to the last"),
    pytest.param(0, 0, 1, True, id="a single one too"),
]


@pytest.mark.parametrize(("held", "used", "limit", "may"), ROWS)
def test_one_more(held: int, used: int, limit: int, may: bool) -> None:
    """Without end while more than a quarter is free; of that quarter, only who holds fewer than are left."""
    assert may_hold_another(held, used, limit) is may


@pytest.mark.parametrize(("limit", "shares"), [(256, [192, 32, 16, 8, 4, 2, 1]), (8, [6, 1]), (16, [12, 2, 1])])
def test_what_families_come_to_hold_that_hang_one_after_another(limit: int, shares: list[int]) -> None:
    """Each gets half of what the one before has left, and after all of them one connection is there."""
    used, held = 0, []
    for _ in shares:
        mine = 0
        while may_hold_another(mine, used, limit):
            mine, used = mine + 1, used + 1
        held.append(mine)
    assert held == shares
    assert used == limit - 1
    assert may_hold_another(0, used, limit)
