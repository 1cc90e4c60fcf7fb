// Parses a CSV file into rows. The first line shows which character separates cells.
const SEPARATORS = [",", ";", "\t"];

function separatorOf(text) {
  const line = text.slice(0, text.search(/\r|\n|$/)).replace(/"[^"]*"/g, "");
  return SEPARATORS.reduce((best, each) => (line.split(each).length > line.split(best).length ? each : best));
}

export function readCsv(given) {
  const text = given.replace(/^\uFEFF/, "");
  const separator = separatorOf(text);
  const rows = [];
  let [row, cell, isQuoted, wasQuoted] = [[], "", false, false];
  const endCell = () => {
    row.push(cell);
    [cell, wasQuoted] = ["", false];
  };
  const endRow = () => {
    endCell();
    if (row.some((each) => each.trim())) rows.push(row);
    row = [];
  };
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (isQuoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') cell += text[++at];
      else isQuoted = false;
    } else if (letter === '"' && !cell && !wasQuoted) isQuoted = wasQuoted = true;
    else if (letter === separator) endCell();
    else if (letter === "\n") endRow();
    else if (letter !== "\r") cell += letter;
  }
  if (cell || row.length) endRow();
  const [head = [], ...body] = rows;
  return { columns: head.map((name) => name.trim()), rows: body };
}
