// What stands on the pad at first, in a square of side 64: something to change is easier than an empty sheet.

// A head in lines, for models of line drawings.
export function face(context) {
  // A curve through cubic Bezier pieces: a start, then three points each.
  const line = (x, y, ...points) => {
    context.beginPath();
    context.moveTo(x, y);
    for (let i = 0; i < points.length; i += 6) context.bezierCurveTo(...points.slice(i, i + 6));
    context.stroke();
  };
  const disc = (x, y, radius, filled) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    if (filled) context.fill();
    else context.stroke();
  };
  Object.assign(context, { lineWidth: 0.7, lineCap: "round", lineJoin: "round", strokeStyle: "#000", fillStyle: "#000" });
  line(12.5, 31, 12, 43, 20, 51, 30, 51, 40, 51, 46, 45, 47.5, 39); // cheeks and chin
  line(46.5, 32, 49, 28, 54, 31, 52, 36, 51, 39, 48, 40, 46.8, 38); // ear
  line(48.5, 33.5, 50, 32.5, 51, 34, 49.5, 36);
  line(11.5, 33, 8, 20, 17, 12, 28, 12, 27, 9, 25, 8, 22, 8, 27, 5, 31, 8, 31, 11.5, 43, 11, 50, 18, 49, 29); // hair
  line(11.5, 33, 13, 29, 15, 27, 16.5, 24, 18, 27, 20, 27, 23, 24, 25, 27, 28, 27, 31, 24, 33, 27, 37, 27, 40, 24); // fringe
  line(40, 24, 40, 29, 42, 33, 45, 35, 45, 32, 47, 30, 49, 29);
  for (const [x, look] of [[20, 21], [33, 34]]) {
    disc(x, 35, 3.8, false);
    disc(look, 35, 1.5, true);
  }
  line(25.5, 38, 27.5, 40, 27, 41.5, 25, 41); // nose
  line(20.5, 44, 23, 47.5, 29, 47.5, 32, 43.5); // mouth
}

// A round face in colour, for models of emoji.
export function emoji(context) {
  const disc = (x, y, radius, colour) => {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  };
  disc(32, 32, 27, "#ffc83d");
  disc(22, 26, 4.5, "#402a32");
  disc(42, 26, 4.5, "#402a32");
  Object.assign(context, { lineWidth: 3.5, lineCap: "round", strokeStyle: "#402a32" });
  context.beginPath();
  context.arc(32, 34, 13, 0.2 * Math.PI, 0.8 * Math.PI);
  context.stroke();
}

// A meadow with a tree and a ball, for models that fill holes: the ball can go.
export function scene(context) {
  const area = (colour, draw) => {
    context.beginPath();
    draw();
    context.fillStyle = colour;
    context.fill();
  };
  const shade = (y, height, ...colours) => {
    const gradient = context.createLinearGradient(0, y, 0, y + height);
    colours.forEach((colour, i) => gradient.addColorStop(i / (colours.length - 1), colour));
    return gradient;
  };
  area(shade(0, 34, "#6f9fd0", "#dbe7ee"), () => context.rect(0, 0, 64, 34));
  area(shade(24, 12, "#6d8a78", "#7f9a70"), () => {
    context.moveTo(0, 31);
    context.bezierCurveTo(14, 22, 24, 30, 36, 27);
    context.bezierCurveTo(48, 23, 56, 28, 64, 25);
    context.lineTo(64, 40);
    context.lineTo(0, 40);
  });
  area(shade(33, 31, "#8fae5a", "#5d7f38"), () => context.rect(0, 33, 64, 31));
  area("#6b4a30", () => context.rect(47, 26, 3, 16));
  for (const [x, y, radius, colour] of [[45, 22, 7, "#41682f"], [52, 21, 7, "#4b7536"], [48, 16, 8, "#568240"]]) {
    area(colour, () => context.arc(x, y, radius, 0, 2 * Math.PI));
  }
  area("rgba(40, 60, 20, 0.5)", () => context.ellipse(23, 55, 7, 2, 0, 0, 2 * Math.PI));
  area("#d8432f", () => context.arc(22, 49, 6, 0, 2 * Math.PI));
  area("#f08a70", () => context.arc(20, 47, 2, 0, 2 * Math.PI));
}
