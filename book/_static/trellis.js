/* The explorer of CTC: all paths that spell a label, with probabilities that the reader sets.

   Its frames are so few that the paths can be listed, which is slower than CTC's recursion and easier
   to believe. explorer.js is loaded before. */
"use strict";

(() => {
  const {svg, words, path} = window.lossbook;
  const LETTERS = ["–", "a", "b"];    // the first is the blank
  const LABELS = 4, LISTED = 8;    // letters of a label, paths in the table

  // ------------------------------------------------------------------------------ the arithmetic

  /** The blank, the first class, a blank … a blank: what a path passes through. */
  const statesOf = label => [0, ...label.flatMap(k => [k, 0])];

  /** The states that may follow state s: itself, the next, or over a blank between two labels. */
  function after(states, s) {
    const jump = s % 2 === 1 && s + 2 < states.length && states[s] !== states[s + 2];
    return [s, s + 1, ...(jump ? [s + 2] : [])].filter(next => next < states.length);
  }

  /** All ways through the states in so many frames: from the first two to the last two. */
  function ways(states, frames) {
    let begun = [[0], [1]].filter(([s]) => s < states.length);
    for (let t = 1; t < frames; t++)
      begun = begun.flatMap(way => after(states, way.at(-1)).map(s => [...way, s]));
    return begun.filter(way => way.at(-1) >= states.length - 2);
  }

  /** What CTC says of a label.

      probabilities: [frame][class]; label: classes, without the blank 0.
      Returns the loss and the probability; the paths, the most probable first; the posterior
      [frame][state] and [frame][class], which is minus the gradient in the log-probabilities; and
      the share of each step, [frame][state][next]. Of an impossible label they are 0. */
  function spell(probabilities, label) {
    const states = statesOf(label), none = () => states.map(() => 0);
    const paths = ways(states, probabilities.length).map(way => ({
      way, probability: way.reduce((product, s, t) => product * probabilities[t][states[s]], 1)}));
    paths.sort((one, other) => other.probability - one.probability);
    const probability = paths.reduce((sum, one) => sum + one.probability, 0);
    const posterior = probabilities.map(none), classes = probabilities.map(row => row.map(() => 0));
    const steps = probabilities.map(() => states.map(none));
    for (const one of paths)
      one.way.forEach((s, t) => {
        const share = probability ? one.probability / probability : 0;
        posterior[t][s] += share;
        classes[t][states[s]] += share;
        if (t) steps[t - 1][one.way[t - 1]][s] += share;
      });
    return {loss: -Math.log(probability), probability, paths, states, posterior, classes, steps};
  }

  /** Why no path spells the label, or "" if one does. */
  function impossible(probabilities, label, probability) {
    if (probability > 0) return "";
    const doubled = label.filter((k, i) => k === label[i - 1]).length;
    const needed = label.length + doubled, frames = probabilities.length;
    return needed <= frames ? "every path meets a probability of 0"
      : `it needs ${needed} frames, one for each letter and one for a blank between equal letters, `
        + `and there ${frames === 1 ? "is 1" : `are ${frames}`}`;
  }

  const text = (states, way) => way.map(s => LETTERS[states[s]]).join("");

  // --------------------------------------------------------------------------------- the drawing

  /** States from top to bottom, frames from left to right; thick is probable. */
  function trellis(found, frames) {
    const {states, posterior, steps, paths} = found;
    const x = t => 50 + t * 270 / Math.max(frames - 1, 1), y = s => 40 + s * 24;
    const figure = svg("svg", {
      viewBox: `0 0 340 ${y(states.length - 1) + 34}`, role: "img", class: "lb-panel",
      "aria-label": "The states that spell the label, frame by frame, and the paths through them"});
    figure.append(svg("text", {x: 8, y: 14, class: "lb-title"}, "paths through the states"));
    states.forEach((k, s) => figure.append(svg("text", {x: 16, y: y(s) + 4, class: "lb-middle"}, LETTERS[k])));
    for (let t = 0; t < frames; t++)
      figure.append(svg("text", {x: x(t), y: y(states.length - 1) + 27, class: "lb-middle"}, t + 1));
    const used = new Set(paths.flatMap(({way}) => way.slice(1).map((s, t) => [t, way[t], s].join())));
    for (const step of used) {
      const [t, from, to] = step.split(",").map(Number), share = steps[t][from][to];
      figure.append(svg("path", {d: path([[x(t), y(from)], [x(t + 1), y(to)]]),
                                 class: share ? "lb-step" : "lb-step lb-never", "stroke-width": 0.75 + 6 * share}));
    }
    if (found.probability > 0)
      figure.append(svg("path", {d: path(paths[0].way.map((s, t) => [x(t), y(s)])), class: "lb-best"}));
    for (let t = 0; t < frames; t++)
      posterior[t].forEach((share, s) => figure.append(
        svg("circle", {cx: x(t), cy: y(s), r: 2 + 7 * Math.sqrt(share),
                       class: share ? "lb-state" : "lb-state lb-never"})));
    return figure;
  }

  /** An HTML element. */
  function tag(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** The most probable paths, in a table. */
  function listing({states, paths, probability}) {
    const row = (kind, ...cells) => tag("tr", {}, ...cells.map(cell => tag(kind, {}, cell)));
    const share = one => probability ? words(one.probability / probability) : "–";
    const rows = paths.slice(0, LISTED).map(one =>
      row("td", text(states, one.way), words(one.probability), share(one)));
    const more = paths.length - LISTED;
    if (more > 0) rows.push(row("td", `and ${more} more`, "", ""));
    return tag("div", {class: "lb-paths"}, tag("table", {},
      tag("thead", {}, row("th", "path", "probability", "share")), tag("tbody", {}, ...rows)));
  }

  // -------------------------------------------------------------------------------- the controls

  function start(form, spec) {
    const name = `explore-${form.dataset.explorer}`;
    const word = tag("input", {type: "text", id: `${name}-label`, value: spec.label,
                               maxlength: LABELS, size: 6, autocapitalize: "none", spellcheck: "false"});
    const count = tag("input", {type: "range", id: `${name}-frames`, value: spec.frames,
                                min: 1, max: spec.percent.length, step: 1});
    const counted = tag("span", {class: "lb-number", "aria-hidden": "true"});
    const rows = spec.percent.map((percent, t) => tag("fieldset", {class: "lb-frame"},
      tag("legend", {}, `frame ${t + 1}`),
      ...percent.map((value, k) => tag("div", {class: "lb-cell"},
        tag("label", {for: `${name}-${t}-${k}`}, LETTERS[k],
            tag("span", {class: "lb-hidden"}, k ? " percent" : " blank, percent")),
        tag("input", {type: "range", id: `${name}-${t}-${k}`, min: 0, max: 100, step: 1, value}),
        tag("span", {class: "lb-number", "aria-hidden": "true"})))));
    form.querySelector(".lb-controls").append(
      tag("div", {class: "lb-control"}, tag("label", {for: word.id}, "label, of a and b"), word),
      tag("div", {class: "lb-control"}, tag("label", {for: count.id}, "frames"), count, counted),
      tag("p", {class: "lb-note"}, "Per cent of each class in each frame → the same, given the label"), ...rows);
    const slidersOf = row => [...row.querySelectorAll("input")];

    /** Let the other two classes share what is left, in proportion to what they had. */
    function balance(moved) {
      const others = slidersOf(moved.closest("fieldset")).filter(input => input !== moved);
      const [one, other] = others.map(input => input.valueAsNumber), rest = 100 - moved.valueAsNumber;
      others[0].value = Math.round(one + other ? rest * one / (one + other) : rest / 2);
      others[1].value = rest - others[0].value;
    }

    function update() {
      const letters = word.value.toLowerCase().replace(/[^ab]/g, "");
      if (word.value !== letters) word.value = letters;
      const label = [...letters].map(letter => LETTERS.indexOf(letter)), frames = count.valueAsNumber;
      const probabilities = rows.slice(0, frames).map(row => slidersOf(row).map(input => input.value / 100));
      const found = spell(probabilities, label), why = impossible(probabilities, label, found.probability);

      counted.textContent = frames;
      rows.forEach((row, t) => {
        row.hidden = t >= frames;
        if (t < frames) row.querySelectorAll(".lb-number").forEach((cell, k) => {
          cell.textContent = `${slidersOf(row)[k].value} → ${Math.round(100 * found.classes[t][k])}`;
        });
      });
      form.querySelector(".lb-panels").replaceChildren(trellis(found, frames), listing(found));
      const many = `${found.paths.length} path${found.paths.length === 1 ? "" : "s"}`;
      form.querySelector(".lb-reading").textContent = why
        ? `loss ∞: “${letters}” is impossible, ${why}`
        : `loss ${words(found.loss)}; “${letters}” has the probability ${words(found.probability)}, `
          + `of ${many}; the best is ${text(found.states, found.paths[0].way)}`;
      const table = probabilities.map(row => `[${row.join(", ")}]`).join(", ");
      form.querySelector(".lb-call code").textContent =
        `CTCLoss(reduction="sum").value_and_grad(`
        + `np.log([${table}]), [${label.join(", ")}], ${frames}, ${label.length})`;
    }

    form.addEventListener("input", event => {
      if (event.target.closest("fieldset")) balance(event.target);
      update();
    });
    form.addEventListener("reset", () => setTimeout(update));
    form.addEventListener("submit", event => event.preventDefault());
    update();
    form.hidden = false;
  }

  window.lossbook.spell = spell;
  for (const form of document.querySelectorAll('form[data-explorer="CTCLoss"]'))
    start(form, window.lossbookExplorers.CTCLoss);
})();
