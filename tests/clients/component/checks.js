// What a program in JavaScript asks of components that jco transpiled, in Node and in a page:
// `run(libraries, printed, folder)`, where `libraries` has the transpiled modules and `printed` what
// the command line prints, both by the name of the model, and `folder` is where components find the
// files of all, if they may read them. Gives a line for each check; throws at the first that fails.

// As in tests/src/compare.rs, between targets.
const TOLERANCE = 1e-5;

const EMBEDDER = "st-mean-normalize";
const CLASSIFIER = "cls-multi-label";
const TAGGER = "bert-token_classification";

/** The transpiled modules that are needed. */
export const MODELS = [EMBEDDER, CLASSIFIER, TAGGER];

export function run(libraries, printed, folder) {
  const { texts } = printed;
  const inputs = texts.map((text) => ({ tag: "text", val: text }));
  const open = (name) => libraries[name].encoder.Model.open();
  const passed = [];
  const check = (name, body) => {
    try {
      body();
    } catch (error) {
      throw new Error(`FAILED ${name}: ${error.stack}`);
    }
    passed.push(`ok ${name}`);
  };

  const embedder = open(EMBEDDER);
  check("embeddings", () => {
    const { dimensions, name, task } = embedder.info();
    equal([name, task], [EMBEDDER, "sentence_embedding"]);
    const got = embedder.embed(inputs);
    equal(got.length, texts.length);
    for (const [place, { values }] of got.entries()) {
      demand(values instanceof Float32Array && values.length === dimensions, "no vector");
      same(values, printed[EMBEDDER], (it) => it[place].embedding);
    }
  });

  const classes = (classifier) => {
    const { labels } = classifier.info();
    for (const [place, { classes }] of classifier.classify(inputs).entries()) {
      const score = (label) => classes.find((it) => it.label === label).score;
      same(labels.map(score), printed[CLASSIFIER], (it) => it[place].scores);
      equal(classes[0].label, printed[CLASSIFIER].native[place].predicted_label);
    }
  };
  check("classes", () => classes(open(CLASSIFIER)));

  check("entities", () => {
    const tagger = open(TAGGER);
    let found = 0;
    for (const [place, { entities }] of tagger.entities(inputs).entries()) {
      const expected = printed[TAGGER].native[place].entities;
      const of = ({ start, end, word }) => [start, end, word];
      equal(entities.map((it) => [it.label, ...of(it)]), expected.map((it) => [it.entity_group, ...of(it)]));
      const scores = (rows) => rows[place].entities.map((it) => it.score);
      same(entities.map((it) => it.score), printed[TAGGER], scores);
      found += entities.length;
    }
    demand(found > 0, "no entities");
  });

  check("an option that makes no sense is an error of the request", () => {
    const { tag, val } = refused(() => embedder.embed(inputs, undefined, { dimensions: 0 }));
    equal([tag, val.field, val.input], ["request", "dimensions", undefined]);
    says(val.message, "dimensions");
  });

  check("a text that is too long is named by its place", () => {
    const long = [inputs[0], { tag: "text", val: "a ".repeat(1000) }];
    const { tag, val } = refused(() => embedder.embed(long, { overflow: "error" }));
    equal([tag, val.input], ["request", 1]);
    says(val.message, "tokens");
  });

  check("a file that is not there is an error of the file", () => {
    const { tag, val } = refused(() => libraries[EMBEDDER].encoder.Model.open("/nowhere/model.ef"));
    equal(tag, "file");
    says(val, "/nowhere/model.ef");
  });

  check("two models of an instance", () => {
    const again = open(EMBEDDER);
    const [one, other] = [embedder, again].map((it) => it.embed(inputs.slice(0, 1))[0].values);
    equal([...one], [...other]);
    again[Symbol.dispose]();
    same(embedder.embed(inputs.slice(0, 1))[0].values, printed[EMBEDDER], (it) => it[0].embedding);
  });

  if (folder !== undefined) {
    check("the model of a file, by another component", () =>
      classes(libraries[EMBEDDER].encoder.Model.open(`${folder}/${CLASSIFIER}.wasm`)),
    );
  }
  return passed;
}

/** The typed error that `ask` must end with. */
function refused(ask) {
  try {
    ask();
  } catch (error) {
    if (error?.payload === undefined) throw error;
    return error.payload;
  }
  throw new Error("was answered");
}

/** Near what is printed natively, and to the bit what the module prints. */
function same(got, printed, pick) {
  const native = pick(printed.native);
  equal(got.length, native.length);
  const largest = Math.max(0, ...native.map((it, index) => Math.abs(it - got[index])));
  demand(largest <= TOLERANCE, `differs by ${largest} from native`);
  if (printed.module) equal([...got], pick(printed.module).map(Math.fround));
}

function equal(got, expected) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  demand(a === b, `got ${a}, expected ${b}`);
}

function says(message, words) {
  demand(message.includes(words), `${JSON.stringify(message)} does not say ${words}`);
}

function demand(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}
