//! vocab.txt, vocab.json with merges.txt, and SentencePiece models: a folder of a class that
//! keeps its vocabulary so is read, and texts tokenised.

use super::TEXT;
use encoderfile::manifest::Pipeline;
use encoderfile::{Input, Tokenizer, TruncationStrategy};
use encoderfile_builder::folder::{self, Overrides, Paths};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Classes by the first byte of an input, with the files that they read. The rest of the
/// input is the files, with a zero byte between two.
const CLASSES: [(&str, &[&str]); 9] = [
    ("BertTokenizer", &["vocab.txt"]),
    ("EsmTokenizer", &["vocab.txt"]),
    ("RobertaTokenizer", &["vocab.json", "merges.txt"]),
    ("AlbertTokenizer", &["spiece.model"]),
    ("T5Tokenizer", &["spiece.model"]),
    ("XLMRobertaTokenizer", &["sentencepiece.bpe.model"]),
    ("DebertaV2Tokenizer", &["spm.model"]),
    ("LlamaTokenizer", &["tokenizer.model"]),
    ("PreTrainedTokenizerFast", &["tokenizer.model"]),
];

const MAX_TOKENS: u32 = 12;

thread_local! {
    /// Where the files are, one input after another.
    static FOLDER: Option<TempDir> = tempfile::tempdir().ok();
}

pub(crate) fn run(data: &[u8]) {
    let Some((first, files)) = data.split_first() else {
        return;
    };
    let (class, names) = CLASSES[usize::from(*first) % CLASSES.len()];
    FOLDER.with(|folder| {
        let Some(folder) = folder else { return };
        if write(folder.path(), class, names, files).is_ok() {
            read(folder.path());
        }
    });
}

fn write(folder: &Path, class: &str, names: &[&str], files: &[u8]) -> std::io::Result<()> {
    for (_, names) in CLASSES {
        for name in names.iter().map(|name| folder.join(name)) {
            if name.exists() {
                fs::remove_file(name)?;
            }
        }
    }
    let parts = files.splitn(names.len(), |byte| *byte == 0);
    for (name, part) in names.iter().zip(parts) {
        fs::write(folder.join(name), part)?;
    }
    let config = br#"{"architectures":["BertModel"],"model_type":"bert","vocab_size":900}"#;
    fs::write(folder.join("config.json"), config)?;
    let config = format!(r#"{{"tokenizer_class":"{class}"}}"#);
    fs::write(folder.join("tokenizer_config.json"), config)
}

fn read(folder: &Path) {
    let paths = Paths {
        folder: folder.to_owned(),
        weights: folder.join("model.onnx"),
        config: folder.join("config.json"),
        tokenizer: folder.join("tokenizer.json"),
        tokenizer_config: folder.join("tokenizer_config.json"),
        tokenizer_stands_alone: false,
    };
    let Ok(model) = folder::read(&paths, &Overrides::default()) else {
        return;
    };
    let pipeline = Pipeline {
        max_tokens: MAX_TOKENS,
        ..model.pipeline
    };
    let tokenizer = Tokenizer::load(&model.tokenizer_json, &pipeline);
    // What the builder writes, the runtime reads.
    let tokenizer = tokenizer.unwrap_or_else(|error| panic!("written, and not read: {error}"));
    let _ = tokenizer.encode(
        Input::Text(TEXT),
        TruncationStrategy::LongestFirst,
        None,
        None,
    );
}

/// A class and the files of a folder of the tests.
macro_rules! data {
    ($class:expr, $folder:literal, $($name:literal),+) => {
        {
            let files: Vec<&[u8]> = vec![$(include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../tests/tokenizers/", $folder, "/", $name
            ))),+];
            [&[$class][..], &files.join(&0)].concat()
        }
    };
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(vec![
        data!(0, "bert-files", "vocab.txt"),
        data!(1, "esm-files", "vocab.txt"),
        data!(2, "roberta-files", "vocab.json", "merges.txt"),
        data!(3, "albert-files", "spiece.model"),
        data!(4, "t5-files", "spiece.model"),
        data!(5, "xlm-roberta-files", "sentencepiece.bpe.model"),
        data!(6, "deberta-v2-files", "spm.model"),
        data!(7, "llama-files", "tokenizer.model"),
        data!(8, "generic-bpe-user-files", "tokenizer.model"),
    ])
}
