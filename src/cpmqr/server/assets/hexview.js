// The payload's bytes and their meaning, side by side: what is pointed at in the one lights up in the other.

import { h, roving } from "./dom.js";
import { t } from "./i18n.js";

const BYTES_A_ROW = 8;
const HEX = /../g;

// Where the parts of each object lie: tag and length bytes, then its value or its children.
function layOut(objects, depth = 0, rows = []) {
  for (const object of objects) {
    const tagBytes = object.tag.length / 2;
    rows.push({ ...object, depth, tagEnd: object.offset + tagBytes, row: rows.length });
    layOut(object.children ?? [], depth + 1, rows);
  }
  return rows;
}

// `explained` is what `cpmqr decode --json` prints; `hex` are the payload's bytes.
export function hexView(explained, hex, masked) {
  const octets = hex.match(HEX) ?? [];
  const rows = layOut(explained.payload);
  for (const row of rows) row.end = endOf(row, rows, octets);
  const owners = octets.map((_, offset) => ownerOf(rows, offset));
  const cells = octets.map((octet, offset) => byteCell(octet, offset, owners[offset], masked));
  const lines = rows.map((row) => meaningLine(row));

  const light = (row) => {
    cells.forEach((cell, offset) => {
      cell.classList.toggle("lit", Boolean(row) && offset >= row.offset && offset < row.end);
    });
    lines.forEach((line, index) => line.classList.toggle("lit", row?.row === index));
  };
  cells.forEach((cell, offset) => lightOn(cell, () => light(owners[offset])));
  lines.forEach((line, index) => lightOn(line, () => light(rows[index])));
  roving(cells, BYTES_A_ROW);
  roving(lines);

  const groups = [];
  for (let start = 0; start < cells.length; start += BYTES_A_ROW) {
    groups.push(h("div", { class: "hex-row" },
      h("span", { class: "hex-offset", "aria-hidden": "true" }, String(start).padStart(3, "0")),
      cells.slice(start, start + BYTES_A_ROW)));
  }
  const view = h("div", { class: "hexview" },
    h("h4", {}, t("bytes")),
    h("div", { class: "hex", role: "group", "aria-label": t("bytes") }, groups),
    h("p", { class: "quiet small-print" }, t("hover_hint")),
    h("h4", {}, t("meaning")),
    h("div", { class: "tree", role: "group", "aria-label": t("meaning") }, lines));
  view.addEventListener("mouseleave", () => light(null));
  return view;
}

function lightOn(element, light) {
  element.addEventListener("mouseenter", light);
  element.addEventListener("focus", light);
}

// An object ends where its value does. Length bytes are whatever lies between tag and value.
function endOf(row, rows, octets) {
  const first = parseInt(octets[row.tagEnd] ?? "00", 16);
  const lengthBytes = first > 0x80 && first < 0x85 ? 1 + (first & 0x7f) : 1;
  row.valueAt = row.tagEnd + lengthBytes;
  return Math.min(octets.length, row.valueAt + row.length);
}

function ownerOf(rows, offset) {
  let owner = null;
  for (const row of rows) if (offset >= row.offset && offset < row.end) owner = row; // children come after parents
  return owner;
}

function byteCell(octet, offset, owner, masked) {
  const part = !owner ? "value" : offset < owner.tagEnd ? "tag" : offset < owner.valueAt ? "length" : "value";
  const hidden = masked && owner && part === "value" && isPanByte(owner, offset);
  const text = hidden ? "••" : octet;
  const label = t("byte_label", {
    offset,
    value: text,
    part: t(`${part}_byte`),
    tag: owner?.tag ?? "?",
    name: owner?.name ?? "",
  });
  return h("button", { type: "button", class: `byte ${part}`, "aria-label": label }, text);
}

// The PAN's middle digits: its first six and last four may be seen (57 and 5A; two digits a byte).
function isPanByte(owner, offset) {
  if (owner.tag !== "57" && owner.tag !== "5A") return false;
  const index = offset - owner.valueAt;
  return index >= 3 && index < 6;
}

function meaningLine(row) {
  const line = h("button", { type: "button", class: "line" },
    h("span", { class: "line-offset" }, String(row.offset).padStart(3, "0")),
    h("span", { class: "line-tag" }, row.tag),
    h("span", { class: "line-what" },
      h("span", { class: "line-name" }, row.name ?? ""),
      row.children?.length ? null : h("span", { class: "line-value" }, row.value ?? ""),
      row.meaning ? h("span", { class: "line-meaning" }, row.meaning) : null));
  line.style.setProperty("--depth", row.depth);
  return line;
}
