// The ledger of claims: its rows are sorted, filtered and opened. Without this script it is whole.
// Only its page loads it; on any other it would do nothing.
"use strict";
(() => {
  const box = document.getElementById("ledger");
  if (!box) return;
  const table = box.querySelector("table");
  const claims = [...table.tBodies]; // two rows each: the claim in short, and all there is
  const heads = [...table.tHead.rows[0].cells];
  const told = (claim, column) => claim.rows[0].cells[column].textContent.trim();
  const make = (name, attributes = {}, text = "") =>
    Object.assign(document.createElement(name), attributes, text && { textContent: text });
  const column = (name) => heads.findIndex((head) => head.textContent.startsWith(name));
  const SECTION = column("section"), VERDICT = column("verdict"), LAST = heads.length - 1;
  box.classList.add("scripted");

  // Opening
  const open = (claim, yes) => {
    claim.classList.toggle("open", yes);
    claim.querySelector("button").setAttribute("aria-expanded", yes);
  };
  for (const claim of claims) {
    const cell = claim.rows[0].cells[0];
    const button = make("button", { type: "button" }, cell.textContent);
    button.addEventListener("click", () => open(claim, !claim.classList.contains("open")));
    cell.replaceChildren(button);
    open(claim, false);
  }

  // Sorting: by the first number behind a colon, or else by words; what has neither comes last
  const key = (claim, at) => {
    if (at === SECTION || at === 0 || at === LAST) return told(claim, at);
    if (at === VERDICT) return ORDER.indexOf(told(claim, at).split(" (")[0]);
    const number = told(claim, at).replace(/^[^:]*: /, "").match(/−?\d[\d,]*(\.\d+)?/);
    return number ? Number(number[0].replace("−", "-").replaceAll(",", "")) : Infinity;
  };
  const ORDER = ["supported", "contradicted", "unclear", "not tested", "not testable", "holds", "does not hold"];
  const sort = (at, down) => {
    const compared = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    const sorted = claims.map((claim, n) => [key(claim, at), n, claim]);
    sorted.sort((a, b) => {
      const last = (a[0] === Infinity) - (b[0] === Infinity);
      return last || compared(a[0], b[0]) * (down ? -1 : 1) || a[1] - b[1];
    });
    table.append(...sorted.map((entry) => entry[2]));
    heads.forEach((head, n) => {
      if (n === at) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  heads.forEach((head, at) => {
    const button = make("button", { type: "button" }, head.textContent);
    button.addEventListener("click", () => sort(at, head.getAttribute("aria-sort") === "ascending"));
    head.replaceChildren(button);
  });

  // Filtering
  const words = make("input", { type: "search", placeholder: "any words" });
  const select = (at) => {
    const values = [...new Set(claims.map((claim) => told(claim, at).split(" (")[0]))];
    const made = make("select");
    made.append(make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, value)));
    return made;
  };
  const section = select(SECTION), verdict = select(VERDICT);
  const main = make("input", { type: "checkbox" });
  const count = make("output", { role: "status" });
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let left = 0;
    for (const claim of claims) {
      const text = claim.textContent.toLowerCase();
      const shown =
        wanted.every((word) => text.includes(word)) &&
        (!section.value || told(claim, SECTION) === section.value) &&
        (!verdict.value || told(claim, VERDICT).split(" (")[0] === verdict.value) &&
        (!main.checked || "main" in claim.dataset);
      claim.hidden = !shown;
      left += shown;
    }
    count.textContent = `${left} of ${claims.length} claims`;
  };
  const tools = make("form", { className: "ledger-tools" });
  const labelled = (name, field) => {
    const label = make("label", {}, name + " ");
    label.append(field);
    return label;
  };
  tools.append(
    labelled("Search", words), labelled("Section", section), labelled("Verdict", verdict),
    labelled("Main claims only", main), count,
  );
  tools.addEventListener("input", filter);
  tools.addEventListener("submit", (event) => event.preventDefault());
  box.before(tools);
  filter();

  // A link to a claim opens it
  const follow = () => {
    const claim = claims.find((one) => one.id === decodeURIComponent(location.hash.slice(1)));
    if (!claim) return;
    tools.reset();
    filter();
    open(claim, true);
    claim.scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  window.addEventListener("load", follow);
})();
