//! Regular expressions match as Oniguruma does: translated patterns in the
//! `tokenizers` crate of this workspace, against the `tokenizers` package for Python.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod published;
mod random;

use anyhow::{Context, ensure};
use encoderfile_builder::folder::translate_pattern;
use encoderfile_tests::programs::{self, Program};
use random::Random;
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tokenizers::SplitDelimiterBehavior::{Isolated, Removed};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

/// Another one: `ENCODERFILE_SEED=7 cargo test …`.
const SEED: u64 = 20_261_125;
const PATTERNS: usize = 2500;
const TEXTS: usize = 8;

/// Offsets in characters.
type Offsets = Vec<(usize, usize)>;

/// What a pattern makes of a text: its pieces, and the matches.
type Pieces = (Offsets, Offsets);

/// What the package says about a pattern.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Error(String),
    Splits(Vec<Option<Pieces>>),
}

impl Answer {
    fn splits(self) -> anyhow::Result<Vec<Option<Pieces>>> {
        match self {
            Self::Splits(splits) => Ok(splits),
            Self::Error(problem) => Err(anyhow::Error::msg(problem)),
        }
    }
}

/// A pattern, and the texts it is asked about.
struct Question<'a> {
    pattern: String,
    texts: &'a [String],
}

/// The package's answers; `None` without a Python.
fn ask(questions: &[Question<'_>]) -> anyhow::Result<Option<Vec<Answer>>> {
    let Some(python) = Program::Python.find()? else {
        return Ok(None);
    };
    let mut lines = String::new();
    let mut texts: &[String] = &[];
    for question in questions {
        if !std::ptr::eq(texts, question.texts) {
            texts = question.texts;
            writeln!(lines, "{}", json!({ "texts": texts }))?;
        }
        writeln!(lines, "{}", json!({ "pattern": question.pattern }))?;
    }
    let mut child = Command::new(python)
        .arg(programs::root().join("tests/tests/regex/splits.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("its stdin")?;
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "splits.py: {}", output.status);
    writer.join().unwrap()?;
    let answers = output.stdout.split(|byte| *byte == b'\n');
    let answers = answers.filter(|line| !line.is_empty());
    let answers: Result<Vec<Answer>, _> = answers.map(serde_json::from_slice).collect();
    let answers = answers?;
    ensure!(
        answers.len() == questions.len(),
        "{} answers",
        answers.len()
    );
    Ok(Some(answers))
}

/// A pattern in the crate that the runtime has: its pieces, and the matches alone.
struct Crate(Split, Split);

impl Crate {
    fn compile(pattern: &str) -> anyhow::Result<Self> {
        let split = |behavior, invert| {
            let pattern = SplitPattern::Regex(pattern.into());
            Split::new(pattern, behavior, invert).map_err(anyhow::Error::msg)
        };
        Ok(Self(split(Isolated, false)?, split(Removed, true)?))
    }

    fn pieces(&self, text: &str) -> anyhow::Result<Pieces> {
        let offsets = |split: &Split| -> anyhow::Result<Offsets> {
            let mut text = PreTokenizedString::from(text);
            split.pre_tokenize(&mut text).map_err(anyhow::Error::msg)?;
            let splits = text.get_splits(OffsetReferential::Original, OffsetType::Char);
            Ok(splits.into_iter().map(|(_, offsets, _)| offsets).collect())
        };
        Ok((offsets(&self.0)?, offsets(&self.1)?))
    }
}

/// How many pairs of a pattern and a text were the same.
fn compare(pattern: &str, texts: &[String], expected: &[Option<Pieces>]) -> anyhow::Result<usize> {
    let translated = translate_pattern(pattern)?;
    let compiled = Crate::compile(&translated)?;
    let mut pairs = 0;
    for (text, expected) in texts.iter().zip(expected) {
        let Some(expected) = expected else {
            continue;
        };
        let got = compiled.pieces(text)?;
        ensure!(
            got == *expected,
            "{pattern:?}, translated {translated:?}, of {text:?}: {got:?} instead of {expected:?}"
        );
        pairs += 1;
    }
    Ok(pairs)
}

fn seed() -> u64 {
    let seed = std::env::var("ENCODERFILE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    eprintln!("ENCODERFILE_SEED={seed}");
    seed
}

#[test]
fn published_patterns_split_as_they_do_in_python() -> anyhow::Result<()> {
    let mut random = Random::new(seed());
    let mut texts: Vec<String> = (0..300).map(|_| random.text()).collect();
    texts.extend(
        [
            "Hello, World! It's 3.14² km — they'LL naïvely  say:\r\n\r\n\t東京 is 42 🇯🇵👨\u{200D}👩\u{200D}👧.\n",
            "\n\n  one\n two \n\nthree\n",
            "deadBEEF cafebabe 0123456789abcdef",
            "می\u{200C}خواهم ²³¹ x² ½",
        ]
        .map(String::from),
    );
    let questions = published::PATTERNS.map(|(_, pattern)| Question {
        pattern: pattern.into(),
        texts: &texts,
    });
    let Some(answers) = ask(&questions)? else {
        return Ok(());
    };
    for ((model, pattern), answer) in published::PATTERNS.into_iter().zip(answers) {
        let splits = answer.splits().context(model)?;
        let pairs = compare(pattern, &texts, &splits).context(model)?;
        assert_eq!(pairs, texts.len(), "{model}");
    }
    Ok(())
}

#[test]
fn random_patterns_split_as_they_do_in_python_or_are_refused() -> anyhow::Result<()> {
    let mut random = Random::new(seed());
    let texts: Vec<Vec<String>> = (0..PATTERNS)
        .map(|_| (0..TEXTS).map(|_| random.text()).collect())
        .collect();
    let questions: Vec<Question<'_>> = texts
        .iter()
        .map(|texts| Question {
            pattern: random.pattern(),
            texts,
        })
        .collect();
    let Some(answers) = ask(&questions)? else {
        return Ok(());
    };
    let (mut pairs, mut changed, mut refused, mut unread) = (0, 0, 0, 0);
    for (Question { pattern, texts }, answer) in questions.iter().zip(answers) {
        let Ok(splits) = answer.splits() else {
            unread += 1;
            continue;
        };
        match translate_pattern(pattern) {
            Ok(translated) => {
                changed += usize::from(translated != *pattern);
                pairs += compare(pattern, texts, &splits)?;
            }
            Err(_) => refused += 1,
        }
    }
    eprintln!(
        "{pairs} pairs; of {PATTERNS} patterns {changed} were translated, {refused} refused, {unread} are none to Oniguruma"
    );
    // Neither side of the property is empty.
    assert!(pairs > PATTERNS * TEXTS / 2, "{pairs} pairs");
    assert!(changed > PATTERNS / 4 && refused < PATTERNS / 10);
    Ok(())
}

#[test]
fn every_property_has_the_characters_that_it_has_in_python() -> anyhow::Result<()> {
    let is_block = |name: &&str| name.starts_with("in") && name.len() > 4;
    let names = include_str!("properties.txt").lines();
    let names: Vec<&str> = names.filter(|line| !line.starts_with('#')).collect();
    let (blocks, names): (Vec<&str>, Vec<&str>) = names.into_iter().partition(is_block);
    let property = |name: &&str| format!(r"\p{{{name}}}+");
    let mut patterns: Vec<String> = names.iter().map(property).collect();
    let brackets = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    patterns.extend(brackets.map(|name| format!("[[:{name}:]]+")));
    let others = [
        r"\s+",
        r"\S+",
        r"\w+",
        r"\W+",
        r"[\w]+",
        r"[^\w]+",
        r"\d+",
        r"\D+",
        r"\h+",
        r"\H+",
        r".+",
        r"[\p{Word}]+",
        r"\p{^Word}+",
        r"\P{L}+",
        r"(?i:[\p{Lu}])+",
        r"(?i:\p{Lu})+",
        r"\b",
        r"(?i:[^k])+",
        r"(?i:[\p{Ll}&&[^a]])+",
    ];
    patterns.extend(others.map(String::from));
    let edges = [edges_of_blocks()];
    let text = [characters(seed())];
    let questions = patterns.into_iter().map(|pattern| Question {
        pattern,
        texts: &text,
    });
    let blocks = blocks.iter().map(|name| Question {
        pattern: property(name),
        texts: &edges,
    });
    let questions: Vec<Question<'_>> = questions.chain(blocks).collect();
    let Some(answers) = ask(&questions)? else {
        return Ok(());
    };
    for (Question { pattern, texts }, answer) in questions.iter().zip(answers) {
        let splits = answer.splits().with_context(|| pattern.clone())?;
        let pairs = compare(pattern, texts, &splits)?;
        assert_eq!(pairs, 1, "{pattern}");
    }
    Ok(())
}

/// The first scripts whole, and of all other characters a part that the seed chooses,
/// of ideographs, syllables and private ones less.
fn characters(seed: u64) -> String {
    let mut first = usize::try_from(seed % 7).unwrap();
    let dense = [
        0xA000..0xAC00,
        0xF900..0xFFFF,
        0x1_0000..0x1_2000,
        0x1_6800..0x1_7000,
        0x1_CC00..0x1_FC00,
        0xE_0000..0xE_0200,
    ];
    let dense = dense.into_iter().flatten();
    let chosen = dense.filter(|_| {
        first += 1;
        first.is_multiple_of(7)
    });
    let sparse = (0x3500..0x11_0000).step_by(0x61);
    let codes = (0..0x3500).chain(chosen).chain(sparse);
    codes.filter_map(char::from_u32).collect()
}

/// The first and last character of every block, and their neighbours.
fn edges_of_blocks() -> String {
    let blocks = include_str!("../../../builder/src/folder/tokenizer/pattern/blocks.txt");
    let ranges = blocks.lines().filter(|line| !line.starts_with('#'));
    let edges = ranges.flat_map(|line| line.split([' ', '-']).skip(1));
    let codes = edges.filter_map(|edge| u32::from_str_radix(edge, 16).ok());
    let around = codes.flat_map(|code| code.saturating_sub(1)..=code + 1);
    around.filter_map(char::from_u32).collect()
}
