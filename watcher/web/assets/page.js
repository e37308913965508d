// Fetches the page again as the server renders it, and exchanges the parts that change. The page is complete without this.
"use strict";

const PERIOD_MS = 2000;
const PATIENCE_MS = 5000;
const live = document.getElementById("live");
const selected = document.getElementById("selected");
const stale = document.getElementById("stale");
const parts = [...document.querySelectorAll("[data-live]")];
live.closest("label").hidden = false;

function isSelected(part) {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

function exchange(page) {
  const focused = document.activeElement?.id;
  document.title = page.title;
  for (const part of parts) {
    // A button that is being pressed must be there when it is let go.
    if (!isSelected(part) && !part.matches(":active")) part.replaceChildren(...page.getElementById(part.id).childNodes);
  }
  selected.hidden = !parts.some(isSelected);
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// Shows the page of now, and returns why it cannot, if so, as a sentence.
async function refresh() {
  let answer, text;
  try {
    // With its origin, since the address of the page may hold user and password, with which nothing can be fetched.
    answer = await fetch(location.origin + location.pathname + location.search, {
      cache: "no-store",
      // Who says this is told by 403 that the token is not good; for 401 the browser would ask the user, and forget the token.
      headers: { "X-Requested-With": "fetch" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await answer.text();
  } catch {
    return "The server does not answer.";
  }
  if (answer.status === 403) return "The token is no longer good: load the page again to give another.";
  if (!answer.ok) return `The server answers with an error, ${answer.status} ${answer.statusText}.`;
  if (live.checked) exchange(new DOMParser().parseFromString(text, "text/html"));
  return "";
}

function tell(trouble) {
  stale.hidden = !trouble;
  // What is written again is read aloud again.
  const text = trouble && `${trouble} This is what it said last.`;
  if (stale.textContent !== text) stale.textContent = text;
}

async function run() {
  try {
    if (live.checked && !document.hidden) tell(await refresh().catch(() => "What the server shows does not fit this page: load it again."));
  } finally {
    setTimeout(run, PERIOD_MS);
  }
}

setTimeout(run, PERIOD_MS);
