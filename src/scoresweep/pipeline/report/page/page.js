// What the page does without charts: it sorts the table of all numbers, and marks in the contents the
// section that is in view.
"use strict";

(() => {
  // A click on the heading of a column sorts the rows by `data-value`; a second click reverses them.
  // Rows without a value come last.
  const sort = (table, column) => {
    const headings = [...table.tHead.rows[0].cells];
    const [heading, body] = [headings[column], table.tBodies[0]];
    const reversed = { ascending: "descending", descending: "ascending" };
    const order = reversed[heading.getAttribute("aria-sort")] ?? heading.dataset.first;
    headings.forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", order);
    const value = (row) => Number(row.cells[column].dataset.value);
    const isKnown = (row) => row.cells[column].hasAttribute("data-value");
    const rows = [...body.rows].filter(isKnown).sort((a, b) => (order === "ascending" ? value(a) - value(b) : value(b) - value(a)));
    body.append(...rows, ...[...body.rows].filter((row) => !isKnown(row)));
  };
  for (const table of document.querySelectorAll("table.numbers"))
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, column));
      heading.append(button);
    });

  const contents = document.querySelector("nav");
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const mark = (entries) => {
    const entered = entries.filter((entry) => entry.isIntersecting).pop();
    if (!entered) return;
    const link = links.get(entered.target.id);
    for (const each of links.values()) each.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    contents.scrollTo({ left: link.offsetLeft - (contents.clientWidth - link.offsetWidth) / 2 });
  };
  // The line at a quarter of the window is in one section only.
  const observer = new IntersectionObserver(mark, { rootMargin: "-25% 0px -75% 0px" });
  document.querySelectorAll("main > section[id]").forEach((section) => links.has(section.id) && observer.observe(section));
})();
