"use strict";

const cases = ["aftp_full_small", "aftp_local_s7", "aftp_simple_k40"];
const tolerance = 1e-5;
const seq = 256, channels = 64;

// Adds a row to a table. Numbers are set flush right.
function addRow(table, cells, isWrong) {
  const row = document.getElementById(table).insertRow();
  row.className = isWrong ? "wrong" : "";
  for (const cell of cells) {
    const place = row.insertCell();
    place.textContent = cell;
    place.className = isNaN(cell) ? "" : "number";
  }
}

// Lets the browser show what is there.
const shown = () => new Promise((done) => setTimeout(done));

async function main() {
  const aft = await createAft();
  const call = (name, ...args) =>
    JSON.parse(aft.ccall(name, "string", args.map((arg) => (typeof arg === "string" ? "string" : "number")), args));
  let wrong = 0;

  for (const name of cases) {
    const response = await fetch(`${name}.safetensors`);
    if (!response.ok) {
      throw new Error(`${name}.safetensors: ${response.status}`);
    }
    aft.FS.writeFile(`/${name}`, new Uint8Array(await response.arrayBuffer()));
    for (const schedule of ["", "packed", "naive"]) {
      const { problem, kernel, shape, error } = call("check_case", `/${name}`, schedule);
      const isRight = problem === undefined && error !== null && error <= tolerance;
      wrong += isRight ? 0 : 1;
      addRow("cases", problem === undefined
        ? [name, kernel, `[${shape.join(", ")}]`, error === null ? "not a number" : error.toExponential(1),
           isRight ? "right" : "wrong"]
        : [name, problem, "", "", "wrong"], !isRight);
      await shown();
    }
  }

  for (const layer of ["full", "local", "simple"]) {
    for (const schedule of ["packed", "naive"]) {
      const { problem, kernel, milliseconds } = call("time_layer", layer, schedule, seq, channels);
      wrong += problem === undefined ? 0 : 1;
      addRow("times", problem === undefined ? [kernel, milliseconds.toFixed(3)] : [problem, ""], problem !== undefined);
      await shown();
    }
  }
  return wrong === 0 ? "Every result is right." : `${wrong} results are wrong.`;
}

main().catch((error) => `The page failed: ${error.message}`).then((text) => {
  document.getElementById("state").textContent = text;
  document.body.dataset.done = text;
});
