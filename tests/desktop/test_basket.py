"""What fits onto a stick, without a window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from luxusb_gtk.basket import Basket, Choice, measure

SIZES = st.integers(0, 2**40)
CHOICES = st.lists(
    st.builds(lambda size, room: Choice(f"{size}-{room}", f"distro:{size}", f"{size}", size, room), SIZES, SIZES),
    unique_by=lambda choice: choice.key,
    max_size=8,
)


@given(SIZES, CHOICES, SIZES)
def test_the_bar_is_the_whole_stick(capacity: int, choices: list[Choice], overhead: int) -> None:
    space = measure(capacity, choices, overhead=overhead)
    assert sum(segment.size for segment in space.segments) == max(capacity, space.used)
    assert space.free == capacity - overhead - sum(choice.room for choice in choices)
    fitting = [choice for choice in choices if choice not in space.too_much]
    assert not fitting or overhead + sum(choice.room for choice in fitting) <= capacity
    if overhead + sum(choice.room for choice in choices) <= capacity:
        assert space.too_much == ()


@given(CHOICES)
def test_a_basket_has_one_of_each_in_order(choices: list[Choice]) -> None:
    basket = Basket()
    for choice in choices:
        basket = basket.with_choice(choice)
    assert basket.choices == tuple(choices)
    for choice in choices:
        other = Choice(choice.key, "distro:other", "other", 1)
        changed = basket.with_choice(other)
        assert [one.key for one in changed.choices] == [one.key for one in choices]
        assert changed.get(choice.key) == other
        assert choice.key not in basket.without(choice.key)
