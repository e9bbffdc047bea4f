"use strict";

// Everything works without this file; with it, a reply appears by itself and Enter sends.

const finePointer = matchMedia("(pointer: fine)").matches;
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

async function showReply(place, failures = 0) {
  try {
    const response = await fetch(place.dataset.poll);
    if (!response.ok || response.redirected) throw new Error(response.status);
    if (response.status === 202) return showReply(place);
    place.innerHTML = await response.text();
    place.classList.add("arrived");
    place.scrollIntoView({ block: "nearest" });
  } catch {
    // Signed out, deleted or the server is gone: after a while, let the page say what is wrong.
    if (failures > 4) return location.reload();
    await pause(2 ** failures);
    return showReply(place, failures + 1);
  }
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

document.querySelectorAll("[data-poll]").forEach((place) => showReply(place));
document.querySelectorAll(".composer").forEach(easeWriting);
addEventListener("pageshow", () => {
  const form = document.querySelector(".composer");
  if (!form) return;
  // A page that comes back from the cache of the browser can be sent again.
  form.querySelector("button").disabled = false;
  // Who has just written goes on writing; who comes to read starts at the top of the page.
  const writes = document.querySelector("[data-poll], .welcome");
  if (writes && finePointer) form.querySelector("[data-send]").focus({ preventScroll: true });
});
