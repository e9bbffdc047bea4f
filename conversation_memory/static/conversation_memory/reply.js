"use strict";

// <conversation-reply src="…" result="…">: a reply while it is being written.
//
// `src` is the address of a view that returns stream_reply(), `result` that of the reply as HTML,
// to show when there is an outcome. docs/howto/stream.md describes it.
{
  const OUTCOMES = ["finished", "failed", "cancelled", "removed"];
  const GONE = [404, 410];
  const LONGEST_PAUSE = 30; // seconds

  const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

  class ConversationReply extends HTMLElement {
    #source = null;
    #text = null;
    #failures = 0;
    #losses = 0;
    #lengthAtLoss = 0;
    #isFresh = true; // the next piece begins the text
    #isOver = false;

    connectedCallback() {
      this.#text = this.querySelector("[data-text]") ?? this.appendChild(newText());
      // Screen readers are told the whole reply at the end, and not each word.
      this.setAttribute("aria-live", "off");
      this.addEventListener("submit", this.#send);
      document.addEventListener("visibilitychange", this.#look);
      addEventListener("pagehide", this.#close);
      addEventListener("pageshow", this.#look);
      this.#change("waiting");
      this.#look();
    }

    disconnectedCallback() {
      document.removeEventListener("visibilitychange", this.#look);
      removeEventListener("pagehide", this.#close);
      removeEventListener("pageshow", this.#look);
      this.#close();
    }

    // A browser opens six connections to a server, for all of its tabs: a hidden one needs none.
    #look = () => (document.hidden ? this.#close() : this.#open());

    #open() {
      if (this.#source || this.#isOver) return;
      this.#isFresh = true;
      this.#source = new EventSource(this.getAttribute("src"));
      this.#source.onopen = () => this.#begin();
      this.#source.addEventListener("text", ({ data }) => this.#write(JSON.parse(data).text));
      this.#source.addEventListener("restart", () => this.#restart());
      this.#source.addEventListener("lost", () => this.#miss());
      for (const outcome of OUTCOMES) {
        this.#source.addEventListener(outcome, () => this.#end(outcome));
      }
      this.#source.onerror = () => this.#lose();
    }

    #close = () => {
      this.#source?.close();
      this.#source = null;
    };

    #begin() {
      this.#failures = 0;
      if (this.getAttribute("state") === "offline") {
        this.#change(this.#text.textContent ? "writing" : "waiting");
      }
    }

    #write(piece) {
      if (this.#isFresh) this.#text.textContent = "";
      this.#isFresh = false;
      this.#text.append(piece);
      // The text so far comes again with each connection, and does not show that a worker is back.
      if (this.#text.textContent.length > this.#lengthAtLoss) this.#losses = 0;
      this.#change("writing");
    }

    #restart() {
      this.#losses = this.#lengthAtLoss = 0;
      this.#text.textContent = "";
      this.#change("waiting");
    }

    // The worker seems to be dead: the view, which is asked again, may find another one.
    async #miss() {
      this.#change("lost");
      this.#close();
      this.#lengthAtLoss = this.#text.textContent.length;
      await pause(Math.min(2 ** this.#losses++, LONGEST_PAUSE));
      if (this.isConnected) this.#look();
    }

    // The browser connects again by itself, unless the answer was no stream.
    async #lose() {
      this.#change("offline");
      if (this.#source?.readyState !== EventSource.CLOSED) return;
      this.#close();
      const isGone = await this.#isGone();
      if (!isGone) await pause(Math.min(2 ** this.#failures++, LONGEST_PAUSE));
      if (this.isConnected) isGone ? this.#end("removed") : this.#look();
    }

    // An EventSource does not tell the status of an answer, such as that of a deleted conversation.
    async #isGone() {
      const abort = new AbortController();
      try {
        const options = { signal: abort.signal, cache: "no-store" };
        return GONE.includes((await fetch(this.getAttribute("src"), options)).status);
      } catch {
        return false;
      } finally {
        abort.abort();
      }
    }

    async #end(outcome) {
      this.#isOver = true;
      this.#close();
      this.setAttribute("aria-live", "polite");
      await pause(0.1); // until the browser has told screen readers so
      try {
        await this.#fetchResult();
        reloaded(this.getAttribute("src"), false);
      } catch {
        // Once only: the page may have this reply again, whose result fails again.
        if (reloaded(this.getAttribute("src"), true)) return location.reload();
      }
      this.#change(outcome);
    }

    async #fetchResult() {
      if (!this.hasAttribute("result")) return;
      const response = await fetch(this.getAttribute("result"));
      if (response.status !== 200 || response.redirected) throw new Error(response.status);
      const hadFocus = this.contains(document.activeElement);
      this.innerHTML = trusted(await response.text());
      if (hadFocus) this.#focus();
    }

    #focus() {
      this.tabIndex = -1;
      this.focus({ preventScroll: true });
    }

    // A form with data-stay, such as "Stop", does not leave the page: the stream tells its effect.
    #send = async (event) => {
      const form = event.target;
      if (!("stay" in form.dataset)) return;
      event.preventDefault();
      try {
        const response = await fetch(form.action, { method: "POST", body: new FormData(form) });
        if (!response.ok) throw new Error(response.status);
      } catch {
        form.submit();
      }
    };

    #change(state) {
      if (this.getAttribute("state") === state) return;
      this.setAttribute("state", state);
      this.dispatchEvent(new CustomEvent("reply-state", { bubbles: true, detail: { state } }));
    }
  }

  function newText() {
    const place = document.createElement("div");
    place.dataset.text = "";
    place.dir = "auto";
    return place;
  }

  // Notes that the page was reloaded for a reply, or that it need not be. Returns true if it may be.
  function reloaded(src, isReload) {
    const key = `conversation-reply ${src}`;
    try {
      if (isReload && sessionStorage.getItem(key)) return false;
      isReload ? sessionStorage.setItem(key, "reloaded") : sessionStorage.removeItem(key);
      return true;
    } catch {
      return false; // a browser may allow no storage
    }
  }

  // Where a policy requires trusted types, it must allow "conversation-reply".
  let policy = null;
  function trusted(html) {
    if (!window.trustedTypes) return html;
    policy ??= trustedTypes.createPolicy("conversation-reply", { createHTML: (text) => text });
    return policy.createHTML(html);
  }

  customElements.define("conversation-reply", ConversationReply);
}
