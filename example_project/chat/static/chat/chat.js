"use strict";

// Everything works without this file; with it, Enter sends and the page follows a reply.

const finePointer = matchMedia("(pointer: fine)").matches;

// Who reads the end of the page goes on doing so while it grows.
function followReply(reply) {
  let isAtEnd = true;
  const page = document.documentElement;
  const look = () => (isAtEnd = page.scrollHeight - innerHeight - scrollY < 60);
  addEventListener("scroll", look, { passive: true });
  new ResizeObserver(() => isAtEnd && scrollTo({ top: page.scrollHeight })).observe(reply);
}

function easeWriting(form) {
  const field = form.querySelector("[data-send]");
  const keys = form.querySelector("[data-keys]");
  form.addEventListener("submit", () => (form.querySelector("button").disabled = true));
  // On a phone, Enter starts a new line: there is no Shift to hold.
  if (!finePointer) return;
  keys.hidden = false;
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (field.value.trim()) form.requestSubmit();
  });
}

document.querySelectorAll("conversation-reply").forEach(followReply);
document.querySelectorAll(".composer").forEach(easeWriting);
addEventListener("pageshow", () => {
  const form = document.querySelector(".composer");
  if (!form) return;
  // A page that comes back from the cache of the browser can be sent again.
  form.querySelector("button").disabled = false;
  // Who has just written goes on writing; who comes to read starts at the top of the page.
  const writes = document.querySelector("conversation-reply, .welcome");
  if (writes && finePointer) form.querySelector("[data-send]").focus({ preventScroll: true });
});
