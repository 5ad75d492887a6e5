// What every part of the page uses: elements, words for times, and rows that stay while their numbers change. Text only
// ever enters as text.
"use strict";

const $ = (id) => document.getElementById(id);

let skew = 0;

function now() {
  return Date.now() + skew;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, content, className) {
  const element = document.createElement(name);
  element.append(...[content ?? []].flat());
  if (className) element.className = className;
  return element;
}

// A sentence whose commands and keys are between backticks. `spoken` is the same without any element.
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", part) : part)).filter((part) => part !== "");
}

function spoken(text) {
  return text.replaceAll("`", "");
}

function setProse(element, text) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...prose(text));
}

function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

// --- times, in the zone of whoever looks; a pointer over them shows UTC

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole >= 2 * 86400) return `${Math.floor(whole / 86400)} days`;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(rest).padStart(2, "0")} s` : `${rest} s`;
}

// In the largest unit alone: nobody reads the seconds of something that was hours ago.
function roughly(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return whole < 2 * 86400 ? `${Math.floor(whole / 3600)} h` : `${Math.floor(whole / 86400)} days`;
}

function ago(stamp) {
  return stamp ? `${roughly((now() - Date.parse(stamp)) / 1000)} ago` : "never";
}

function until(stamp) {
  return `in ${roughly((Date.parse(stamp) - now()) / 1000)}`;
}

const DATE = { day: "numeric", month: "short", year: "numeric" };
const TIME = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" };

function dayOf(moment) {
  return new Date(moment).toLocaleDateString(undefined, DATE);
}

function clock(stamp) {
  const today = dayOf(stamp) === dayOf(now());
  const time = new Date(stamp).toLocaleTimeString(undefined, today ? { ...TIME, second: "2-digit" } : TIME);
  return today ? time : `${dayOf(stamp)}, ${time}`;
}

function utc(stamp) {
  return `${stamp.slice(0, 10)} ${stamp.slice(11, 19)} UTC`;
}

function timeOf(stamp, words = clock) {
  if (!stamp) return words(stamp);
  const element = make("time", words(stamp));
  element.dateTime = stamp;
  element.title = utc(stamp);
  return element;
}

// --- rows

// Makes the children of a node the wanted ones, in their order, and touches no others.
function arrange(parent, wanted) {
  wanted.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
}

// Shows these rows, each with its key, and touches only the cells that differ: what somebody has selected, focused or
// scrolled to stays.
function keepRows(parent, rows) {
  const known = new Map([...parent.children].map((row) => [row.dataset.key, row]));
  arrange(parent, rows.map(([key, row]) => {
    const kept = known.get(key);
    known.delete(key); // another row with the same key is a row of its own
    row.dataset.key = key;
    if (!kept) return row;
    [...row.children].forEach((cell, index) => {
      if (!kept.children[index].isEqualNode(cell)) changeCell(kept.children[index], cell);
    });
    return kept;
  }));
}

function changeCell(kept, cell) {
  kept.className = cell.className;
  if (kept.innerHTML !== cell.innerHTML) kept.replaceChildren(...cell.childNodes);
}
