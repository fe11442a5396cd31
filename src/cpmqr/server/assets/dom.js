// Make an element: h("p", { class: "quiet" }, "text", child). Properties that begin with "on" are listeners.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

// One stop for the tab key, arrows between the items: what a screen reader calls a composite.
export function roving(items, rowLength = 1) {
  const move = (from, to) => {
    const next = items[Math.max(0, Math.min(items.length - 1, to))];
    items[from].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
  items.forEach((item, index) => {
    item.tabIndex = index === 0 ? 0 : -1;
    item.addEventListener("focus", () => {
      for (const other of items) other.tabIndex = other === item ? 0 : -1;
    });
    item.addEventListener("keydown", (event) => {
      const steps = {
        ArrowRight: 1,
        ArrowLeft: -1,
        ArrowDown: rowLength,
        ArrowUp: -rowLength,
        Home: -index,
        End: items.length,
      };
      const step = steps[event.key];
      if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      move(index, index + step);
    });
  });
}
