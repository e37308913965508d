"""Prefixes with dates: a span of time gives the prefix of each of its moments, and no other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from support.clock import FakeClock
from support.examples import examples
from watcher.clock import NS_PER_S
from watcher.filters.dated_prefix import DatedPrefix
from watcher.filters.key_window import AHEAD_S, KeyWindow

DAY_S = 86_400
dates = st.lists(
    st.sampled_from(["%Y", "%m", "%d", "%H", "%j", "%G", "%V", "%u", "%-m", "%-d", "%-H", "%%"]),
    min_size=1,
    max_size=4,
).map(lambda parts: "{" + "-".join(parts) + "}")
templates = st.lists(dates | st.sampled_from(["/", "a", "{x}", "%d", "dt="]), max_size=4).map(
    "".join
)
moments = st.integers(0, 4_102_444_800)
spans = st.integers(0, 5 * DAY_S)


@settings(max_examples=examples(300))
@given(templates, moments, spans, st.data())
def test_the_prefixes_of_a_span(
    template: str, since_s: int, span_s: int, data: st.DataObject
) -> None:
    prefix = DatedPrefix.parse(template)
    found = prefix.expand(since_s, since_s + span_s)
    assert list(found) == sorted(set(found))
    assert not any(b.startswith(a) for a in found for b in found if a != b)
    moment_s = data.draw(st.integers(since_s, since_s + span_s))
    assert prefix.render(moment_s).startswith(found)
    step_s = prefix.unit_s // 2
    rendered = {prefix.render(time_s) for time_s in range(since_s, since_s + span_s + 1, step_s)}
    assert set(found) <= rendered | {prefix.render(since_s + span_s)}
    assert len(found) <= prefix.count_at_most(span_s) or not prefix.is_dated


@settings(max_examples=examples(200))
@given(templates, moments, spans, st.lists(st.integers(0, 2 * DAY_S), max_size=6))
def test_a_window_as_time_goes_on(
    template: str, begin_s: int, lookback_s: int, steps: list[int]
) -> None:
    """It admits what is written now, an hour ahead, and any time as far back as was asked for."""
    clock = FakeClock(now_ns=(begin_s + lookback_s) * NS_PER_S)
    window, prefix = KeyWindow(template, lookback_s, clock), DatedPrefix.parse(template)
    for step_s in steps:
        clock.advance(step_s)
        for age_s in (-AHEAD_S, 0, lookback_s // 2, lookback_s):
            key = prefix.render(clock.wall() - age_s) + "x"
            assert window.admits(key.encode())
        assert window.present_prefix.encode() in window.now().prefixes
