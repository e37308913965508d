// Fetches the rendered page every 2 s and replaces its live parts. The page is complete without it.
"use strict";

const PERIOD_MS = 2000;
const TIMEOUT_MS = 5000;
const live = document.getElementById("live");
const selected = document.getElementById("selected");
const stale = document.getElementById("stale");
const parts = [...document.querySelectorAll("[data-live]")];
live.closest("label").hidden = false;

function isSelected(part) {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

function replace(page) {
  const focused = document.activeElement?.id;
  document.title = page.title;
  for (const part of parts) {
    // A button must not be replaced between mouse down and mouse up: no click would follow.
    if (!isSelected(part) && !part.matches(":active")) part.replaceChildren(...page.getElementById(part.id).childNodes);
  }
  selected.hidden = !parts.some(isSelected);
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// Shows the current page; returns an error message, or an empty string.
async function refresh() {
  let answer, text;
  try {
    // Built from the origin: fetch rejects an address with user and password, as the page may have.
    answer = await fetch(location.origin + location.pathname + location.search, {
      cache: "no-store",
      // Makes the server answer 403, not 401, to a bad token: for 401 the browser would ask the
      // user for another, and forget this one.
      headers: { "X-Requested-With": "fetch" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await answer.text();
  } catch {
    return "The server does not answer.";
  }
  if (answer.status === 403) return "The token is no longer valid: reload the page to enter another.";
  if (!answer.ok) return `The server answers with an error, ${answer.status} ${answer.statusText}.`;
  if (live.checked) replace(new DOMParser().parseFromString(text, "text/html"));
  return "";
}

function showError(error) {
  stale.hidden = !error;
  const text = error && `${error} The page shows the last answer.`;
  // Screen readers repeat a text that is set again.
  if (stale.textContent !== text) stale.textContent = text;
}

async function run() {
  try {
    if (live.checked && !document.hidden) showError(await refresh().catch(() => "The answer does not fit this page: reload it."));
  } finally {
    setTimeout(run, PERIOD_MS);
  }
}

setTimeout(run, PERIOD_MS);
