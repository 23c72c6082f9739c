// What stands on the pad at first, in a square of side 64: something to change is easier than an empty sheet.

// A head in lines, for models of line drawings.
export function face(context) {
  const line = (...points) => {
    context.beginPath();
    context.moveTo(points[0], points[1]);
    for (let i = 2; i < points.length; i += 6) context.bezierCurveTo(...points.slice(i, i + 6));
    context.stroke();
  };
  Object.assign(context, { lineWidth: 1.1, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
  line(14, 30, 13, 50, 24, 56, 33, 56, 44, 56, 51, 48, 50, 30); // chin
  line(14, 32, 8, 31, 8, 42, 15, 41); // ears
  line(50, 32, 56, 31, 56, 42, 49, 41);
  line(14, 31, 8, 16, 18, 6, 32, 7, 47, 6, 56, 16, 50, 31); // hair
  line(14, 31, 18, 26, 22, 24, 24, 19, 28, 25, 38, 25, 41, 19, 44, 24, 48, 26, 50, 31); // fringe
  line(21, 30, 23, 28, 27, 28, 29, 30); // brows
  line(36, 30, 38, 28, 42, 28, 44, 30);
  for (const x of [25, 40]) {
    context.beginPath();
    context.ellipse(x, 36, 3.4, 3.4, 0, 0, 2 * Math.PI);
    context.stroke();
    context.beginPath();
    context.arc(x, 36, 1.2, 0, 2 * Math.PI);
    context.fill();
  }
  line(33, 38, 34, 41, 34, 43, 31, 43); // nose
  line(25, 47, 29, 51, 37, 51, 41, 47); // mouth
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
