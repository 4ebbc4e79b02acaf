// Ranks texts by their similarity to a query, with the npm package: node search.mjs MODEL QUERY TEXT...

import { Encoderfile } from "encoderfile";

const [path, query, ...texts] = process.argv.slice(2);
if (texts.length === 0) {
  console.error("usage: node search.mjs MODEL QUERY TEXT...");
  process.exit(2);
}
try {
  const model = await Encoderfile.load(path, { cache: false });
  const [asked, ...rows] = await model.embed([query, ...texts], { normalize: true });
  const score = (row) => row.reduce((sum, value, i) => sum + value * asked[i], 0);
  const hits = rows.map((row, i) => ({ score: score(row), text: texts[i] }));
  for (const hit of hits.sort((a, b) => b.score - a.score)) {
    console.log(`${hit.score.toFixed(4)}  ${hit.text}`);
  }
  model.dispose();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
