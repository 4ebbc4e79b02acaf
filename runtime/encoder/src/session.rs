//! An item on its way to its result, one sequence after another.

use crate::encoder::Encoder;
use crate::error::{Bug, Error, OptionsError};
use crate::finite;
use crate::heads::{Item, Part};
use crate::options::{Input, Options};
use crate::output::{Prediction, TokenUsage};
use crate::shared::{Computed, SharedOptions};
use crate::tokenizer::Tokens;
use encoderfile_graph::{BATCH_TOKENS, Run, Sequence};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A tokenised text or pair with what its sequences gave so far.
///
/// Most texts are one sequence. Zero-shot classification has one a label, and
/// a long text may be read in windows; whoever runs many texts can turn to
/// others between two steps.
pub struct Work {
    options: Arc<SharedOptions>,
    item: Item,
    /// Of each sequence that has been computed.
    parts: Vec<Part>,
    usage: Option<TokenUsage>,
    computed: usize,
}

impl Work {
    /// How many tokens have been computed for it so far. A sequence that the items of a
    /// request share counts for the one whose turn it was.
    pub fn computed(&self) -> usize {
        self.computed
    }

    /// How many tokens the sequences have that are still to be computed.
    pub fn remaining(&self) -> usize {
        self.sequences().iter().map(|it| it.ids.len()).sum()
    }

    /// Those that are still to be computed.
    fn sequences(&self) -> &[Tokens] {
        &self.item.sequences[self.parts.len()..]
    }
}

impl Encoder {
    /// Tokenises a text or pair and refuses what cannot be computed.
    ///
    /// # Errors
    /// [`Error::Request`] for options and items that the model does not take, and texts that
    /// cannot be tokenised or do not fit.
    pub fn prepare(&self, input: Input<'_>, options: &Arc<SharedOptions>) -> Result<Work, Error> {
        // While it is tokenised its thread is not free for another text.
        let _text = self.graph.enter();
        self.check(options.options())?;
        self.check_form(input)?;
        let item = self.head.item(self.processor(), input, options.options())?;
        for tokens in &item.sequences {
            self.processor().check_ids(tokens)?;
        }
        Ok(Work {
            options: options.clone(),
            parts: Vec::with_capacity(item.sequences.len()),
            usage: usage(&item),
            computed: 0,
            item,
        })
    }

    fn check_form(&self, input: Input<'_>) -> Result<(), OptionsError> {
        let (form, applies) = match input {
            Input::Text(_) => return Ok(()),
            Input::Pair(..) => ("text_pair", self.head.takes_pairs()),
            Input::Ids(_) => ("token ids", self.head.takes_ids()),
        };
        if applies {
            return Ok(());
        }
        Err(OptionsError::Inapplicable {
            option: form,
            task: self.task.name(),
        })
    }
}

/// How much was used of a text, where that was not all of it or not at once.
fn usage(item: &Item) -> Option<TokenUsage> {
    let sequences = &item.sequences;
    if item.is_windows {
        let first = sequences.first().filter(|_| sequences.len() > 1);
        return first.map(|first| TokenUsage {
            tokens_total: first.total,
            tokens_used: first.total,
            windows: Some(sequences.len()),
        });
    }
    let cut = sequences.iter().filter(|it| it.total > it.ids.len());
    let usages = cut.map(|tokens| TokenUsage {
        tokens_total: tokens.total,
        tokens_used: tokens.ids.len(),
        windows: None,
    });
    usages.max()
}

/// One thread's use of an [`Encoder`].
pub struct Session<'a> {
    pub(crate) encoder: &'a Encoder,
    pub(crate) run: Run<'a>,
}

impl Session<'_> {
    /// The result for one text or pair.
    ///
    /// # Errors
    /// As [`Encoder::prepare`] and [`Session::step`].
    pub fn infer<'t>(
        &mut self,
        input: impl Into<Input<'t>>,
        options: &Options,
    ) -> Result<Prediction, Error> {
        self.infer_with(input.into(), &Arc::new(options.clone().into()))
    }

    /// As [`Session::infer`], for one of many texts with the same options.
    ///
    /// # Errors
    /// The same.
    pub fn infer_with(
        &mut self,
        input: Input<'_>,
        options: &Arc<SharedOptions>,
    ) -> Result<Prediction, Error> {
        let work = self.encoder.prepare(input, options)?;
        let result = self.finish(&mut [work]).pop();
        result.unwrap_or(Err(Bug::NoSequence.into()))
    }

    /// The result of each item, in their order, computed beside each other.
    ///
    /// # Errors
    /// Of an item, as of [`Session::step`].
    pub fn finish(&mut self, works: &mut [Work]) -> Vec<Result<Prediction, Error>> {
        let mut results: Vec<_> = works.iter().map(|_| None).collect();
        loop {
            let unfinished = works.iter_mut().enumerate();
            let unfinished = unfinished.filter(|(place, _)| results[*place].is_none());
            let (places, mut unfinished): (Vec<_>, Vec<_>) = unfinished.unzip();
            if places.is_empty() {
                return results.into_iter().flatten().collect();
            }
            for (place, result) in places.into_iter().zip(self.step(&mut unfinished)) {
                results[place] = result.transpose();
            }
        }
    }

    /// Computes as many of the next sequences as are one pass over the weights: those that have
    /// [`BATCH_TOKENS`] in all, and at least one. Gives the result of each item of which the last was
    /// among them, and `None` of the others. Results do not depend on what is computed beside them.
    ///
    /// # Errors
    /// Of an item, whose result there is none of then: [`Error::Bug`] where the engine fails,
    /// [`Error::File`] where the graph gives another
    /// shape than the file says or a number is not finite, and [`Error::Request`] where the
    /// tokenizer cannot decode what the result quotes, and for a query that does not fit.
    pub fn step(&mut self, works: &mut [&mut Work]) -> Vec<Result<Option<Prediction>, Error>> {
        let shared: Vec<_> = works.iter_mut().map(|work| self.share(work)).collect();
        let ready = works.iter_mut().zip(&shared);
        let ready = ready.filter(|(_, shared)| shared.is_ok());
        let mut ready: Vec<&mut Work> = ready.map(|(work, _)| &mut **work).collect();
        let counts = pass(&ready);
        let sequences = ready.iter().zip(&counts);
        let sequences = sequences.flat_map(|(work, count)| &work.sequences()[..*count]);
        let mut outputs = self
            .evaluate_all(&sequences.collect::<Vec<_>>())
            .into_iter();
        let mut results = ready.iter_mut().zip(counts).map(|(work, count)| {
            let outputs = outputs.by_ref().take(count).collect();
            self.take(work, outputs)
        });
        let results = shared.into_iter().map(|shared| {
            shared?;
            results.next().unwrap_or(Err(Bug::NoSequence.into()))
        });
        results.collect()
    }

    /// Keeps what the next sequences gave; the result after the last.
    fn take(
        &self,
        work: &mut Work,
        outputs: Vec<Result<Vec<f32>, Error>>,
    ) -> Result<Option<Prediction>, Error> {
        let (head, processor) = (&self.encoder.head, self.encoder.processor());
        let options = Arc::clone(&work.options);
        for output in outputs {
            let Some(tokens) = work.item.sequences.get(work.parts.len()) else {
                return Err(Bug::NoSequence.into());
            };
            let part = head.reduce(processor, tokens, output?, &work.item, options.options())?;
            work.computed += tokens.ids.len();
            work.parts.push(part);
        }
        if !work.sequences().is_empty() {
            return Ok(None);
        }
        let mut parts = std::mem::take(&mut work.parts);
        let values = match parts.pop() {
            Some(Part::Values(values)) => Some(values),
            Some(last) => {
                parts.push(last);
                head.finish(&work.item, parts, options.options())
            }
            None => None,
        };
        let values = values.ok_or(Bug::NoSequence)?;
        finite::check_values(&values)?;
        Ok(Some(Prediction {
            values,
            usage: work.usage,
            tokens: work.computed,
        }))
    }

    /// Gives an item what it shares with the others of its request, which the first of them
    /// computes.
    fn share(&mut self, work: &mut Work) -> Result<(), Error> {
        let options = Arc::clone(&work.options);
        let shared = options.computed.get_or_init(|| {
            let shared = self.shared(options.options())?.map(Arc::new);
            let sequence = shared.as_ref().map(|it| it.sequence.ids.len());
            work.computed += sequence.unwrap_or(0);
            Ok(shared)
        });
        work.item
            .shared
            .clone_from(shared.as_ref().map_err(Clone::clone)?);
        Ok(())
    }

    fn shared(&mut self, options: &Options) -> Result<Option<Computed>, Error> {
        let processor = self.encoder.processor();
        let Some(sequence) = self.encoder.head.shared(processor, options)? else {
            return Ok(None);
        };
        processor.check_ids(&sequence)?;
        let part = self.part(&sequence, &Item::from(Vec::new()), options)?;
        Ok(Some(Computed { sequence, part }))
    }

    /// What is kept of a sequence.
    fn part(&mut self, tokens: &Tokens, item: &Item, options: &Options) -> Result<Part, Error> {
        let output = self.evaluate(tokens)?;
        let (head, processor) = (&self.encoder.head, self.encoder.processor());
        Ok(head.reduce(processor, tokens, output, item, options)?)
    }

    /// The tokens of a text and the task's plain numbers for it, special tokens
    /// included: what golden cases compare.
    ///
    /// The numbers are row-major. Token embeddings: `[tokens, hidden_size]`. Sentence
    /// embeddings: `[dimensions]`, as a request without options has it; of a hybrid model the
    /// weight of each token, `[tokens]`, and their vectors, `[tokens - 1, width]`, follow. Sequence
    /// classification: the logits, `[labels]`; token classification: `[tokens, labels]`.
    /// Fill-mask and sparse embeddings: of each token the first 64 vocabulary logits, or
    /// all where there are fewer, `[tokens, 64]`.
    ///
    /// # Errors
    /// As [`Session::infer`].
    pub fn raw(&mut self, text: &str) -> Result<(Tokens, Vec<f32>), Error> {
        let options = Options::default();
        let processor = self.encoder.processor();
        let tokens = self.encoder.tokenize(text.into(), &options)?;
        let output = self.evaluate(&tokens)?;
        let values = self.encoder.head.golden(processor, &tokens, output)?;
        if !self.encoder.head.masks_vocabulary() {
            finite::check_numbers(values.iter().copied())?;
        }
        Ok((tokens, values))
    }

    /// Computes the graph for a text, and names each of its operators to `after`
    /// when it is done, for whoever looks where the time goes.
    ///
    /// # Errors
    /// As [`Session::infer`].
    pub fn operators(&mut self, text: &str, after: impl FnMut(&str) + Send) -> Result<(), Error> {
        let tokens = self.encoder.tokenize(text.into(), &Options::default())?;
        self.run.evaluate_observed(sequence(&tokens), after)?;
        Ok(())
    }

    /// Computes the graph for a text, and shows `before` what is to be multiplied by each
    /// matrix that is stored outside the graph, until it has seen enough: the tensor's name, and
    /// rows of the matrix's depth, `[tokens, depth]`. For whoever chooses how they are quantised.
    ///
    /// # Errors
    /// As [`Session::infer`].
    pub fn products(
        &mut self,
        text: &str,
        before: impl FnMut(&str, &[f32]) -> ControlFlow<()> + Send,
    ) -> Result<(), Error> {
        let tokens = self.encoder.tokenize(text.into(), &Options::default())?;
        if !tokens.ids.is_empty() {
            self.run.evaluate_products(sequence(&tokens), before)?;
        }
        Ok(())
    }

    /// The graph's output for a sequence, row after row.
    fn evaluate(&mut self, tokens: &Tokens) -> Result<Vec<f32>, Error> {
        if tokens.ids.is_empty() {
            // A tokenizer without special tokens makes no token of an empty text.
            let output = &self.encoder.pipeline().output;
            let len = if output.per_token { 0 } else { output.width };
            return Ok(vec![0.0; len as usize]);
        }
        let output = self.run.evaluate(sequence(tokens))?;
        finite::check_output(&output, self.encoder)?;
        Ok(output)
    }

    /// The graph's output for each of some sequences.
    fn evaluate_all(&mut self, sequences: &[&Tokens]) -> Vec<Result<Vec<f32>, Error>> {
        let together = sequences.iter().filter(|tokens| !tokens.ids.is_empty());
        let together: Vec<_> = together.map(|tokens| sequence(tokens)).collect();
        let outputs = match together.len() {
            0 | 1 => None,
            // Each has an error of its own, if it has one.
            _ => self.run.evaluate_all(&together).ok(),
        };
        let Some(outputs) = outputs else {
            return sequences.iter().map(|it| self.evaluate(it)).collect();
        };
        let mut outputs = outputs.into_iter();
        let outputs = sequences.iter().map(|tokens| {
            let output = match tokens.ids.is_empty() {
                true => None,
                false => outputs.next(),
            };
            match output {
                Some(output) => {
                    finite::check_output(&output, self.encoder)?;
                    Ok(output)
                }
                None => self.evaluate(tokens),
            }
        });
        outputs.collect()
    }

    /// Computes the graph for a sequence of these tokens as they are, and makes
    /// nothing of it: whether the model holds that many.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub fn compute(&mut self, ids: &[u32]) -> Result<(), Error> {
        let output = self.run.evaluate(Sequence {
            ids,
            type_ids: &vec![0; ids.len()],
            hidden: 0,
        })?;
        Ok(finite::check_output(&output, self.encoder)?)
    }
}

/// How many of the next sequences of each item are one pass over the weights: the first, and those
/// that fit beside it.
fn pass(works: &[&mut Work]) -> Vec<usize> {
    let mut taken = 0;
    let counts = works.iter().map(|work| {
        let lengths = work.sequences().iter().map(|tokens| tokens.ids.len());
        let fitting = lengths.take_while(|length| {
            let fits = taken == 0 || taken + length <= BATCH_TOKENS;
            // A text without tokens is one to wait for too.
            taken += if fits { (*length).max(1) } else { 0 };
            fits
        });
        fitting.count()
    });
    counts.collect()
}

fn sequence(tokens: &Tokens) -> Sequence<'_> {
    Sequence {
        ids: &tokens.ids,
        type_ids: &tokens.type_ids,
        hidden: tokens.hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile_format::Payload;

    /// Without this every other test would pass, and short texts take as long as before.
    #[test]
    fn short_texts_are_one_pass_over_the_weights() {
        let model = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../models/all-MiniLM-L6-v2.ef"
        );
        let payload = Payload::open(Arc::new(std::fs::read(model).unwrap())).unwrap();
        let encoder = Encoder::load(&payload).unwrap();
        assert!(encoder.graph.is_batched());

        let options = Arc::new(SharedOptions::default());
        let counts = |lengths: &[usize]| {
            let texts = lengths.iter().map(|length| "word ".repeat(*length));
            let works = texts.map(|text| encoder.prepare(Input::Text(&text), &options).unwrap());
            let mut works: Vec<_> = works.collect();
            pass(&works.iter_mut().collect::<Vec<_>>())
        };
        // Each has two special tokens more.
        assert_eq!(counts(&[46, 46, 46, 1]), [1, 1, 1, 0]);
        assert_eq!(counts(&[46, 60, 100, 18]), [1, 1, 0, 1]);
        assert_eq!(counts(&[200, 1]), [1, 0]);
        assert_eq!(counts(&[1, 200]), [1, 0]);
    }
}
