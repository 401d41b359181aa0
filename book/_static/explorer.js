/* The explorers: figures that a reader moves. Plain JavaScript, no library, no network.

   The page holds a form of sliders for each, <form data-explorer="HuberLoss" hidden>, and its
   formulas in window.lossbookExplorers.HuberLoss, both written by lossbook/pages/explorers.py:

     functions   {name: function of all sliders' numbers, in the order of the form}
     panels      what to draw; `kind` names a function of `draw` below
     reading     {words: names of functions}, told whenever a slider moves
     call        the Python call that gives the same numbers, with {slots}

   An explorer without panels has a script of its own: see trellis.js. */
"use strict";

(() => {
  const WIDTH = 340, HEIGHT = 230;
  const PLOT = {left: 36, top: 24, width: 294, height: 166};

  // ------------------------------------------------------------------------------ small helpers

  /** An SVG element. */
  function svg(name, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** A number as readers see it: four decimals, and a true minus. */
  function words(number) {
    if (Number.isNaN(number)) return "undefined";
    if (!Number.isFinite(number)) return number < 0 ? "−∞" : "∞";
    const size = Math.abs(number);
    const text = size >= 1e6 || (size > 0 && size < 5e-5) ? number.toExponential(2)
      : (Math.round(number * 1e4) / 1e4 + 0).toFixed(4);
    return text.replaceAll("-", "−");
  }

  /** Round numbers between `low` and `high`, at most seven. */
  function ticks(low, high) {
    const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough * 0.999);
    const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
    return Array.from({length: last - first + 1},
                      (_, i) => Number(((first + i) * step).toPrecision(12)));
  }

  const short = number => String(number).replace("-", "−");
  const replaced = (numbers, place, number) => numbers.map((n, i) => i === place ? number : n);
  const round = pixels => Math.round(pixels * 100) / 100;

  /** The path through points [x, y]; null begins a new line. */
  function path(points) {
    let pen = "M";
    return points.map(point => {
      if (!point) { pen = "M"; return ""; }
      const move = `${pen}${round(point[0])} ${round(point[1])}`;
      pen = "L";
      return move;
    }).join("");
  }

  /** Axes with ticks. `plot` clips what is drawn in it, `above` does not; `across` and `up` give
      coordinates in both. */
  function axes(panel, [left, right], [bottom, top], xLabel, xTicks = ticks(left, right)) {
    const across = x => (x - left) / (right - left) * PLOT.width;
    const up = y => (top - y) / (top - bottom) * PLOT.height;
    const figure = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "lb-panel",
                               "aria-label": `${panel.title}, over ${xLabel}`});
    figure.append(svg("text", {x: PLOT.left, y: 14, class: `lb-title lb-${panel.colour}`}, panel.title),
                  svg("text", {x: PLOT.left + PLOT.width / 2, y: HEIGHT - 5, class: "lb-middle"}, xLabel));
    const grid = svg("g", {class: "lb-grid"});
    for (const x of xTicks) {
      const at = round(PLOT.left + across(x));
      grid.append(svg("path", {d: `M${at} ${PLOT.top}v${PLOT.height}`}),
                  svg("text", {x: at, y: PLOT.top + PLOT.height + 15, class: "lb-middle"}, short(x)));
    }
    for (const y of ticks(bottom, top)) {
      const at = round(PLOT.top + up(y));
      grid.append(svg("path", {d: `M${PLOT.left} ${at}h${PLOT.width}`, class: y ? "" : "lb-zero"}),
                  svg("text", {x: PLOT.left - 5, y: at + 4, class: "lb-end"}, short(y)));
    }
    const place = {x: PLOT.left, y: PLOT.top, width: PLOT.width, height: PLOT.height};
    const plot = svg("svg", place), above = svg("svg", {...place, overflow: "visible"});
    figure.append(grid, plot, above);
    return {figure, plot, above, across, up};
  }

  /** A word in the upper right corner of a figure. */
  const corner = text => svg("text", {x: PLOT.left + PLOT.width, y: 14, class: "lb-end"}, text);

  /** A dot at the chosen point. */
  const dot = ([x, y], colour) =>
    svg("circle", {cx: round(x), cy: round(y), r: 5, class: `lb-point lb-${colour}`});

  /** The same on a curve; a triangle at the edge if it lies above or below the plot. */
  const point = ([x, y], colour) => {
    if (!(y < 0 || y > PLOT.height)) return dot([x, y], colour);
    const [edge, inward] = y < 0 ? [0, 9] : [PLOT.height, -9];
    const corners = [[x, edge], [x - 6, edge + inward], [x + 6, edge + inward]];
    return svg("polygon", {points: corners.flat().map(round).join(" "), class: `lb-point lb-${colour}`});
  };

  /** Let a pointer in the figure choose the numbers of one or two sliders. */
  function follow(figure, plot, model, chosen) {
    const move = event => {
      if (event.type === "pointermove" && !(event.buttons & 1)) return;
      const box = figure.getBoundingClientRect(), scale = WIDTH / box.width;
      const share = {x: ((event.clientX - box.left) * scale - PLOT.left) / PLOT.width,
                     y: 1 - ((event.clientY - box.top) * scale - PLOT.top) / PLOT.height};
      for (const [direction, input] of Object.entries(chosen))
        input.value = Number(input.min) + share[direction] * (input.max - input.min);
      model.update();
    };
    figure.classList.add("lb-touch");
    figure.addEventListener("pointerdown", event => {
      figure.setPointerCapture(event.pointerId);
      move(event);
    });
    figure.addEventListener("pointermove", move);
  }

  // ------------------------------------------------------------------------------------- panels

  // Each makes a figure, and a function that draws in it what depends on the sliders' numbers.
  const draw = {

    /** A function of one slider, the chosen point, and its tangent. */
    curve(panel, model) {
      const place = model.place(panel.over), slider = model.inputs[place];
      const [low, high, step] = [slider.min, slider.max, slider.step].map(Number);
      const {figure, plot, above, across, up} = axes(panel, [low, high], panel.span, model.label(panel.over));
      const value = model.functions[panel.of], slope = model.functions[panel.tangent];
      if (panel.ghost)
        figure.append(corner("dotted: " + Object.entries(panel.ghost)
          .map(([name, number]) => `${model.label(name)} = ${number}`).join(", ")));
      follow(figure, plot, model, {x: slider});

      // Samples at every stop of the slider, so that no corner falls between two of them.
      const stops = Math.round((high - low) / step), count = stops * Math.ceil(300 / stops);
      const samples = Array.from({length: count + 1}, (_, i) => low + (high - low) * i / count);
      const small = (panel.span[1] - panel.span[0]) / 25;
      const line = numbers => {
        const points = [];
        let before = NaN, rise = 0;
        for (const x of samples) {
          const y = value(...replaced(numbers, place, x)), risen = Math.abs(y - before);
          if (risen > small && risen > 8 * rise) points.push(null);    // a jump, not a steep line
          points.push(Number.isFinite(y) ? [across(x), up(y)] : null);
          [before, rise] = [y, risen];
        }
        return path(points);
      };

      return [figure, numbers => {
        const x = numbers[place], y = value(...numbers), middle = [across(x), up(y)];
        const parts = [];
        if (panel.mark) {
          const at = round(across(numbers[model.place(panel.mark)])), room = at < PLOT.width - 20;
          parts.push(svg("path", {d: `M${at} 0v${PLOT.height}`, class: "lb-mark"}),
                     svg("text", {x: at + (room ? 4 : -4), y: 12, class: room ? "lb-target" : "lb-target lb-end"},
                         model.symbol(panel.mark)));
        }
        if (panel.ghost) {
          const others = numbers.map((n, i) => panel.ghost[model.names[i]] ?? n);
          parts.push(svg("path", {d: line(others), class: "lb-ghost"}));
        }
        parts.push(svg("path", {d: line(numbers), class: `lb-line lb-${panel.colour}`}));
        if (slope) {
          const rise = (up(1) - up(0)) / (across(1) - across(0)) * slope(...numbers);
          const length = 70 / Math.hypot(1, rise);
          const end = side => [middle[0] + side * length, middle[1] + side * length * rise];
          parts.push(svg("path", {d: path([end(-1), end(1)]), class: "lb-tangent"}));
        }
        plot.replaceChildren(...parts);
        above.replaceChildren(point(middle, panel.colour));
      }];
    },

    /** Lines of equal height over two sliders, with an arrow downhill. */
    contour(panel, model) {
      const places = [model.place(panel.across), model.place(panel.up)];
      const [x, y] = places.map(place => model.inputs[place]);
      const limits = input => [Number(input.min), Number(input.max)];
      const {figure, plot, across, up} = axes(panel, limits(x), limits(y), model.label(panel.across));
      const value = model.functions[panel.of];
      figure.append(corner(`upwards: ${model.label(panel.up)}`));
      follow(figure, plot, model, {x, y});

      const CELLS = 72;
      const grid = ([low, high]) => Array.from({length: CELLS + 1}, (_, i) => low + (high - low) * i / CELLS);
      const columns = grid(limits(x)), rows = grid(limits(y));

      return [figure, numbers => {
        const at = (a, b) => replaced(replaced(numbers, places[0], a), places[1], b);
        const heights = rows.map(b => columns.map(a => value(...at(a, b))));
        const column = i => across(columns[0] + (columns[1] - columns[0]) * i);
        const row = j => up(rows[0] + (rows[1] - rows[0]) * j);
        const parts = panel.levels.map(level =>
          svg("path", {d: levelLine(heights, level, column, row), class: "lb-level lb-loss"}));
        const lowest = model.functions[panel.valley];
        const valley = columns.map(a => [across(a), up(lowest(...at(a, rows[0])))]);
        parts.push(svg("path", {d: path(valley), class: "lb-mark"}));

        // One step of gradient descent, but no longer than 60 pixels.
        const slopes = panel.downhill.map(name => model.functions[name](...numbers));
        const start = [across(numbers[places[0]]), up(numbers[places[1]])];
        const step = [-slopes[0] * (across(1) - across(0)), -slopes[1] * (up(1) - up(0))];
        const length = Math.hypot(...step), shown = Math.min(length, 60) / (length || 1);
        const [dx, dy] = step.map(side => side * shown);
        const tip = (far, aside) => [start[0] + far * dx - aside * dy, start[1] + far * dy + aside * dx];
        const arrow = [start, tip(1, 0), null, tip(0.8, 0.15), tip(1, 0), tip(0.8, -0.15)];
        parts.push(svg("path", {d: path(arrow), class: "lb-arrow lb-gradient"}), dot(start, "loss"));
        plot.replaceChildren(...parts);
      }];
    },

    /** A bar for each of several functions. */
    bars(panel, model) {
      const count = panel.of.length;
      const {figure, plot, across, up} = axes(panel, [-0.5, count - 0.5], panel.span, "class", [...panel.of.keys()]);
      return [figure, numbers => plot.replaceChildren(...panel.of.flatMap((name, k) => {
        const number = model.functions[name](...numbers), wide = PLOT.width / count * 0.5;
        const [from, to] = [up(0), up(number)], left = round(across(k) - wide / 2);
        const beyond = Math.min(Math.max(to + (number < 0 ? 14 : -5), 12), PLOT.height - 4);
        const parts = [
          svg("rect", {x: left, width: wide, y: round(Math.min(from, to)), height: round(Math.abs(to - from)),
                       class: `lb-bar lb-${panel.colour}`}),
          svg("text", {x: across(k), y: round(beyond), class: "lb-middle lb-value"}, words(number))];
        if (panel.marks) {
          const at = round(up(model.functions[panel.marks[k]](...numbers)));
          parts.push(svg("path", {d: `M${left - 8} ${at}h${wide + 16}`, class: "lb-goal"}));
        }
        return parts;
      }))];
    },
  };

  /** Where a grid of heights crosses a level: in each cell, a line between two crossed edges. */
  function levelLine(heights, level, across, up) {
    const points = [];
    for (let j = 0; j + 1 < heights.length; j++)
      for (let i = 0; i + 1 < heights[j].length; i++) {
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        const crossed = [];
        corners.forEach(([a, b], n) => {
          const [c, d] = corners[(n + 1) % 4];
          const here = heights[b][a] - level, there = heights[d][c] - level;
          if (here < 0 === there < 0) return;
          const share = here / (here - there);
          crossed.push([across(a + (c - a) * share), up(b + (d - b) * share)]);
        });
        for (let n = 0; n + 1 < crossed.length; n += 2) points.push(null, crossed[n], crossed[n + 1]);
      }
    return path(points);
  }

  // -------------------------------------------------------------------------------- an explorer

  /** Draw an explorer, and draw it again whenever a slider moves. */
  function start(form, spec) {
    const inputs = [...form.querySelectorAll("input[type=range]")];
    const names = inputs.map(input => input.name);
    const model = {
      ...spec, inputs, names,
      place: name => names.indexOf(name),
      label: name => form.elements[name].labels[0].textContent,
      symbol: name => model.label(name).split(" ").at(-1),
    };
    const panels = spec.panels.map(panel => draw[panel.kind](panel, model));
    form.querySelector(".lb-panels").append(...panels.map(([figure]) => figure));

    model.update = () => {
      const numbers = inputs.map(input => input.valueAsNumber);
      for (const input of inputs)
        input.closest(".lb-control").querySelector(".lb-number").textContent = short(input.value);
      for (const [, redraw] of panels) redraw(numbers);
      const told = names => names.map(name => words(spec.functions[name](...numbers))).join(", ");
      form.querySelector(".lb-reading").textContent =
        Object.entries(spec.reading).map(([what, names]) => `${what} ${told(names)}`).join("; ");
      form.querySelector(".lb-call code").textContent =
        spec.call.replace(/\{(\w+)\}/g, (_, name) => form.elements[name].value);
    };
    form.addEventListener("input", model.update);
    form.addEventListener("reset", () => setTimeout(model.update));    // after the sliders are back
    form.addEventListener("submit", event => event.preventDefault());
    model.update();
    form.hidden = false;
  }

  window.lossbook = {svg, words, path};

  for (const form of document.querySelectorAll("form[data-explorer]")) {
    const spec = window.lossbookExplorers[form.dataset.explorer];
    if (spec.panels.length) start(form, spec);    // else a script of its own draws it
  }
})();
