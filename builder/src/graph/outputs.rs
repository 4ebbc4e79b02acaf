//! Which of a graph's outputs is read, and whether it is what the config promises.
//!
//! A rank alone says little: hidden states have that of token logits, a pooler's
//! output that of sentence logits. So an output whose name means something
//! else is never taken for what is looked for, and logits are as many as there
//! are labels, or entries of the vocabulary.

use super::binding::tensor_type;
use crate::error::BuildError;
use crate::folder::Model;
use encoderfile::manifest::{Output, Task};
use encoderfile::onnx::{GraphProto, ValueInfoProto};
use std::collections::HashSet;
use std::path::Path;

/// The output that is read, by what the graph declares of it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) per_token: bool,
}

/// What an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    TokenVectors,
    /// A vector of the text by the module chain of sentence-transformers.
    TextVector,
    /// What BERT's pooler makes of the first token, for its own head.
    Pooler,
    Logits,
}

/// What sentence-transformers calls the vector of a text.
pub const SENTENCE_VECTOR: &str = "sentence_embedding";

/// Names that mean one thing with every exporter, best first.
const NAMES: [(&str, Meaning); 8] = [
    ("last_hidden_state", Meaning::TokenVectors),
    ("token_embeddings", Meaning::TokenVectors),
    ("hidden_states", Meaning::TokenVectors),
    ("encoder_hidden_states", Meaning::TokenVectors),
    (SENTENCE_VECTOR, Meaning::TextVector),
    ("pooler_output", Meaning::Pooler),
    ("logits", Meaning::Logits),
    ("prediction_logits", Meaning::Logits),
];

/// The names that are looked for, best first.
fn names_of(wanted: Meaning) -> &'static [&'static str] {
    match wanted {
        Meaning::TokenVectors => &["last_hidden_state", "token_embeddings"],
        Meaning::TextVector => &[SENTENCE_VECTOR],
        Meaning::Pooler => &["pooler_output"],
        Meaning::Logits => &["logits"],
    }
}

fn meaning(name: &str) -> Option<Meaning> {
    // Exporters number the states of each layer.
    let stem = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.' || it == '_');
    let known = NAMES
        .iter()
        .find(|(known, _)| *known == name || *known == stem);
    known.map(|(_, meaning)| *meaning)
}

impl Choice {
    pub(super) fn of(path: &Path, graph: &GraphProto, model: &Model) -> Result<Self, BuildError> {
        choose(graph, model).map_err(|problem| BuildError::Output {
            path: path.to_owned(),
            problem: format!("{problem} for {}", model.task.name()),
            remedy: remedy(graph, model),
        })
    }
}

/// Whether one of the outputs has that name.
pub(super) fn has_output(outputs: &[ValueInfoProto], name: &str) -> bool {
    outputs.iter().any(|output| output.name == name)
}

fn choose(graph: &GraphProto, model: &Model) -> Result<Choice, String> {
    let output = |wanted, per_token: bool| {
        let name = find(graph, wanted, if per_token { 3 } else { 2 })?;
        Ok(Choice {
            name: name.into(),
            per_token,
        })
    };
    match model.task {
        // A head of modules is not in the graph.
        Task::SequenceClassification if !model.pipeline.pooling.is_empty() => {
            output(Meaning::TokenVectors, true)
        }
        Task::SequenceClassification => output(Meaning::Logits, false),
        Task::TokenClassification | Task::SparseEmbedding | Task::FillMask => {
            output(Meaning::Logits, true)
        }
        // What the graph does is known; what the folder leaves unsaid is a guess.
        Task::SentenceEmbedding
            if model.pooling_is_assumed && has_output(&graph.output, SENTENCE_VECTOR) =>
        {
            output(Meaning::TextVector, false)
        }
        Task::SentenceEmbedding => output(Meaning::TokenVectors, true)
            .or_else(|why| output(Meaning::TextVector, false).or(Err(why))),
        Task::Embedding => output(Meaning::TokenVectors, true),
        Task::LateInteraction => {
            let vectors = output(Meaning::TokenVectors, true)?;
            refuse_unmasked(graph, model, &vectors.name)?;
            Ok(vectors)
        }
    }
}

/// Tokens can only be hidden by an attention mask that the output depends on.
fn refuse_unmasked(graph: &GraphProto, model: &Model, output: &str) -> Result<(), String> {
    let settings = model.pipeline.late_interaction.as_ref();
    let expansion = settings.and_then(|settings| settings.expansion);
    if expansion.is_none_or(|expansion| expansion.attended) {
        return Ok(());
    }
    let mut needed = HashSet::from([output]);
    // Sorted: what a node needs is made before it.
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|it| needed.contains(it.as_str())) {
            needed.extend(node.input.iter().map(String::as_str));
        }
    }
    let is_mask = |it: &ValueInfoProto| it.name == "attention_mask";
    if needed.contains("attention_mask") && graph.input.iter().any(is_mask) {
        return Ok(());
    }
    Err(format!(
        "output `{output}` does not depend on an input attention_mask, which hides the expansion tokens of queries"
    ))
}

/// The first by name, or else the only output of that rank whose name does not
/// mean something else.
fn find(graph: &GraphProto, wanted: Meaning, rank: usize) -> Result<&str, String> {
    let rank_of = |output: &ValueInfoProto| tensor_type(output).1.map(|shape| shape.len());
    let fits = |output: &&ValueInfoProto| {
        rank_of(output).is_none_or(|it| it == rank)
            && meaning(&output.name).is_none_or(|it| it == wanted)
    };
    let fitting: Vec<&ValueInfoProto> = graph.output.iter().filter(fits).collect();
    let names = names_of(wanted);
    let named = |name: &&str| fitting.iter().find(|output| output.name == **name);
    match (names.iter().find_map(named), &*fitting) {
        (Some(output), _) | (None, [output]) => Ok(&output.name),
        (None, []) => {
            let problem = |output| misfit(output, rank_of(output), rank);
            let problems: Vec<String> = graph.output.iter().map(problem).collect();
            let expected = names.join(" or ");
            Err(format!("{}: no output is {expected}", problems.join(", ")))
        }
        (None, fitting) => {
            let names: Vec<String> = fitting.iter().map(|it| format!("`{}`", it.name)).collect();
            let expected = names_of(wanted).join(" or ");
            Err(format!("which of {} is {expected}", names.join(", ")))
        }
    }
}

/// Why an output is not what is looked for.
fn misfit(output: &ValueInfoProto, found: Option<usize>, rank: usize) -> String {
    let name = &output.name;
    if let Some(found) = found.filter(|found| *found != rank) {
        return format!("output `{name}` has rank {found}, expected {rank}");
    }
    let holds = match meaning(name) {
        Some(Meaning::TokenVectors) => "hidden states",
        Some(Meaning::TextVector) => "a vector of the text",
        Some(Meaning::Pooler) => "what a pooler makes of the first token",
        Some(Meaning::Logits) => "logits",
        None => "something else",
    };
    format!("output `{name}` holds {holds}")
}

/// How to get a graph that has it, or which task this one is for.
fn remedy(graph: &GraphProto, model: &Model) -> String {
    let has = |wanted| {
        let mut outputs = graph.output.iter();
        outputs.any(|output| meaning(&output.name) == Some(wanted))
    };
    let export = match model.task {
        Task::SequenceClassification => "text-classification",
        Task::TokenClassification => "token-classification",
        Task::FillMask | Task::SparseEmbedding => "fill-mask",
        Task::SentenceEmbedding | Task::Embedding | Task::LateInteraction => "feature-extraction",
    };
    let export = format!("export it with `optimum-cli export onnx --task {export}`");
    let embeds = matches!(
        model.task,
        Task::Embedding | Task::SentenceEmbedding | Task::LateInteraction
    );
    if model.task == Task::Embedding && has_output(&graph.output, SENTENCE_VECTOR) {
        return format!("say --task sentence_embedding for its output `{SENTENCE_VECTOR}`");
    }
    if !embeds && has(Meaning::TokenVectors) {
        return format!("{export}, or say --task embedding or --task sentence_embedding");
    }
    export
}

/// Holds the width of the chosen output against the config. `rows` are those of
/// the token embedding. That classifiers have one logit for each label is
/// checked with the labels.
pub(super) fn check_width(
    path: &Path,
    output: &Output,
    model: &Model,
    rows: Option<u32>,
) -> Result<(), BuildError> {
    let Output { name, width, .. } = output;
    let vocabulary = [rows, model.vocabulary_size];
    let is_vocabulary = vocabulary.contains(&Some(*width));
    let sizes = vocabulary.iter().flatten().max();
    let problem = match model.task {
        Task::FillMask | Task::SparseEmbedding if !is_vocabulary => match sizes {
            Some(size) => format!(
                "output `{name}` has {width} values a token, and the vocabulary {size} entries: no logits for {}",
                model.task.name()
            ),
            // Nothing says how many there are; the name does that they are logits.
            None if meaning(name) == Some(Meaning::Logits) => return Ok(()),
            None => format!("output `{name}` has {width} values a token, which need not be logits"),
        },
        Task::Embedding | Task::SentenceEmbedding
            if is_vocabulary && model.hidden_size.is_some_and(|it| it != *width) =>
        {
            format!(
                "output `{name}` has one value for each of the vocabulary's {width} entries: logits, no vectors"
            )
        }
        _ => return Ok(()),
    };
    let export = match model.task {
        Task::FillMask | Task::SparseEmbedding => "fill-mask",
        _ => "feature-extraction",
    };
    Err(BuildError::Output {
        path: path.to_owned(),
        problem,
        remedy: format!("export it with `optimum-cli export onnx --task {export}`"),
    })
}
