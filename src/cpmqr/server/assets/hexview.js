// The payload's bytes and their meaning: what is pointed at in the one lights up in the other.

import { h, roving } from "./dom.js";
import { t } from "./i18n.js";

const BYTES_A_ROW = 8;

// The objects in the order of their bytes, each with where its value begins and where it ends. Where a value's parts
// are whole bytes (an IAD's are), each part is a row of its own.
function layOut(objects, depth = 0, rows = []) {
  for (const object of objects) {
    const valueAt = object.offset + object.header.length / 2;
    const whole = wholeByteParts(object);
    rows.push({
      ...object,
      parts: object.parts.filter((part) => !whole.includes(part)),
      depth,
      index: rows.length,
      tagEnd: object.offset + object.tag.length / 2,
      valueAt,
      end: valueAt + object.length,
    });
    let at = valueAt;
    for (const part of whole) {
      const end = at + part.value.length / 2;
      rows.push({ ...part, tag: object.tag, isPart: true, depth: depth + 1, index: rows.length,
        offset: at, tagEnd: at, valueAt: at, end, parts: [], children: [] });
      at = end;
    }
    layOut(object.children, depth + 1, rows);
  }
  return rows;
}

function wholeByteParts(object) {
  const parts = object.parts.filter((part) => /^([0-9A-F]{2})+$/.test(part.value));
  return parts.map((part) => part.value).join("") === object.value ? parts : [];
}

// `explained` is the gateway's explanation of a payload; `aside` stands beside the heading.
export function hexView(explained, aside) {
  const rows = layOut(explained.objects);
  const owners = explained.octets.map((_, offset) => ownerOf(rows, offset));
  const cells = explained.octets.map((octet, offset) => byteCell(octet, offset, owners[offset]));
  const lines = rows.map(meaningLine);

  const light = (row) => {
    cells.forEach((cell, offset) =>
      cell.classList.toggle("lit", Boolean(row) && offset >= row.offset && offset < row.end));
    lines.forEach((line, index) => line.classList.toggle("lit", row?.index === index));
  };
  cells.forEach((cell, offset) => lightOn(cell, () => light(owners[offset])));
  lines.forEach((line, index) => lightOn(line, () => light(rows[index])));
  roving(cells, BYTES_A_ROW);
  roving(lines);

  const groups = [];
  for (let start = 0; start < cells.length; start += BYTES_A_ROW) {
    groups.push(h("div", { class: "hex-row" },
      h("span", { class: "hex-offset", "aria-hidden": "true" }, threeDigits(start)),
      cells.slice(start, start + BYTES_A_ROW)));
  }
  const view = h("div", { class: "hexview" },
    h("div", { class: "hex-head" }, h("h3", {}, t("bytes")), aside),
    h("div", { class: "hex", role: "group", "aria-label": t("bytes") }, groups),
    h("p", { class: "quiet small-print" }, t("hover_hint")),
    h("h3", {}, t("meaning")),
    h("div", { class: "tree", role: "group", "aria-label": t("meaning") }, lines));
  view.addEventListener("mouseleave", () => light(null));
  return view;
}

function lightOn(element, light) {
  element.addEventListener("mouseenter", light);
  element.addEventListener("focus", light);
}

function ownerOf(rows, offset) {
  let owner = null;
  for (const row of rows) if (offset >= row.offset && offset < row.end) owner = row; // children come after parents
  return owner;
}

function byteCell(octet, offset, owner) {
  const part = !owner || offset >= owner.valueAt ? "value" : offset < owner.tagEnd ? "tag" : "length";
  const label = t("byte_label", {
    offset,
    value: octet,
    part: t(`${part}_byte`),
    tag: owner?.tag ?? "?",
    name: owner?.name ?? "",
  });
  return h("button", { type: "button", class: `byte ${part}`, "aria-label": label }, octet.replaceAll("*", "•"));
}

function meaningLine(row) {
  const line = h("button", { type: "button", class: row.isPart ? "line part" : "line" },
    h("span", { class: "line-offset" }, threeDigits(row.offset)),
    h("span", { class: "line-tag" }, row.isPart ? "" : row.tag),
    h("span", { class: "line-what" },
      h("span", { class: "line-name" }, row.name),
      row.children.length ? null : h("span", { class: "line-value" }, row.value.replaceAll("*", "•")),
      row.meaning ? h("span", { class: "line-meaning" }, row.meaning) : null,
      row.parts.map((part) => h("span", { class: "line-part" },
        h("span", { class: "quiet" }, part.name),
        h("span", { class: "line-value" }, part.value.replaceAll("*", "•")),
        h("span", { class: "quiet" }, part.meaning)))));
  line.style.setProperty("--depth", row.depth);
  return line;
}

const threeDigits = (offset) => String(offset).padStart(3, "0");
