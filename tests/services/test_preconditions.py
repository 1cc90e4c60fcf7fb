"""The number of tags that a header may list."""

from services.preconditions import names


def test_a_tag_counts_up_to_the_hundredth_place_of_a_list() -> None:
    others = [f'"{number}"' for number in range(100)]
    assert names(", ".join([*others[:99], '"1-2"']), '"1-2"')
    assert not names(", ".join([*others, '"1-2"']), '"1-2"')
