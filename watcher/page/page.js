// Fetches the page again as the server renders it, and exchanges the parts that change. The page is complete without this.
"use strict";

const PERIOD_MS = 2000;
const live = document.getElementById("live");
const stale = document.getElementById("stale");
live.closest("label").hidden = false;

function isBusy(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

async function refresh() {
  const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = page.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    if (!isBusy(part)) part.replaceChildren(...page.getElementById(part.id).childNodes);
  }
}

async function run() {
  if (live.checked && !document.hidden) {
    stale.hidden = await refresh().then(() => true, () => false);
  }
  setTimeout(run, PERIOD_MS);
}

setTimeout(run, PERIOD_MS);
