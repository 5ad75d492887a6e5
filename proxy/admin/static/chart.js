// The two charts: steps of ten seconds in, SVG and the labels of its axes out. Nothing is fetched here.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const STEPS = 91;
const WIDTH = 900;
const HEIGHT = 140;

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// The next number of 2, 4 or 10 times a power of ten: half of it is as round.
function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 10].map((times) => times * power).find((value) => value >= most * 0.999);
}

function drawAxis(id, top, unit) {
  const digits = top < 1 ? 2 : top < 2 ? 1 : 0;
  const labels = [top, top / 2, 0].map((value) => (value ? `${Number(value.toFixed(digits))}${unit}` : "0"));
  [...$(id).children].forEach((label, index) => setText(label, labels[index]));
  return [0, 0.5, 1].map((share) => lineAt(0.5 + share * (HEIGHT - 1)));
}

function lineAt(y) {
  return shape("line", { class: "axis", x1: 0, x2: WIDTH, y1: y, y2: y });
}

function drawBars(svg, steps) {
  const top = roundUp(Math.max(2, ...steps.map((step) => step.requests)));
  const slot = WIDTH / STEPS;
  const shapes = drawAxis("bars-axis", top, "");
  steps.forEach((step, index) => {
    const x = (STEPS - steps.length + index) * slot;
    const answered = Math.max(0, step.requests - step.errors - step.throttled - step.refused);
    let y = HEIGHT - 1;
    for (const [kind, number] of [["good", answered], ["refused", step.refused], ["busy", step.throttled], ["bad", step.errors]]) {
      if (number === 0) continue;
      const tall = Math.max(2, (number / top) * (HEIGHT - 2));
      y -= tall;
      shapes.push(shape("rect", { class: kind, x: x + 1, y, width: Math.max(1, slot - 2), height: tall }));
    }
  });
  svg.replaceChildren(...shapes);
}

function drawOverhead(svg, steps) {
  const top = roundUp(Math.max(0.2, ...steps.map((step) => step.overhead_ms ?? 0)));
  const slot = WIDTH / STEPS;
  const shapes = drawAxis("overhead-axis", top, " ms");
  let path = "";
  steps.forEach((step, index) => {
    if (step.overhead_ms === null) return;
    const x = (STEPS - steps.length + index + 0.5) * slot;
    const y = HEIGHT - 1 - (step.overhead_ms / top) * (HEIGHT - 2);
    const joined = path !== "" && steps[index - 1]?.overhead_ms !== null;
    path += joined ? `L${x} ${y}` : `M${x - 2} ${y}L${x} ${y}`;
  });
  if (path) shapes.push(shape("path", { class: "overhead", d: path }));
  svg.replaceChildren(...shapes);
}

function sum(steps, name) {
  return steps.reduce((total, step) => total + step[name], 0);
}

function trafficWords(steps) {
  const requests = sum(steps, "requests");
  if (requests === 0) return "No requests yet. Each bar will be the requests of ten seconds.";
  const peak = Math.max(...steps.map((step) => step.requests)) / 10;
  const kinds = [["throttled", "429"], ["refused", "another 4xx"], ["errors", "5xx"]].map(([name, status]) => `${sum(steps, name)} answered ${status}`);
  return `${count(requests, "request")}: ${kinds.join(", ")}. At most ${peak} a second.`;
}

function overheadWords(steps) {
  const known = steps.map((step) => step.overhead_ms).filter((value) => value !== null);
  if (known.length === 0) return "No request was forwarded yet. The line will be the mean of each ten seconds.";
  const mean = known.reduce((total, value) => total + value, 0) / known.length;
  return `${mean.toFixed(2)} ms a request on average, ${Math.max(...known).toFixed(2)} ms in the slowest ten seconds.`;
}
