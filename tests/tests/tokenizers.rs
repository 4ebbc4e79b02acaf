//! Tokenizer files that say different things, against what transformers makes of them:
//! `tokenizers/*/cases.json`, every class and key, agreeing and contradicting; in the
//! folders `*-files` of classes that keep their vocabulary in files of their own.
//!
//! All cases run in this process; some of each class as built files on other targets.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use anyhow::{Context, bail, ensure};
use encoderfile::manifest::{Pipeline, Task};
use encoderfile::{Input, Tokenizer, TruncationStrategy};
use encoderfile_builder::folder::{self, Model, Overrides, Paths};
use encoderfile_tests::fixture;
use encoderfile_tests::request::Item;
use encoderfile_tests::target::{Built, Target};
use encoderfile_tests::workbench::Workbench;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How many classes there are at least, so that an empty folder is no success.
const CLASSES_MIN: usize = 47;

/// The file of a class's cases; the others are its folder.
const CASES: &str = "cases.json";

/// What every reference is cut to.
const MAX_TOKENS: u32 = 32;

/// Whose graph runs the folders that are built; it has rows for 700 ids.
const GRAPH: &str = "bert-embedding";
const GRAPH_ROWS: u32 = 700;

/// Cases that run on every target, beside the first. Of a vocabulary without tokenizer.json
/// the first will do: what is built of both is a tokenizer.json.
const ON_ALL_TARGETS: [&str; 3] = ["mask lstrip", "do_lower_case false", "additional tokens"];

/// The case in which nothing is changed.
const AGREEING: &str = "as it is";

/// A key that no transformers knows, which changes nothing there and is refused here.
const UNKNOWN_KEY: (&str, &str) = ("unknown key", "some_new_switch");

#[derive(Deserialize)]
struct Class {
    texts: Vec<Vec<String>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// What the files have instead; `None` for a file that is taken away.
    files: BTreeMap<String, Option<Change>>,
    results: Option<Vec<Encoded>>,
    same_as: Option<String>,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize)]
struct Change {
    set: Map<String, Value>,
    remove: Vec<String>,
}

/// A text or pair as tokens.
#[derive(Clone, Debug, Deserialize)]
struct Encoded {
    input_ids: Vec<u32>,
    type_ids: Vec<u32>,
    /// `None` where transformers has none: tokenizers that are written in Python.
    offsets: Option<Vec<(usize, usize)>>,
}

impl Encoded {
    /// The same as far as transformers says.
    fn is(&self, got: &Self) -> bool {
        (&self.input_ids, &self.type_ids) == (&got.input_ids, &got.type_ids)
            && (self.offsets.is_none() || self.offsets == got.offsets)
    }
}

impl Case {
    /// The folder of the case.
    fn write(&self, class: &Path) -> anyhow::Result<TempDir> {
        let place = tempfile::tempdir()?;
        for entry in fs::read_dir(class)? {
            let entry = entry?;
            if entry.file_name() != CASES {
                fs::copy(entry.path(), place.path().join(entry.file_name()))?;
            }
        }
        for (name, change) in &self.files {
            let path = place.path().join(name);
            let Some(change) = change else {
                fs::remove_file(path)?;
                continue;
            };
            let mut json: Map<String, Value> = match fs::read(&path) {
                Ok(bytes) => serde_json::from_slice(&bytes)?,
                Err(_) => Map::new(),
            };
            json.retain(|key, _| !change.remove.contains(key));
            json.extend(change.set.clone());
            fs::write(path, serde_json::to_vec(&json)?)?;
        }
        Ok(place)
    }
}

impl Class {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(CASES);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
    }

    /// What transformers gives in a case; `None` if it refuses it.
    fn expected<'a>(&'a self, case: &'a Case) -> anyhow::Result<Option<&'a [Encoded]>> {
        if case.refused {
            return Ok(None);
        }
        let of = match &case.same_as {
            Some(name) => self.cases.iter().find(|case| case.name == *name),
            None => Some(case),
        };
        let results = of.and_then(|case| case.results.as_deref());
        results.map(Some).context("no results")
    }

    fn items(&self) -> Vec<Item> {
        let item = |texts: &Vec<String>| Item {
            text: texts[0].clone(),
            text_pair: texts.get(1).cloned(),
        };
        self.texts.iter().map(item).collect()
    }
}

fn classes() -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers");
    let mut classes = Vec::new();
    for entry in fs::read_dir(&root).with_context(|| root.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            classes.push(path);
        }
    }
    classes.sort();
    ensure!(classes.len() >= CLASSES_MIN, "{} classes", classes.len());
    Ok(classes)
}

/// A folder that has no graph.
fn read(folder: &Path) -> anyhow::Result<Model> {
    let paths = Paths {
        folder: folder.to_owned(),
        weights: folder.join("model.onnx"),
        config: folder.join("config.json"),
        tokenizer: folder.join("tokenizer.json"),
        tokenizer_config: folder.join("tokenizer_config.json"),
        tokenizer_stands_alone: false,
    };
    let overrides = Overrides {
        task: Some(Task::Embedding),
        ..Overrides::default()
    };
    Ok(folder::read(&paths, &overrides)?)
}

/// A folder's texts as its tokenizer has them, in this process.
fn encode(folder: &Path, texts: &[Item]) -> anyhow::Result<Vec<Encoded>> {
    let model = read(folder)?;
    // The limit is the graph's to say, and here is none.
    let pipeline = Pipeline {
        max_tokens: MAX_TOKENS,
        ..model.pipeline
    };
    let tokenizer = Tokenizer::load(&model.tokenizer_json, &pipeline)?;
    let encoded = texts.iter().map(|item| {
        let input = match &item.text_pair {
            Some(pair) => Input::Pair(&item.text, pair),
            None => Input::Text(&item.text),
        };
        let tokens = tokenizer.encode(input, TruncationStrategy::LongestFirst, None, None)?;
        Ok(Encoded {
            type_ids: if model.makes_type_ids {
                tokens.type_ids
            } else {
                vec![0; tokens.ids.len()]
            },
            input_ids: tokens.ids,
            offsets: Some(tokens.offsets),
        })
    });
    encoded.collect()
}

fn check(class: &Class, folder: &Path, case: &Case) -> anyhow::Result<()> {
    let place = case.write(folder)?;
    let got = encode(place.path(), &class.items());
    if case.name == UNKNOWN_KEY.0 {
        let error = got.err().context("not refused")?.to_string();
        ensure!(error.contains(UNKNOWN_KEY.1), "{error}");
        return Ok(());
    }
    let Some(expected) = class.expected(case)? else {
        ensure!(got.is_err(), "transformers refuses it");
        return Ok(());
    };
    if let (Some(key), Err(error)) = (case.name.strip_suffix(" null"), &got) {
        // Python writes "None" between the texts.
        ensure!(error.to_string().contains(key), "{error}");
        return Ok(());
    }
    for ((texts, expected), got) in class.texts.iter().zip(expected).zip(got?) {
        ensure!(
            expected.is(&got),
            "{texts:?}:\n  got      {got:?}\n  expected {expected:?}"
        );
    }
    Ok(())
}

#[test]
fn every_class_and_key_means_what_transformers_makes_of_it() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for folder in classes().unwrap() {
        let class = Class::read(&folder).unwrap();
        for case in &class.cases {
            cases += 1;
            if let Err(error) = check(&class, &folder, case) {
                let name = folder.file_name().unwrap().to_string_lossy();
                failures.push(format!("{name}, {}: {error:#}", case.name));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {cases} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Which class `AutoTokenizer` takes: tokenizers/classes.json.
#[derive(Deserialize)]
struct Decisions {
    rows: Vec<Decision>,
}

/// The class that tokenizer_config.json names, the one that is taken, and the model types.
#[derive(Deserialize)]
struct Decision(Option<String>, Option<String>, String);

/// A folder whose vocabulary most classes can read, with this in it.
const VOCABULARY: &str = "generic";
const UNKNOWN: &str = "<unk>";

/// What is said of a folder before its tokenizer is looked at.
const NO_ENCODER: &str = "not an encoder";

/// What the generic class is called, which is what a folder is read with unless it says so.
const GENERIC_CLASS: &str = "TokenizersBackend";

/// Reads the folder with the class, or fails with an error that names it.
fn check_class(place: &Path, decision: &Decision, model_type: &str) -> anyhow::Result<()> {
    let Decision(named, taken, _) = decision;
    let config = serde_json::json!({"model_type": model_type, "vocab_size": 800});
    fs::write(place.join("config.json"), config.to_string())?;
    let config = serde_json::json!({"tokenizer_class": named, "model_max_length": MAX_TOKENS});
    fs::write(place.join("tokenizer_config.json"), config.to_string())?;
    let Some(taken) = taken else {
        ensure!(read(place).is_err(), "transformers refuses it");
        return Ok(());
    };
    let findings = match read(place) {
        Ok(model) => model.findings,
        Err(error) => {
            let error = error.to_string();
            let short = taken.strip_suffix("Fast").unwrap_or(taken);
            let is_named = error.contains(&format!("{short} is not supported"))
                || error.contains(&format!("but {taken} reads"))
                || error.contains(&format!("which {taken} reads"));
            ensure!(
                is_named || error.contains(NO_ENCODER),
                "{error}, expected {taken}"
            );
            return Ok(());
        }
    };
    let built = findings
        .iter()
        .find_map(|it| it.meaning.strip_prefix("built as "));
    let class = built.map_or(GENERIC_CLASS, |it| it.split(' ').next().unwrap_or_default());
    ensure!(class == taken, "{class}, expected {taken}");
    Ok(())
}

/// A tokenizer.json that most classes can read.
fn write_tokenizer(root: &Path, place: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(root.join(VOCABULARY).join("tokenizer.json"))?;
    let mut tokenizer: Value = serde_json::from_slice(&bytes)?;
    let vocabulary = &mut tokenizer["model"]["vocab"];
    let ids = vocabulary.as_object().context("no vocabulary")?.len();
    vocabulary[UNKNOWN] = ids.into();
    Ok(fs::write(
        place.join("tokenizer.json"),
        tokenizer.to_string(),
    )?)
}

#[test]
fn the_class_is_the_one_that_transformers_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers");
    let bytes = fs::read(root.join("classes.json")).unwrap();
    let decisions: Decisions = serde_json::from_slice(&bytes).unwrap();
    let place = tempfile::tempdir().unwrap();
    write_tokenizer(&root, place.path()).unwrap();
    let mut failures = Vec::new();
    let mut count = 0;
    for decision in &decisions.rows {
        for model_type in decision.2.split(' ') {
            count += 1;
            if let Err(error) = check_class(place.path(), decision, model_type) {
                failures.push(format!("{model_type}, {:?}: {error:#}", decision.0));
            }
        }
    }
    assert!(count > 2000, "{count} decisions");
    assert!(
        failures.is_empty(),
        "{} of {count} fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Class, case, and what has to be among the findings.
const CONTRADICTIONS: [(&str, &str, &str); 12] = [
    (
        "bert",
        "do_lower_case false",
        "normalizer.lowercase: false (tokenizer.json: true)",
    ),
    (
        "bert",
        "tokenize_chinese_chars false",
        "normalizer.handle_chinese_chars: false",
    ),
    (
        "bert",
        "strip_accents false",
        "normalizer.strip_accents: false",
    ),
    (
        "bert",
        "mask lstrip",
        "\"[MASK]\": lstrip: true (tokenizer.json: false)",
    ),
    ("bert", "additional tokens", "\"qu\" is one token"),
    (
        "bert",
        "map names others",
        "unk_token is \"[UNK]\" (special_tokens_map.json: \"qu\")",
    ),
    (
        "bert",
        "no normalizer",
        "normalizer: BertNormalizer (tokenizer.json: null); transformers 4",
    ),
    ("bert", "no token type ids", "are 0 as well"),
    (
        "roberta",
        "add_prefix_space true",
        "pre_tokenizer.add_prefix_space: true",
    ),
    (
        "generic",
        "generic class",
        "do_lower_case false means nothing",
    ),
    (
        "generic",
        "no model_input_names",
        "are 0 as well; transformers 4 makes it 1",
    ),
    (
        "llama",
        "add_eos_token true",
        "add_eos_token true means nothing to LlamaTokenizer; transformers 4",
    ),
];

/// Folders that are read as their tokenizer.json has it, whatever class they name.
const GENERIC: [&str; 3] = ["generic", "llama-byte-level", "modernbert"];

#[test]
fn every_folder_is_of_a_class_of_its_own() {
    for folder in classes().unwrap() {
        let name = folder.file_name().unwrap().to_string_lossy();
        let findings = read(&folder).unwrap().findings;
        let is_built = findings
            .iter()
            .any(|it| it.meaning.starts_with("built as "));
        assert_eq!(is_built, !GENERIC.contains(&&*name), "{name}: {findings:?}");
    }
}

/// Each would become a token.
#[test]
fn more_sentinels_than_a_vocabulary_has_are_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers");
    for name in ["t5", "t5-files"] {
        let class = Class::read(&root.join(name)).unwrap();
        let agreeing = class.cases.iter().find(|case| case.name == AGREEING);
        let place = agreeing.unwrap().write(&root.join(name)).unwrap();
        let config = place.path().join("tokenizer_config.json");
        let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
        json["extra_ids"] = (1_u64 << 40).into();
        fs::write(&config, json.to_string()).unwrap();
        let error = read(place.path()).unwrap_err().to_string();
        assert!(error.contains("extra_ids"), "{name}: {error}");
    }
}

/// Folders without tokenizer.json that transformers 4 reads otherwise, and what is said of it.
const UNLIKE_4: [(&str, &str); 5] = [
    ("fnet-files", "no [CLS] and no [SEP]"),
    ("rembert-files", "no [CLS] and no [SEP]"),
    ("llama-files", "only by add_bos_token"),
    ("deberta-v2-files", "the character map"),
    ("xlm-roberta-files", "spaces beside special tokens"),
];

#[test]
fn what_transformers_4_makes_otherwise_of_a_vocabulary_is_a_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenizers");
    for (name, expected) in UNLIKE_4 {
        let findings = read(&root.join(name)).unwrap().findings;
        assert!(
            findings.iter().any(|it| it.meaning.contains(expected)),
            "{name}: {findings:?}"
        );
    }
    let findings = read(&root.join("bert-files")).unwrap().findings;
    let built = "built as BertTokenizer of transformers 5 does, from vocab.txt";
    assert!(
        findings.iter().any(|it| it.meaning == built),
        "{findings:?}"
    );
    let meanings = findings.iter().map(|it| &it.meaning);
    assert!(!meanings.into_iter().any(|it| it.contains("transformers 4")));
}

#[test]
fn a_contradiction_between_files_is_a_finding() {
    let mut failures = Vec::new();
    for (name, title, expected) in CONTRADICTIONS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tokenizers")
            .join(name);
        let class = Class::read(&folder).unwrap();
        let of = |title: &str| -> Vec<String> {
            let case = class.cases.iter().find(|case| case.name == title).unwrap();
            let place = case.write(&folder).unwrap();
            let findings = read(place.path()).unwrap().findings.into_iter();
            findings.map(|finding| finding.meaning).collect()
        };
        let has = |findings: &[String]| findings.iter().any(|it| it.contains(expected));
        if !has(&of(title)) {
            failures.push(format!(
                "{name}, {title}: no {expected:?} in {:?}",
                of(title)
            ));
        }
        if has(&of(AGREEING)) {
            failures.push(format!("{name}: {expected:?} where the files agree"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_resolved_tokenizer_gives_the_same_tokens_on_every_target() {
    let Some(workbench) = Workbench::open().unwrap() else {
        return;
    };
    let mut failures = Vec::new();
    for folder in classes().unwrap() {
        let class = Class::read(&folder).unwrap();
        let has_file = folder.join("tokenizer.json").exists();
        let more = if has_file { &ON_ALL_TARGETS[..] } else { &[] };
        for case in &class.cases {
            let is_first = case.name == AGREEING;
            if (is_first || more.contains(&case.name.as_str()))
                && let Err(error) = check_targets(&workbench, &class, &folder, case)
            {
                let name = folder.file_name().unwrap().to_string_lossy();
                failures.push(format!("{name}, {}: {error:#}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Builds the case with a graph that runs, and asks it for tokens.
fn check_targets(
    workbench: &Workbench,
    class: &Class,
    folder: &Path,
    case: &Case,
) -> anyhow::Result<()> {
    let Some(expected) = class.expected(case)? else {
        bail!("chosen to run, but refused");
    };
    let ids = expected.iter().flat_map(|it| &it.input_ids);
    if ids.max().is_some_and(|largest| *largest >= GRAPH_ROWS) {
        return Ok(());
    }
    let place = case.write(folder)?;
    let graph = fixture::folder(GRAPH).join("model.onnx");
    fs::copy(graph, place.path().join("model.onnx"))?;
    let config = place.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config)?)?;
    json["vocab_size"] = GRAPH_ROWS.into();
    fs::write(&config, json.to_string())?;
    let built = Built::new(workbench, Some(place.path()))?;
    for target in [Target::Native, Target::Wasmtime, Target::Node] {
        if !workbench.has(target) {
            continue;
        }
        let got = workbench.tokenize(target, &built, &class.items())?;
        for (expected, got) in expected.iter().zip(got) {
            let infos = || got.tokens.iter().map(|token| &token.info);
            let ids: Vec<u32> = infos().map(|it| it.token_id).collect();
            let offsets: Vec<_> = infos().map(|it| (it.start, it.end)).collect();
            ensure!(
                ids == expected.input_ids
                    && expected.offsets.as_ref().is_none_or(|it| *it == offsets),
                "{}: {ids:?} {offsets:?}, expected {expected:?}",
                target.name()
            );
        }
    }
    Ok(())
}
