//! A model that a program holds: opened, checked, and ready for any thread.

use crate::panics::guarded;
use crate::{
    Encoder, Error, Executor, FileError, Info, Item, Options, OptionsError, Payload, Prediction,
    Source, Values, golden, parallel,
};
use encoderfile_encoder::output::{Ranked, Tokenized, rank};
use encoderfile_encoder::pooling::similarity;
use encoderfile_format::manifest::Task;
use std::convert::Infallible;
#[cfg(not(target_os = "unknown"))]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// One encoder model: texts in, vectors, labels or scores out.
///
/// It is shared by any number of threads, and a clone is the same model. No method
/// panics: what a library does wrong is [`Error::Bug`].
///
/// ```
/// use encoderfile::{Executor, Model, Options, Values};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");
/// let model = Model::open_with(path, Executor::OneThread)?;
/// let prediction = model.infer("How do I reset my password?", &Options::default())?;
/// let Values::SentenceEmbedding { embedding } = prediction.values else {
///     panic!("this model gives one vector a text");
/// };
/// assert_eq!(embedding.len(), 384);
/// # Ok::<(), encoderfile::Error>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Opened>);

struct Opened {
    payload: Payload,
    encoder: Arc<Encoder>,
    info: Info,
    executor: Executor,
}

impl Model {
    /// Opens an encoderfile of any kind (native, wasm, or a payload alone) with all
    /// cores.
    ///
    /// Natively the file is mapped, and what nobody asks for stays on disk; under WASI
    /// it is read. Whoever changes the file while it is open gets wrong numbers, or SIGBUS
    /// where it is shortened.
    ///
    /// # Errors
    /// [`Error::File`] for a file that is not there, is no encoderfile, does not match its
    /// hashes, or holds a model that cannot be served: [`FileError::In`], with the path, of what
    /// [`Model::from_source`] says, but for one that cannot be opened ([`FileError::Open`]).
    /// [`Error::Bug`] for a panic of a library over it.
    #[cfg(not(target_os = "unknown"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Executor::AllCores)
    }

    /// As [`Model::open`], on the threads that are said.
    ///
    /// # Errors
    /// The same.
    #[cfg(not(target_os = "unknown"))]
    pub fn open_with(path: impl AsRef<Path>, executor: Executor) -> Result<Self, Error> {
        let path = path.as_ref();
        let model = Self::from_source(crate::file::open(path)?, executor);
        model.map_err(|error| error.in_file(path.display()))
    }

    /// A model in memory.
    ///
    /// # Errors
    /// As [`Model::open`].
    ///
    /// ```
    /// use encoderfile::{Error, Executor, FileError, Model};
    ///
    /// let model = Model::from_bytes(*b"no encoderfile", Executor::OneThread);
    /// assert!(matches!(model, Err(Error::File(FileError::Container(_)))));
    /// ```
    pub fn from_bytes(bytes: impl Into<Vec<u8>>, executor: Executor) -> Result<Self, Error> {
        Self::from_source(Arc::new(bytes.into()), executor)
    }

    /// A model anywhere that bytes can be read from at an offset. Tables that rows are
    /// looked up in are read while texts are computed, so the source stays in use.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_source(source: Arc<dyn Source>, executor: Executor) -> Result<Self, Error> {
        let payload = guarded(|| Payload::open(source).map_err(Error::from))?;
        Self::from_payload(payload, executor)
    }

    /// The model of an opened payload.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_payload(payload: Payload, executor: Executor) -> Result<Self, Error> {
        let encoder = load(&payload, executor)?;
        Self::of(payload, encoder, executor)
    }

    /// As [`Model::from_payload`], without the hash of the weights: for a host that makes many
    /// instances of a program that brings its own payload, and has to trust both alike. The hashes
    /// of tokenizer and graph are checked.
    ///
    /// # Errors
    /// As [`Model::open`], but for other weights than those that were written.
    pub fn from_trusted_payload(payload: Payload, executor: Executor) -> Result<Self, Error> {
        let encoder = guarded(|| Encoder::load(&payload))?;
        Self::of(payload, encoder, executor)
    }

    fn of(payload: Payload, encoder: Encoder, executor: Executor) -> Result<Self, Error> {
        let encoder = Arc::new(encoder);
        encoder.use_cores(executor.threads());
        Ok(Self(Arc::new(Opened {
            info: Info::of(&payload)?,
            payload,
            encoder,
            executor,
        })))
    }

    /// What the file says of its model: task, limits, labels, licence, ids and sizes.
    ///
    /// ```
    /// # use encoderfile::{Executor, Model};
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");
    /// # let model = Model::open_with(path, Executor::OneThread)?;
    /// assert_eq!(model.info().task, "sentence_embedding");
    /// assert_eq!(model.info().max_tokens, 256);
    /// # Ok::<(), encoderfile::Error>(())
    /// ```
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// How many values the embedding of a text has, where a request asks for no other
    /// [`Options::dimensions`]; `None` for a model that gives no one vector a text.
    pub fn dimensions(&self) -> Option<usize> {
        let (task, pipeline) = (self.0.encoder.task(), self.0.encoder.pipeline());
        (task == Task::SentenceEmbedding).then(|| match pipeline.dimensions {
            0 => pipeline.embedding_width(),
            dimensions => dimensions as usize,
        })
    }

    /// The model itself, for whoever runs sequences one by one.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.0.encoder
    }

    /// Refuses options that this model cannot serve, whatever the text is.
    ///
    /// # Errors
    /// [`Error::Request`] for options of another task and values that make no sense.
    pub fn check(&self, options: &Options) -> Result<(), Error> {
        self.0.encoder.check(options)
    }

    /// The result for a text, a pair or token ids, computed by all threads together
    /// where that is faster.
    ///
    /// # Errors
    /// [`Error::Request`] for a text or options that the model does not take;
    /// [`Error::File`] where the graph gives numbers that are not finite
    /// ([`FileError::NotFinite`]) or another shape than the file says; [`Error::Bug`] where
    /// the inference engine fails over a text, or a library panics.
    pub fn infer(&self, item: impl Into<Item>, options: &Options) -> Result<Prediction, Error> {
        let item = item.into();
        guarded(|| self.0.encoder.session()?.infer(item.input(), options))
    }

    /// The result for each of many, in their order; one that fails fails alone.
    ///
    /// Each thread computes another text, or several short ones beside each other. An error in the list is what [`Model::infer`]
    /// gives for that item.
    ///
    /// ```
    /// # use encoderfile::{Executor, Model, Options};
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");
    /// # let model = Model::open_with(path, Executor::OneThread)?;
    /// let results = model.infer_all(["red", "green"], &Options::default());
    /// let results: Vec<_> = results.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(results.len(), 2);
    /// # Ok::<(), encoderfile::Error>(())
    /// ```
    pub fn infer_all<T: Into<Item>>(
        &self,
        items: impl IntoIterator<Item = T>,
        options: &Options,
    ) -> Vec<Result<Prediction, Error>> {
        let items: Vec<Item> = items.into_iter().map(Into::into).collect();
        let mut results = Vec::with_capacity(items.len());
        let items = items.into_iter().map(Ok::<_, Infallible>);
        let Ok(()) = self.infer_each(items, options, |_, result| {
            results.push(result);
            Ok(())
        });
        results
    }

    /// As [`Model::infer_all`] for items that come one after another, and results that
    /// are taken one after another: `emit` has each with its index, in order.
    ///
    /// Items are read on another thread, at most 32 ahead for each thread, and at most 64
    /// for each thread are computed beyond the next result that `emit` takes; so the memory
    /// that this takes does not depend on how many items there are. With
    /// [`Executor::OneThread`], those that the iterator's `size_hint` is sure of may be read before
    /// results of the ones before them.
    ///
    /// # Errors
    /// The first of the iterator's or of `emit`'s own, which ends it.
    pub fn infer_each<I, E>(
        &self,
        items: I,
        options: &Options,
        mut emit: impl FnMut(usize, Result<Prediction, Error>) -> Result<(), E>,
    ) -> Result<(), E>
    where
        I: IntoIterator<Item = Result<Item, E>, IntoIter: Send + 'static>,
        E: Send + 'static,
    {
        let items = items.into_iter().enumerate();
        let numbered = items.map(|(index, item)| item.map(|item| (index, Some(item))));
        self.infer_tagged(numbered, options, |index, result| match result {
            Some(result) => emit(index, result),
            None => Ok(()),
        })
    }

    /// As [`Model::infer_each`] for items that something goes along with: `emit` has it beside the
    /// result, in order. Where there is no item, nothing is computed, and there is no result.
    ///
    /// # Errors
    /// The first of the iterator's or of `emit`'s own, which ends it.
    pub fn infer_tagged<T, I, E>(
        &self,
        items: I,
        options: &Options,
        mut emit: impl FnMut(T, Option<Result<Prediction, Error>>) -> Result<(), E>,
    ) -> Result<(), E>
    where
        T: Send + 'static,
        I: IntoIterator<Item = Result<(T, Option<Item>), E>, IntoIter: Send + 'static>,
        E: Send + 'static,
    {
        let emit = |(tag, result)| emit(tag, result);
        let options = Arc::new(options.clone().into());
        let Opened {
            encoder, executor, ..
        } = &*self.0;
        parallel::run(encoder, items.into_iter(), &options, *executor, emit)
    }

    /// The texts as answers to a query, best first, and no more than
    /// [`Options::top_k`]; those that score the same stay in their order.
    ///
    /// # Errors
    /// [`Error::Request`] for a model that is neither a cross-encoder with one logit nor one
    /// of late interaction or with several kinds of vectors, and the error of the first text that fails, as of [`Model::infer`].
    pub fn rank<T: Into<Item>>(
        &self,
        query: &str,
        texts: impl IntoIterator<Item = T>,
        options: &Options,
    ) -> Result<Vec<Ranked>, Error> {
        let options = Options {
            query: Some(query.to_owned()),
            ..options.clone()
        };
        self.check(&options)?;
        let results = self.infer_all(texts, &options).into_iter();
        let predictions = results.collect::<Result<Vec<_>, _>>()?;
        Ok(rank(&predictions, options.top_k))
    }

    /// The similarity score of each text to `source`, in the order of the texts, by the
    /// function that the model is made for ([`Info::similarity`]).
    ///
    /// More is more alike. A cosine is from -1 to 1, a dot product of any size; the
    /// Euclidean and the Manhattan distance are negated, so 0 at most.
    ///
    /// ```
    /// # use encoderfile::{Executor, Model, Options};
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");
    /// # let model = Model::open_with(path, Executor::OneThread)?;
    /// let texts = ["a cat sleeps", "interest rates rose"];
    /// let alike = model.similarity("a kitten naps", texts, &Options::default())?;
    /// assert!(alike[0] > 0.5 && alike[1] < 0.2, "{alike:?}");
    /// # Ok::<(), encoderfile::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Request`] for a model that gives no sentence embeddings; the error of the
    /// first text that fails, as of [`Model::infer`]; [`FileError::NotFinite`] where a score
    /// is beyond the range of float32.
    pub fn similarity<T: Into<Item>>(
        &self,
        source: impl Into<Item>,
        texts: impl IntoIterator<Item = T>,
        options: &Options,
    ) -> Result<Vec<f32>, Error> {
        let items = std::iter::once(source.into()).chain(texts.into_iter().map(Into::into));
        let results = self.infer_all(items, options).into_iter();
        let vectors = results.map(|result| match result?.values {
            Values::SentenceEmbedding { embedding } => Ok(embedding),
            _ => Err(OptionsError::Inapplicable {
                option: "similarity",
                task: self.info().task,
            }
            .into()),
        });
        let vectors = vectors.collect::<Result<Vec<_>, Error>>()?;
        let function = self.0.encoder.pipeline().similarity;
        let Some((source, others)) = vectors.split_first() else {
            return Ok(Vec::new());
        };
        let alike = others.iter().map(|it| {
            let alike = similarity(source, it, function);
            alike.is_finite().then_some(alike).ok_or_else(|| {
                let place = "a similarity".into();
                let found = if alike.is_nan() { "NaN" } else { "infinity" };
                FileError::NotFinite { found, place }.into()
            })
        });
        alike.collect()
    }

    /// The tokens of a text or pair as the model sees them: prompt and special tokens
    /// included, truncated to the limit.
    ///
    /// # Errors
    /// [`Error::Request`] for a text that cannot be tokenised or does not fit;
    /// [`Error::Bug`] for a panic of the tokenizer.
    pub fn tokenize(&self, item: impl Into<Item>, options: &Options) -> Result<Tokenized, Error> {
        let item = item.into();
        let tokens = guarded(|| self.0.encoder.tokenize(item.input(), options))?;
        Ok(Tokenized::from(tokens))
    }

    /// Recomputes the results that were stored when the file was built.
    ///
    /// # Errors
    /// [`Error::File`] where they cannot be read, and the error of a text that fails, as of
    /// [`Model::infer`]. Numbers that differ are no error: they are in the
    /// [report](golden::Report).
    pub fn self_test(&self) -> Result<golden::Report, Error> {
        guarded(|| golden::self_test(&self.0.payload, &self.0.encoder))
    }
}

/// Loads the model of a payload while other threads read the tokenizer, and check
/// every artifact against its hash. With one thread the check comes first.
///
/// # Errors
/// As [`Model::open`].
pub fn load(payload: &Payload, executor: Executor) -> Result<Encoder, Error> {
    guarded(|| {
        if executor.threads() == 1 {
            payload.verify()?;
            return Encoder::load(payload);
        }
        let verify = || payload.verify_with(&executor);
        let (verified, encoder) = executor.join(verify, || {
            Encoder::load_with(payload, |tokenizer, graph| {
                let tokenizer = Mutex::new(tokenizer);
                let tokenizer = || tokenizer.lock().unwrap_or_else(PoisonError::into_inner)();
                executor.join(tokenizer, graph);
            })
        });
        verified?;
        encoder
    })
}

#[cfg(test)]
mod tests;
