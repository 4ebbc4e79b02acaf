//! Requests that a model cannot serve: refused by the name of the option,
//! before anything is computed.

use anyhow::Context;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;

/// Each of `requests` is refused by the model with one line that contains its words.
fn refused(model: &str, requests: &[(&[&str], &[&str])]) -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.build(model, &[], "model")?;
    for (arguments, words) in requests {
        let arguments = [&["infer", "-o", "out"], *arguments].concat();
        let finished = process::finish(&mut workbench.program(&program, &arguments))?;
        finished
            .refused(words)
            .with_context(|| format!("{model}: {arguments:?}"))?;
    }
    let names = workbench.names()?;
    anyhow::ensure!(names == ["model"], "left behind: {names:?}");
    Ok(())
}

#[test]
fn options_of_other_tasks() -> anyhow::Result<()> {
    refused(
        "st-prompts",
        &[
            (&["x", "--stride", "4"], &["`stride`", "sentence_embedding"]),
            (&["x", "--aggregation", "simple"], &["`aggregation`"]),
            (&["x", "--special-tokens"], &["`special_tokens`"]),
            (&["x", "--query", "q"], &["`query`"]),
            (&["x", "--labels", "a,b"], &["`labels`"]),
            (&["x", "--top-k", "3"], &["`top_k`"]),
            (&["x", "--targets", "a"], &["`targets`"]),
            (&["x", "--raw-scores"], &["`raw_scores`"]),
            (&["x", "--truncation", "only_first"], &["`truncation`"]),
            (
                &["x", "--pair", "y"],
                &["`text_pair`", "sentence_embedding"],
            ),
        ],
    )?;
    refused(
        "bert-token_classification",
        &[
            (
                &["x", "--long", "mean"],
                &["`long=mean`", "token_classification"],
            ),
            (&["x", "--normalize", "true"], &["`normalize`"]),
            (&["x", "--dimensions", "3"], &["`dimensions`"]),
            (&["x", "--prompt", "p"], &["`prompt`"]),
            (&["x", "--prompt-name", "p"], &["`prompt_name`"]),
            (&["x", "--role", "query"], &["`role`"]),
        ],
    )
}

#[test]
fn options_that_do_not_go_together() -> anyhow::Result<()> {
    refused(
        "st-prompts",
        &[
            (
                &["x", "--prompt", "p", "--role", "query"],
                &["one of `prompt`, `prompt_name` and `role`"],
            ),
            (
                &["x", "--prompt-name", "title"],
                &["no prompt named `title`", "document, query"],
            ),
            (
                &["x", "--dimensions", "0"],
                &["`dimensions` is 0", "1 to 32"],
            ),
            (
                &["x", "--dimensions", "33"],
                &["`dimensions` is 33", "1 to 32"],
            ),
            (
                &["x", "--long", "mean", "--prompt", LONG],
                &["the prompt takes", "at most 48"],
            ),
        ],
    )?;
    refused(
        "bert-token_classification",
        &[
            (
                &["x", "--stride", "4"],
                &["`stride` needs an `aggregation`"],
            ),
            (
                &["x", "--stride", "4", "--aggregation", "none"],
                &["`stride` needs an `aggregation`"],
            ),
            (
                &["x", "--stride", "62", "--aggregation", "max"],
                &["`stride` is 62", "62 tokens"],
            ),
            (
                &["x", "--ignore-labels", "O"],
                &["`ignore_labels` needs an `aggregation`"],
            ),
            (
                &["x", "--special-tokens", "--aggregation", "max"],
                &["`special_tokens` does not apply to spans"],
            ),
            (
                &[
                    "x",
                    "--long",
                    "error",
                    "--stride",
                    "4",
                    "--aggregation",
                    "max",
                ],
                &["one of `stride` and `long=error`"],
            ),
        ],
    )
}

#[test]
fn classification_by_labels_and_queries() -> anyhow::Result<()> {
    refused(
        "bert-sequence_classification",
        &[
            (&["x", "--labels", "a"], &["natural language inference"]),
            (&["x", "--query", "q"], &["one logit, this one has"]),
        ],
    )?;
    refused(
        "cls-pair-nli",
        &[
            (
                &["x", "--template", "A {}."],
                &["`template` needs `labels`"],
            ),
            (&["x", "--multi-label"], &["`multi_label` needs `labels`"]),
            (&["x", "--labels", " ,"], &["`labels` is empty"]),
            (
                &["x", "--labels", "a", "--template", "No place."],
                &["exactly one `{}`"],
            ),
            (
                &["x", "--labels", "a", "--pair", "y"],
                &["give texts alone"],
            ),
            (
                &["x", "--labels", LONG],
                &["`only_first` leaves nothing to cut", "64"],
            ),
        ],
    )?;
    refused(
        "cls-pair-rerank",
        &[
            (&["x", "--query", "q", "--top-k", "0"], &["`top_k` is 0"]),
            (
                &["x", "--query", "q", "--labels", "a"],
                &["natural language inference"],
            ),
            (
                &["x", "y", "--pair", "a", "--pair", "b", "--pair", "c"],
                &["2 texts and 3 times --pair"],
            ),
        ],
    )
}

/// More than any fixture takes.
const LONG: &str = "one two three four five six seven eight nine ten eleven twelve \
    one two three four five six seven eight nine ten eleven twelve \
    one two three four five six seven eight nine ten eleven twelve \
    one two three four five six seven eight nine ten eleven twelve \
    one two three four five six seven eight nine ten eleven twelve \
    one two three four five six seven eight nine ten eleven twelve";
