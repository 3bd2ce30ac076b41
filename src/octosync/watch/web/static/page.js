// Updates an open page without a reload: fetches the same page again, and applies the differences in `main`.
// Keeps the state of the user interface: focus, selection, open details, typed text, scroll position.
// A change of the filter changes the URL and fetches its page, so the server filters with and without JavaScript.
"use strict";

(() => {
  const page = document.body.dataset;
  const every = Number(page.refresh) * 1000;
  const longest = 30_000; // the longest interval between two requests to a server that does not respond
  const patience = 10_000;
  const pause = 150; // after a keystroke in the filter
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
  const units = [["day", 86_400], ["hour", 3_600], ["minute", 60]];

  let tag = page.etag;
  let serverAhead = Date.parse(page.now) - Date.now();
  let seen = Date.parse(page.now);
  let lostSince = null;
  let failures = 0;
  let timer = null;
  let request = null;
  let typing = null;

  const serverNow = () => Date.now() + serverAhead;
  const clock = (at) => `${new Date(at).toISOString().slice(11, 19)} UTC`;

  function age(at) {
    const seconds = (serverNow() - at) / 1000;
    const [unit, size] = units.find(([, size]) => seconds >= size) ?? [null, 0];
    return unit === null ? "now" : `${Math.trunc(seconds / size)} ${{ day: "d", hour: "h", minute: "min" }[unit]}`;
  }

  function away(at) {
    const seconds = (at - serverNow()) / 1000;
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? [null, 0];
    if (unit === null) return seconds < 0 ? "just now" : "in less than a minute";
    return relative.format(Math.trunc(seconds / size), unit);
  }

  // The server writes times in UTC. This adds the relative time, and the local time as a tooltip.
  function decorate(root) {
    for (const span of root.querySelectorAll(".ago")) {
      const at = Date.parse(span.dataset.at);
      const words = "short" in span.dataset ? age(at) : ` (${away(at)})`;
      if (span.textContent !== words) span.textContent = words;
    }
    for (const time of root.querySelectorAll("time")) {
      const here = new Date(time.dateTime).toLocaleString();
      if (time.title !== here) time.title = here;
    }
    for (const button of root.querySelectorAll("[data-nojs]:not([hidden])")) button.hidden = true;
  }

  const isOurs = (element, name) => name === "open" && element.localName === "details";

  function sameAttributes(old, now) {
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && !isOurs(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value && !isOurs(old, name)) old.setAttribute(name, value);
    }
  }

  // Changes an element to match another one with as few changes as possible, so that equal parts are never touched.
  // An element with an id stays the same element. It is moved only if the order has changed, because a move loses the focus.
  function become(old, now) {
    sameAttributes(old, now);
    const stay = new Set([...now.children].map((child) => child.id));
    let at = old.firstChild;
    const drop = () => {
      const next = at.nextSibling;
      at.remove();
      at = next;
    };
    for (const wanted of [...now.childNodes]) {
      let match = null;
      if (wanted.id) {
        match = [...old.children].find((child) => child.id === wanted.id && child.localName === wanted.localName) ?? null;
        while (match !== null && at !== null && at !== match && !(at.id && stay.has(at.id))) drop();
      } else if (at && at.nodeType === wanted.nodeType && at.nodeName === wanted.nodeName && !at.id) {
        match = at;
      }
      if (match === null) {
        old.insertBefore(document.importNode(wanted, true), at);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      if (match.nodeType === Node.ELEMENT_NODE) become(match, wanted);
      else if (match.data !== wanted.data) match.data = wanted.data;
    }
    while (at !== null) drop();
  }

  function take(now) {
    const main = document.getElementById("main");
    const focused = document.activeElement;
    const wasInside = main.contains(focused);
    decorate(now);
    become(main, now.getElementById("main"));
    become(document.querySelector(".top"), now.querySelector(".top")); // a session may have begun or ended
    if (wasInside && !main.contains(document.activeElement)) {
      if (main.contains(focused)) focused.focus({ preventScroll: true });
      else main.focus({ preventScroll: true });
    }
    document.title = now.title;
    const [icon, newIcon] = [document, now].map((one) => one.querySelector("link[rel=icon]"));
    if (icon.getAttribute("href") !== newIcon.getAttribute("href")) icon.href = newIcon.getAttribute("href");
  }

  function filter() {
    const fields = [...new FormData(document.getElementById("filter"))].filter(([, value]) => value.trim() !== "");
    const query = fields.length ? `?${new URLSearchParams(fields)}` : "";
    if (query === location.search) return;
    history.replaceState(null, "", location.pathname + query);
    tag = "";
    request = null; // the response to it is about another URL
    look();
  }

  function found() {
    failures = 0;
    lostSince = null;
    seen = serverNow();
    document.getElementById("connection").hidden = true;
    const asOf = document.getElementById("as-of");
    asOf.dateTime = new Date(seen).toISOString();
    asOf.textContent = clock(seen);
    decorate(document);
    later(every);
  }

  function lost(why) {
    failures += 1;
    if (lostSince === null) {
      lostSince = serverNow();
      const banner = document.getElementById("connection");
      banner.textContent = `Connection lost since ${clock(lostSince)}${why}. What you see is as of ${clock(seen)}.`;
      banner.hidden = false;
    }
    decorate(document);
    later(Math.min(longest, every * 2 ** Math.min(failures, 10)));
  }

  function later(wait) {
    clearTimeout(timer);
    timer = document.hidden ? null : setTimeout(look, wait * (0.9 + 0.2 * Math.random()));
  }

  // The browser parses the response into a document: this script creates no markup from strings, and runs no script of the response.
  function look() {
    if (request !== null) return;
    const mine = new XMLHttpRequest();
    request = mine;
    mine.open("GET", location.pathname + location.search);
    mine.responseType = "document";
    mine.timeout = patience;
    mine.setRequestHeader("If-None-Match", tag);
    mine.addEventListener("loadend", () => {
      if (request !== mine) return;
      request = null;
      const { status } = mine;
      const response = status === 200 ? mine.response : null;
      const [newTag, date] = ["ETag", "Date"].map((name) => mine.getResponseHeader(name));
      if (status !== 200 && status !== 304) {
        lost(status === 0 ? "" : ` (answered ${status})`);
        return;
      }
      if (date !== null) serverAhead = Date.parse(date) - Date.now();
      if (status === 200) {
        if (!response?.getElementById("main")) {
          lost(" (answered something else)");
          return;
        }
        take(response);
        tag = newTag;
      }
      found();
    });
    mine.send();
  }

  for (const change of ["input", "change"]) {
    document.addEventListener(change, (event) => {
      if (event.target.form?.id !== "filter") return;
      clearTimeout(typing);
      typing = setTimeout(filter, pause);
    });
  }
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "filter") return;
    event.preventDefault();
    clearTimeout(typing);
    filter();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else look();
  });
  decorate(document);
  const list = document.getElementById("others");
  const current = list?.querySelector("[aria-current]");
  if (current) list.scrollTop = current.offsetTop - list.clientHeight / 2; // it scrolls by itself
  later(every);
})();
