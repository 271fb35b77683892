"""A keyboard reaches every control, and shows where it is."""

import pytest
from playwright.sync_api import Browser

from tests.support.browser import viewer

pytestmark = [pytest.mark.browser, pytest.mark.requirement("accessible")]

STEPS_MAX = 250

_CONTROLS = """() => {
  const shown = (node) =>
    node.getClientRects().length && getComputedStyle(node).visibility !== 'hidden';
  const grouped = new Set();
  const focusable = 'a[href], button, input, select, textarea, [tabindex]';
  const nodes = [...document.querySelectorAll(focusable)]
    .filter(node => node.tabIndex >= 0 && !node.disabled && shown(node)
            && !node.closest('[aria-hidden="true"], [inert]'))
    .filter(node => {
      const group = node.closest('[role="radiogroup"], [role="toolbar"]');
      const first = !group || !grouped.has(group);
      grouped.add(group);
      return first;
    });
  nodes.forEach((node, n) => { node.dataset.walked = n; });
  return nodes.map(node =>
    (node.getAttribute('aria-label') || node.innerText || node.outerHTML).slice(0, 80));
}"""

_STEP = """async () => {
  const frame = () => new Promise(done => requestAnimationFrame(done));
  await frame(); await frame();
  const style = (at) => {
    const s = getComputedStyle(at);
    return [s.outlineStyle, s.outlineWidth, s.boxShadow, s.borderColor, s.backgroundColor, s.color,
            s.textDecorationLine, s.transform, s.opacity].join('|');
  };
  const look = (node) => {
    const parts = [...(node.parentElement?.children ?? [])].map(style);
    for (let at = node, n = 0; at && n < 5; at = at.parentElement, n++) parts.push(style(at));
    return parts.join(';');
  };
  const left = window.walked;
  const unseen = left && left.node.tagName !== 'MAIN' && left.look === look(left.node)
    ? left.node.outerHTML.slice(0, 160) : null;
  const node = document.activeElement;
  if (!node || node === document.body) return {here: null, unseen};
  window.walked = {node, look: look(node)};
  const kinds = '[role="radiogroup"], [role="toolbar"]';
  const group = node.closest(kinds)?.querySelector('[data-walked]') ?? node;
  return {here: group.dataset.walked ?? '', unseen};
}"""
"""Where the focus is, and what did not look different while it had it.

The page as a whole (`main`) needs no mark of its own.
"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    "path",
    [
        "?range=24h&live=0",
        "sessions?range=24h&live=0",
        "session?session=endless",
        "system?live=0",
        "explore?range=24h&live=0&by=model",
        "explore?live=0&mode=promql",
        "forecasts?live=0",
    ],
)
def test_tab_reaches_every_control_and_shows_it(
    chromium: Browser, full: str, path: str, width: int
) -> None:
    with viewer(chromium, full, width=width) as seen:
        seen.open(path)
        controls = seen.page.evaluate(_CONTROLS)
        reached: list[str] = []
        unseen = []
        for _ in range(STEPS_MAX):
            seen.page.keyboard.press("Tab")
            step = seen.page.evaluate(_STEP)
            if step["unseen"]:
                unseen.append(step["unseen"])
            if step["here"] is None or (reached and step["here"] == reached[0]):
                break
            reached.append(step["here"])

    missed = [label for n, label in enumerate(controls) if str(n) not in reached]
    assert len(controls) > 3
    assert missed == []
    assert unseen == []


def test_choosing_a_range_with_the_keyboard_is_kept_in_the_address(
    chromium: Browser, full: str
) -> None:
    with viewer(chromium, full) as seen:
        seen.open("?live=0")
        seen.page.get_by_role("radio", name="1 h").focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("Space")
        seen.page.wait_for_url("**range=6h**")
        seen.page.get_by_text("The last 6 hours").first.wait_for()


def test_an_expression_is_evaluated_and_kept_by_the_keyboard(chromium: Browser, full: str) -> None:
    with viewer(chromium, full) as seen:
        seen.open("explore?live=0&mode=promql&range=24h")
        seen.page.get_by_role("textbox", name="Expression").fill("sum by (model) (requests_total)")
        seen.page.keyboard.press("Control+Enter")
        seen.page.wait_for_url("**expr=sum**")
        seen.page.get_by_text("series; highest at").first.wait_for()


def test_a_budget_is_set_and_removed_by_the_keyboard(chromium: Browser, full: str) -> None:
    with viewer(chromium, full) as seen:
        seen.open("forecasts?live=0")
        seen.page.get_by_role("textbox", name="Name").fill("by keyboard")
        seen.page.get_by_role("button", name="Set budget").focus()
        seen.page.keyboard.press("Enter")
        seen.page.get_by_text("Budget “by keyboard” is set").wait_for()
        seen.settle()

        seen.page.get_by_role("button", name="Remove budget").focus()
        seen.page.keyboard.press("Enter")
        seen.page.get_by_role("status").get_by_text("is removed.").wait_for()


def test_arrows_walk_the_dimensions_and_a_key_chooses_one(chromium: Browser, full: str) -> None:
    with viewer(chromium, full) as seen:
        seen.open("explore?live=0&range=24h")
        seen.page.get_by_role("button", name="Project").focus()
        for _ in range(2):
            seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("Space")
        seen.page.wait_for_url("**by=model**")
        seen.page.get_by_text("largest groups").first.wait_for()
