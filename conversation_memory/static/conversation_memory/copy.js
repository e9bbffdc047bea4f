/* Buttons that copy: a given value, the address of a link, or the text of the message around them. */
(() => {
  if (!navigator.clipboard) return; // only on pages of https and of localhost
  const text = (button) => {
    const { value, link } = button.dataset;
    if (link) return new URL(link, location).href;
    return value ?? button.closest(".cm-message").querySelector(".cm-said").innerText.trim();
  };
  const copy = async (button) => {
    await navigator.clipboard.writeText(text(button));
    const before = button.textContent;
    if (before === button.dataset.done) return;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("button.cm-copy")) {
      button.hidden = false;
      button.addEventListener("click", () => copy(button));
    }
  });
})();
