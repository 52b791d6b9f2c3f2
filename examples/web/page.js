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

// Gets a file of the server for the module. Returns its path there.
async function fetchFile(aft, name) {
  const response = await fetch(name);
  if (!response.ok) {
    throw new Error(`${name}: ${response.status}`);
  }
  aft.FS.writeFile(`/${name}`, new Uint8Array(await response.arrayBuffer()));
  return `/${name}`;
}

// Returns how many results are wrong.
async function checkCases(aft, call) {
  let wrong = 0;
  for (const name of cases) {
    const path = await fetchFile(aft, `${name}.safetensors`);
    for (const schedule of ["", "packed", "naive"]) {
      let cells, isRight = false;
      try {
        const { kernel, shape, error } = call("check_case", path, schedule);
        isRight = error !== null && error <= tolerance;
        cells = [name, kernel, `[${shape.join(", ")}]`, error === null ? "not a number" : error.toExponential(1),
                 isRight ? "right" : "wrong"];
      } catch (problem) {
        cells = [name, problem.message, "", "", "wrong"];
      }
      wrong += isRight ? 0 : 1;
      addRow("cases", cells, !isRight);
      await shown();
    }
  }
  return wrong;
}

async function timeLayers(call) {
  for (const layer of ["full", "local", "simple"]) {
    for (const schedule of ["packed", "naive"]) {
      const { kernel, milliseconds } = call("time_layer", layer, schedule, seq, channels);
      addRow("times", [kernel, milliseconds.toFixed(3)]);
      await shown();
    }
  }
}

async function main() {
  const aft = await createAft();
  // Calls a function of the module, and throws the problem that it has.
  const call = (name, ...args) => {
    const types = args.map((arg) => (typeof arg === "string" ? "string" : "number"));
    const result = JSON.parse(aft.ccall(name, "string", types, args));
    if (result.problem !== undefined) {
      throw new Error(result.problem);
    }
    return result;
  };
  await startWriting(aft, call);
  const wrong = await checkCases(aft, call);
  await timeLayers(call);
  return wrong === 0 ? "Every result is right." : `${wrong} results are wrong.`;
}

main().catch((error) => `The page failed: ${error.message}`).then((text) => {
  document.getElementById("state").textContent = text;
  document.body.dataset.done = text;
});
