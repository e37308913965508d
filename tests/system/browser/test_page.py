"""The status page in a real browser: its text, its refresh, its safety and its release button."""

import re
import signal
from pathlib import Path

import pytest

from support.client import Client, wait_until
from support.config import config
from support.fixtures import Connect, StartServer
from support.s3.simulated import run_store
from support.server import ServerProcess
from system.browser.chromium import Page

TOKEN = "s3cret"
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe"
REFUSED = "Failed to load resource: the server responded with a status of 403 (Forbidden)"
KEYS = [f"in/{number:04}" for number in range(300)]


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> ServerProcess:
    return start_server(tokens=f"team:{TOKEN} other:0ther")


@pytest.fixture
def client(server: ServerProcess, connect: Connect) -> Client:
    return connect(server, token=TOKEN)


@pytest.fixture
def signed_in(page: Page) -> Page:
    """Open a page that sends the token."""
    page.sign_in(TOKEN)
    return page


def wait_refreshed(page: Page) -> None:
    """Wait until the page shows an answer that the server made after this call."""
    for _ in range(2):
        shown = page.text("#at")
        wait_until(lambda: page.text("#at") != shown, "the page is of a later time")  # noqa: B023 - called here


def test_the_page_refreshes_itself(
    server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str
) -> None:
    """A change appears without a reload; the switch stops that, and all requests."""
    stream = client.watch(name, config(root))
    signed_in.open(server.http)
    assert signed_in.text("#health") == "ready"
    assert name in signed_in.text("#watches")
    signed_in.evaluate("window.isSame = true")
    (root / "first").touch()
    signed_in.wait_text("#recent", "first")
    signed_in.click("#live")
    signed_in.evaluate(
        "window.requests = 0; const send = window.fetch; "
        "window.fetch = (...wanted) => { window.requests += 1; return send(...wanted); };"
    )
    (root / "second").touch()
    stream.wait_count(2)
    signed_in.evaluate("window.periods = 0; setInterval(() => { window.periods += 1; }, PERIOD_MS)")
    wait_until(lambda: signed_in.evaluate("window.periods") >= 2, "the page had the time to move")
    assert signed_in.evaluate("window.requests") == 0
    assert "second" not in signed_in.text("#recent")
    signed_in.click("#live")
    signed_in.wait_text("#recent", "second")
    assert signed_in.evaluate("window.isSame && window.requests") >= 1


def test_a_server_that_hangs(server: ServerProcess, signed_in: Page) -> None:
    """The page reports it and keeps its time, until the server answers again."""
    signed_in.open(server.http)
    server.signal(signal.SIGSTOP)
    try:
        signed_in.wait_text("#stale", "The server does not answer. The page shows the last answer.")
        shown = signed_in.text("#at")
    finally:
        server.signal(signal.SIGCONT)
    wait_until(
        lambda: signed_in.evaluate("stale.hidden") and signed_in.text("#at") != shown,
        "the page moves again",
    )


def test_a_token_that_is_taken_back(start_server: StartServer, page: Page, tmp_path: Path) -> None:
    """The page reports it, the browser does not ask for another, and a valid token resumes it."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"team:{TOKEN}\n")
    server = start_server("--token-file", str(tokens))
    # From here the browser knows the token as it does when its user has typed it.
    page.open(server.http.replace("://", f"://anyone:{TOKEN}@"))
    tokens.write_text("team:an0ther\n")
    page.wait_text("#stale", "The token is no longer valid: ")
    tokens.write_text(f"team:{TOKEN}\n")
    wait_until(lambda: page.evaluate("stale.hidden"), "the page moves again")
    assert {trouble.rpartition(" ")[0] for trouble in page.troubles} == {REFUSED}
    page.troubles.clear()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            "'', {status: 503, statusText: 'Service Unavailable'}",
            "The server answers with an error, 503 Service Unavailable.",
        ),
        ("'<p>of another version'", "The answer does not fit this page: reload it."),
    ],
)
def test_answers_that_are_not_the_page(
    server: ServerProcess, signed_in: Page, answer: str, text: str
) -> None:
    signed_in.open(server.http)
    signed_in.evaluate(
        f"window.send = window.fetch; window.fetch = async () => new Response({answer});"
    )
    signed_in.wait_text("#stale", f"{text} The page shows the last answer.")
    signed_in.evaluate("window.fetch = window.send")
    wait_until(lambda: signed_in.evaluate("stale.hidden"), "the page moves again")


def test_selected_text_is_not_replaced(
    server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str
) -> None:
    """The part of the selection is paused, and the page says so; other parts are refreshed."""
    stream = client.watch(name, config(root))
    (root / "read").touch()
    stream.wait_count(1)
    signed_in.open(server.http)
    signed_in.evaluate("getSelection().selectAllChildren(document.querySelector('#recent .path'))")
    (root / "unread").touch()
    stream.wait_count(2)
    wait_refreshed(signed_in)
    assert not signed_in.evaluate("selected.hidden")
    assert signed_in.evaluate("getSelection().toString()") == "read"
    assert "unread" not in signed_in.text("#recent")
    signed_in.evaluate("getSelection().removeAllRanges()")
    signed_in.wait_text("#recent", "unread")
    assert signed_in.evaluate("selected.hidden")


def test_a_focused_part_is_refreshed(
    server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str
) -> None:
    """In a narrow window a part can be scrolled, so it can have the focus; it keeps it."""
    client.watch(name, config(root))
    (root / f"{'x' * 200}").touch()
    signed_in.resize(400, 800)
    signed_in.open(server.http)
    signed_in.wait_text("#recent", "xxx")
    signed_in.evaluate(
        "const part = document.getElementById('recent'); part.focus(); part.scrollLeft = 50"
    )
    (root / "narrow").touch()
    signed_in.wait_text("#recent", "narrow")
    assert signed_in.evaluate("[document.activeElement.id, document.activeElement.scrollLeft]") == [
        "recent",
        50,
    ]


def test_strange_names_are_text(
    server: ServerProcess, client: Client, signed_in: Page, root: Path
) -> None:
    """Markup and direction overrides in names are text, and nothing of them runs."""
    client.watch(HOSTILE, config(root))
    (root / HOSTILE).touch()
    signed_in.open(server.http)
    for part in ("#watches", "#recent"):
        signed_in.wait_text(part, "<img src=x onerror=alert(1)>\\u202egnp.exe")
    assert signed_in.evaluate("document.querySelectorAll('img').length") == 0


def test_without_scripts(
    server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str
) -> None:
    """The page is complete, and refreshes by its meta element."""
    stream = client.watch(name, config(root))
    (root / "here").touch()
    stream.wait_count(1)
    signed_in.call("Emulation.setScriptExecutionDisabled", value=True)
    signed_in.open(server.http)
    signed_in.wait_text("#watches", name)
    signed_in.wait_text("#recent", "here")
    assert signed_in.evaluate("document.querySelector('label').hidden")
    assert signed_in.evaluate("document.querySelector('noscript meta').httpEquiv") == "refresh"


CONTRAST = """(() => {
  const luminance = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255);
    const linear = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = luminance(getComputedStyle(document.querySelector("#watches")).backgroundColor);
  return ["changes", "lag"].map((series) => {
    const bars = luminance(getComputedStyle(document.querySelector(`svg .${series}`)).fill);
    return (Math.max(bars, ground) + 0.05) / (Math.min(bars, ground) + 0.05);
  });
})()"""
"""How the bars of the two series stand out from their background (WCAG 2.2, 1.4.11)."""

SIZE = (
    "(({width, height}) => [width, height])(document.querySelector('svg').getBoundingClientRect())"
)


def test_the_picture_of_the_last_hour(
    server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str
) -> None:
    """It has a name and a description, and can be seen in light and dark, without scripts and CSS.

    With scripts, it changes with the page.
    """
    stream = client.watch(name, config(root))
    (root / "a").touch()
    stream.wait_count(1)
    server.wait_watch(name, unconfirmed=1)
    signed_in.open(f"{server.http}/?q={name}")
    signed_in.wait_text("#watches", "1 change, up to 1/min")
    (root / "b").touch()
    # Two in a minute, or one in each of two.
    signed_in.wait_text("#watches", "2 changes, up to ")
    signed_in.call("Emulation.setScriptExecutionDisabled", value=True)
    signed_in.open(f"{server.http}/?q={name}")
    nodes = signed_in.call("Accessibility.getFullAXTree")["nodes"]
    (image,) = [node for node in nodes if node["role"]["value"] in {"image", "img"}]
    assert re.match("The last hour: 2 changes, up to [12]/min; lag ", image["name"]["value"])
    assert image["description"]["value"].startswith("Two rows of bars, one for each minute")
    for scheme in ("light", "dark"):
        signed_in.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        assert min(signed_in.evaluate(CONTRAST)) >= 3
    size = signed_in.evaluate(SIZE)
    signed_in.evaluate("document.querySelector('link[rel=stylesheet]').remove()")
    assert signed_in.evaluate(SIZE) == size == [120, 36]
    assert signed_in.evaluate("getComputedStyle(document.querySelector('svg .lag')).fill") == (
        signed_in.evaluate("getComputedStyle(document.body).color")
    )


def test_a_hold_is_released(
    server: ServerProcess, client: Client, signed_in: Page, root: Path, name: str, pictures: Path
) -> None:
    """The button works while the page refreshes, long before the next scan; pictures are kept."""
    client.watch("backup", config(root))
    with run_store() as store:
        store.put_many(*KEYS)
        asked = config(store, prefix="in/", poll_interval="1h")
        client.watch(name, asked).cancel()
        server.wait_watch(name, streams=0)
        store.delete(*KEYS[100:])
        # A new configuration of the same place starts with a scan; the next one is in an hour.
        stream = client.watch(name, asked | {"metadata": {"run": "2"}})
        (root / "report.csv").write_text("1,2,3")
        signed_in.open(server.http)
        signed_in.wait_text("#watches", "Release 200 deletions")
        signed_in.wait_text("#recent", "report.csv")
        for scheme in ("light", "dark"):
            signed_in.call(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": scheme}],
            )
            signed_in.screenshot(pictures / f"page-{scheme}.png")
        signed_in.resize(400, 900)
        signed_in.screenshot(pictures / "page-narrow.png")
        for selector, least in (("#watches button", 100), (".place", 180), (".path", 200)):
            left, width = signed_in.evaluate(
                "(({x, width}) => [x, width])"
                f"(document.querySelector({selector!r}).getBoundingClientRect())"
            )
            assert left >= 0
            assert width >= least
            assert left + width <= 400 or selector == ".path"

        signed_in.open(f"{server.http}/?q=s3%3A%2F%2F")
        signed_in.evaluate(
            "window.former = document.querySelector('#watches button'); window.former.focus()"
        )
        wait_until(
            lambda: not signed_in.evaluate("document.contains(window.former)"), "the part has moved"
        )
        assert signed_in.evaluate("document.activeElement.innerText") == "Release 200 deletions"
        signed_in.mouse("mousePressed", "#watches button")
        wait_refreshed(signed_in)
        signed_in.mouse("mouseReleased", "#watches button")
        stream.wait_count(200)
        wait_until(lambda: "Release" not in signed_in.text("#watches"), "nothing is held")
        assert signed_in.evaluate("document.querySelector('input[name=q]').value") == "s3://"
    (line,) = server.wait_logged("scan.released")
    assert (line["watch"], line["deletions"], line["principal"]) == (name, 200, "team")
