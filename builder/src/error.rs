//! Why a model cannot be built, in one line that names file and key.

use crate::folder::LabelsSource;
use encoderfile::GraphError;
use encoderfile::golden::Report;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A model that cannot become an encoderfile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No such folder.
    #[error("{}: no such folder", .0.display())]
    NoFolder(PathBuf),
    /// A folder without an ONNX file.
    #[error(
        "{}: no model.onnx, model.safetensors or pytorch_model.bin in it{}; export one with `optimum-cli export onnx --model {} OUT`",
        .folder.display(),
        .instead.as_ref().map(|name| format!(", but {name}, which is not read")).unwrap_or_default(),
        .folder.display()
    )]
    NoOnnx {
        /// The folder.
        folder: PathBuf,
        /// A file of weights in another format.
        instead: Option<String>,
    },
    /// Several ONNX files, none of which is the usual one.
    #[error("{}: several ONNX files; say which with --weights-file: {}", .folder.display(), .candidates.join(", "))]
    SeveralOnnx {
        /// The folder.
        folder: PathBuf,
        /// Their names in the folder.
        candidates: Vec<String>,
    },
    /// Not the ONNX file that was asked for.
    #[error("{}: no file {name} in it; it has {}", .folder.display(), .candidates.join(", "))]
    NoSuchOnnx {
        /// The folder.
        folder: PathBuf,
        /// The name asked for.
        name: String,
        /// The ONNX files in the folder.
        candidates: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is no JSON.
    #[error("{}: {source}", .path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Where in it.
        source: serde_json::Error,
    },
    /// A key whose value this program does not serve.
    #[error("{}: `{key}`: {value} is not supported", .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// The value found, as JSON.
        value: String,
    },
    /// A key that the architecture is not known to read.
    #[error(
        "{}: `{key}`: {value} is not a key of this architecture that is known here, and may change what is computed; remove it if it does not", .path.display()
    )]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// The value found, as JSON.
        value: String,
    },
    /// A folder with neither tokenizer.json nor the files of its tokenizer class.
    #[error("{}: {files} in it, which {class} reads{}", .folder.display(), instead(found))]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
        /// As transformers spells it.
        class: String,
        /// What is not there, with `no` before it.
        files: String,
        /// Files of other classes that are there.
        found: Vec<&'static str>,
    },
    /// A key whose value this program serves for shorter texts.
    #[error(
        "{}: `{key}`: {value} is supported for texts of {most} tokens, and the limit here is {longest}; build with --max-length {most}",
        .path.display()
    )]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// The value found, as JSON.
        value: String,
        /// How many tokens a text may have with it.
        most: usize,
        /// How many it may have in this folder.
        longest: u32,
    },
    /// A tokenizer that the tokenizers library cannot read.
    #[error("{}: {problem}", .path.display())]
    Tokenizer {
        /// tokenizer.json.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A tokenizer class that this program does not have.
    #[error(
        "{}: `tokenizer_class`: {class} is not supported ({source_key}); if tokenizer.json says all there is, set `tokenizer_class` to \"PreTrainedTokenizerFast\"",
        .path.display()
    )]
    TokenizerClass {
        /// tokenizer_config.json.
        path: PathBuf,
        /// As transformers spells it.
        class: String,
        /// Which file and key names it.
        source_key: String,
    },
    /// A tokenizer class beside a tokenizer.json that it cannot read.
    #[error(
        "{}: its model has type {found}, but {class} reads {expected}; correct `tokenizer_class` in tokenizer_config.json",
        .path.display()
    )]
    TokenizerModel {
        /// tokenizer.json.
        path: PathBuf,
        /// As transformers spells it.
        class: String,
        /// The kind of model that the class reads.
        expected: &'static str,
        /// The kind that the file has.
        found: String,
    },
    /// A special token that texts are wrapped in, and that has no id.
    #[error("{}: the vocabulary lacks {token:?}, the `{key}` that every text gets", .path.display())]
    TokenWithoutId {
        /// tokenizer.json.
        path: PathBuf,
        /// The key of tokenizer_config.json.
        key: String,
        /// Its spelling.
        token: String,
    },
    /// A regular expression of a tokenizer that has no translation.
    #[error("{}: `{place}`: {problem}", .path.display())]
    Pattern {
        /// tokenizer.json.
        path: PathBuf,
        /// Where in it.
        place: String,
        /// What of it has none, and what to write instead.
        problem: String,
    },
    /// A file that is no safetensors file, or not all of one.
    #[error("{}: {source}", .path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// A PyTorch archive that is not read, or that holds code.
    #[error("{}: {source}", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::checkpoint::PickleError,
    },
    /// A checkpoint of an architecture that no graph is written for.
    #[error(
        "{}: `model_type`: {model_type:?} has no graph here without ONNX; export one with `optimum-cli export onnx --model {} OUT`",
        .path.display(),
        .path.parent().unwrap_or(.path).display()
    )]
    Architecture {
        /// config.json.
        path: PathBuf,
        /// What it says.
        model_type: String,
    },
    /// A tensor of a module that is not what its config says.
    #[error("{}: tensor `{name}`: {problem}", .path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Which.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A rule that is for no matrix.
    #[error("--weights-rule {rule}: no matrix has that in its name; those are {}", some_of(.matrices))]
    Rule {
        /// As it was given.
        rule: String,
        /// What the names of matrices are.
        matrices: Vec<String>,
    },
    /// A file of calibration texts that cannot be used.
    #[error("{}: {problem}", .path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file that cannot be as small.
    #[error(
        "--target-size: {} MB cannot be had; with {encoding} for all matrices the file has {} MB, {} MB of them the base program",
        megabytes(*.target), megabytes(*.least), megabytes(*.base)
    )]
    TargetSize {
        /// What was asked for, in bytes.
        target: u64,
        /// The least that is possible.
        least: u64,
        /// With which encoding.
        encoding: encoderfile::weights::WeightsEncoding,
        /// The base program's part of it.
        base: u64,
    },
    /// Results that rounding takes too far from those in float32.
    #[error(
        "{}: over {texts} texts the worst cosine to float32 is {measured:.5}, less than the {min_cosine} of --min-cosine; say --weights with more bits or shorter groups",
        .path.display()
    )]
    MinCosine {
        /// The file of weights.
        path: PathBuf,
        /// What was asked for.
        min_cosine: f32,
        /// What was measured.
        measured: f32,
        /// Over how many texts.
        texts: usize,
    },
    /// Pooling and modules do not fit one another.
    #[error("{}: {problem}", .path.display())]
    Widths {
        /// The folder.
        path: PathBuf,
        /// Which of them.
        problem: String,
    },
    /// A decoder, or an encoder with one.
    #[error("{}: not an encoder: {why}", .path.display())]
    NotAnEncoder {
        /// The config file.
        path: PathBuf,
        /// Which key says so.
        why: String,
    },
    /// A head that belongs to no task.
    #[error(
        "{}: `architectures`: no task for {architecture:?}; expected …Model, …ForSequenceClassification, …ForTokenClassification or …ForMaskedLM, or say which with --task",
        .path.display()
    )]
    UnknownHead {
        /// The config file.
        path: PathBuf,
        /// What it says.
        architecture: String,
    },
    /// A task of models that the folder is none of.
    #[error(
        "{}: late_interaction needs what PyLate, sentence-transformers or Stanford's ColBERT writes of queries and documents, and nothing of it is there",
        .0.display()
    )]
    NoRoles(PathBuf),
    /// Nothing says how long a sequence may be.
    #[error(
        "{}: neither it nor tokenizer_config.json nor sentence_bert_config.json says how many tokens the model takes; say it with --max-length",
        .0.display()
    )]
    NoLimit(PathBuf),
    /// A limit beyond what this program serves.
    #[error(
        "{stated_by}: {max_tokens} tokens, limit {}",
        encoderfile::limits::TOKENS_MAX
    )]
    Limit {
        /// What was asked for.
        max_tokens: u32,
        /// Who asked.
        stated_by: String,
    },
    /// A graph that cannot be served.
    #[error("{}: {source}", .path.display())]
    Graph {
        /// The ONNX file.
        path: PathBuf,
        /// Why.
        source: GraphError,
    },
    /// A graph with inputs, outputs or tensors that this program does not serve.
    #[error("{}: {problem}", .path.display())]
    Onnx {
        /// The ONNX file.
        path: PathBuf,
        /// What, and what was expected.
        problem: String,
    },
    /// A branch that one text takes and another does not.
    #[error(
        "{}: the condition `{condition}` of the If node `{node}` depends on the text or its length; this is not supported",
        .path.display()
    )]
    Condition {
        /// The ONNX file.
        path: PathBuf,
        /// The value.
        condition: String,
        /// The node.
        node: String,
        /// The engine's own words: [`BuildError::detail`].
        detail: String,
    },
    /// Labels and logits do not match.
    #[error("{}: {}, the model has {logits} logits", .path.display(), labels_said(*.labels, *.said_by))]
    Labels {
        /// The config file.
        path: PathBuf,
        /// How many labels.
        labels: usize,
        /// Who says so.
        said_by: LabelsSource,
        /// How many logits.
        logits: usize,
    },
    /// The config promises something that no output of the graph is.
    #[error("{}: {problem}; {remedy}", .path.display())]
    Output {
        /// The ONNX file.
        path: PathBuf,
        /// Which output, and what was expected.
        problem: String,
        /// How to get a graph that has it, or what else to ask for.
        remedy: String,
    },
    /// A graph for sequences of one shape only.
    #[error(
        "{}: it was exported for fixed shapes: {fixed}; texts have any length, so export it again with dynamic axes: {}",
        .path.display(),
        EXPORT
    )]
    FixedShapes {
        /// The ONNX file.
        path: PathBuf,
        /// Which axes of which inputs, and at what.
        fixed: String,
    },
    /// The tokenizer has ids that the model has no embedding for.
    #[error(
        "{}: its largest token id is {largest_id}, but the model's embedding has {rows} rows",
        .path.display()
    )]
    Vocabulary {
        /// tokenizer.json.
        path: PathBuf,
        /// The largest id.
        largest_id: u32,
        /// Rows of the embedding.
        rows: u32,
    },
    /// A text of full length cannot be computed.
    #[error(
        "{}: a text of {max_tokens} tokens, the limit by {stated_by}, cannot be computed: {problem}; if the model holds fewer tokens, say how many with --max-length",
        .path.display()
    )]
    FullLength {
        /// The ONNX file.
        path: PathBuf,
        /// The limit.
        max_tokens: u32,
        /// Who says so.
        stated_by: String,
        /// What became of it.
        problem: String,
        /// The engine's own words: [`BuildError::detail`].
        detail: Option<String>,
    },
    /// The finished model fails over a text of some length.
    #[error(
        "{}: {source}; a graph that was exported for one length computes no other: export it again with dynamic axes: {}",
        .path.display(),
        EXPORT
    )]
    OneLength {
        /// The ONNX file.
        path: PathBuf,
        /// What failed.
        source: Box<encoderfile::Error>,
    },
    /// A stored result that is no number.
    #[error("{}: {source}: {text:?}; a weight may be damaged, or too large for the type it is in", .path.display())]
    NotFinite {
        /// The ONNX file.
        path: PathBuf,
        /// The text that was tried.
        text: String,
        /// What was found.
        source: Box<encoderfile::Error>,
    },
    /// The finished model does not run.
    #[error("{}: the finished model does not run: {source}", .path.display())]
    Runtime {
        /// The model folder.
        path: PathBuf,
        /// Why.
        source: Box<encoderfile::Error>,
    },
    /// A finished encoderfile whose model this version cannot load or run.
    #[error(
        "this version of encoderfile cannot run its model: {0}; build it again from the model folder"
    )]
    Finished(#[source] Box<encoderfile::Error>),
    /// A finished encoderfile whose model gives other results here than are stored in it.
    #[error(
        "this version of encoderfile computes other results than are stored in it: {} of {} cases have other token ids, largest difference {:.1e} (limit {:.0e}); build it again from the model folder",
        .0.token_mismatches, .0.cases, .0.largest_difference, .0.limit
    )]
    OtherResults(Report),
    /// The inference engine met something it did not expect.
    #[error("{}: the inference engine cannot compute this graph", .path.display())]
    Panic {
        /// The ONNX file.
        path: PathBuf,
        /// What it said: [`BuildError::detail`].
        detail: String,
    },
}

/// The inference engine's own words of an error of this crate, which the message leaves out.
pub fn detail(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|it| match it.downcast_ref() {
        Some(error) => BuildError::detail(error),
        None => encoderfile::detail(it),
    })
}

impl BuildError {
    /// The inference engine's own words, which the message leaves out.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Condition { detail, .. } | Self::Panic { detail, .. } => Some(detail),
            Self::FullLength { detail, .. } => detail.as_deref(),
            // What is in a box is not among the causes as what it is.
            Self::OneLength { source, .. }
            | Self::NotFinite { source, .. }
            | Self::Runtime { source, .. }
            | Self::Finished(source) => encoderfile::detail(&**source),
            other => encoderfile::detail(other),
        }
    }

    /// A key whose value this program does not serve.
    pub fn key(path: &Path, key: &str, value: &Value) -> Self {
        Self::Key {
            path: path.to_owned(),
            key: key.into(),
            value: value.to_string(),
        }
    }
}

/// How to get a graph that takes texts of any length.
const EXPORT: &str = "`optimum-cli export onnx --model DIR OUT`, or torch.onnx.export(…, dynamic_axes={\"input_ids\": {0: \"batch\", 1: \"tokens\"}, …}) with the same for every input";

/// What the config says of the number of labels.
/// Files of a tokenizer that another class reads.
/// The first of some names, and how many more there are.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 12;

    let shown = names.iter().take(SHOWN).map(|name| name.trim());
    let shown: Vec<String> = shown.map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none".into(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn instead(found: &[&str]) -> String {
    match found {
        [] => String::new(),
        files => format!(
            "; there is {}: set `tokenizer_class` in tokenizer_config.json to the class that reads it",
            files.join(", ")
        ),
    }
}

fn labels_said(labels: usize, said_by: LabelsSource) -> String {
    match said_by {
        LabelsSource::Names => format!("`id2label` has {labels} labels"),
        LabelsSource::Count => format!("`num_labels` is {labels}"),
        LabelsSource::CountAgainstNames => {
            format!("`num_labels` is {labels} whatever `id2label` says")
        }
        LabelsSource::Default => {
            format!("without `id2label` and `num_labels` there are {labels} labels")
        }
    }
}
