// The two small charts: steps of ten seconds in, SVG out. Nothing is fetched here.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const STEPS = 91;
const WIDTH = 900;

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function drawBars(svg, steps) {
  const height = 140;
  const most = Math.max(1, ...steps.map((step) => step.requests));
  const slot = WIDTH / STEPS;
  const shapes = [shape("line", { class: "axis", x1: 0, x2: WIDTH, y1: height - 0.5, y2: height - 0.5 })];
  steps.forEach((step, index) => {
    const x = (STEPS - steps.length + index) * slot;
    const answered = Math.max(0, step.requests - step.errors - step.throttled - step.refused);
    let y = height - 1;
    for (const [kind, count] of [["good", answered], ["refused", step.refused], ["busy", step.throttled], ["bad", step.errors]]) {
      if (count === 0) continue;
      const tall = Math.max(2, (count / most) * (height - 6));
      y -= tall;
      shapes.push(shape("rect", { class: kind, x: x + 1, y, width: Math.max(1, slot - 2), height: tall }));
    }
  });
  svg.replaceChildren(...shapes);
}

function drawOverhead(svg, steps) {
  const height = 60;
  const most = Math.max(0.2, ...steps.map((step) => step.overhead_ms ?? 0));
  const slot = WIDTH / STEPS;
  const shapes = [shape("line", { class: "axis", x1: 0, x2: WIDTH, y1: height - 0.5, y2: height - 0.5 })];
  let path = "";
  steps.forEach((step, index) => {
    if (step.overhead_ms === null) return;
    const x = (STEPS - steps.length + index + 0.5) * slot;
    const y = height - 2 - (step.overhead_ms / most) * (height - 8);
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
  if (requests === 0) return "No requests yet.";
  const peak = Math.max(...steps.map((step) => step.requests)) / 10;
  const told = [["throttled", "429"], ["refused", "another 4xx"], ["errors", "5xx"]].map(([name, status]) => `${sum(steps, name)} answered ${status}`);
  return `${requests} requests, ${told.join(", ")}; at most ${peak} a second.`;
}

function overheadWords(steps) {
  const known = steps.map((step) => step.overhead_ms).filter((value) => value !== null);
  if (known.length === 0) return "Nothing was forwarded yet.";
  const mean = known.reduce((total, value) => total + value, 0) / known.length;
  return `${mean.toFixed(2)} ms a request on average, ${Math.max(...known).toFixed(2)} ms in the slowest ten seconds.`;
}
