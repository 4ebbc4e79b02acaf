//! Logits of all entries of the vocabulary: by the table of the words, or by a matrix of the
//! head's own, as `tie_word_embeddings` in config.json says.

use super::network::{Emitted, Network};

/// The last product of a head that predicts masked words.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    /// The module of a matrix of its own.
    pub(super) own: &'a str,
    /// The table of the words, in the encoder.
    pub(super) words: &'a str,
    /// Its bias, which may have a copy in the module.
    pub(super) bias: Option<&'a str>,
    /// What the architecture does if `tie_word_embeddings` is not said.
    pub(super) tied: bool,
}

impl Network<'_> {
    /// Logits of `rows` entries: `[…, width]` → `[…, rows]`.
    pub(super) fn decode(
        &mut self,
        decoder: &Decoder<'_>,
        [width, rows]: [usize; 2],
        x: &str,
    ) -> Emitted {
        let matrix = self.decoding_matrix(decoder, [width, rows])?;
        self.emitter.enter(decoder.own);
        let product = self.emitter.node("MatMul", &[x, &matrix]);
        let Some(bias) = decoder.bias else {
            return Ok(product);
        };
        let bias = self.decoding_bias(bias, decoder, rows)?;
        Ok(self.add(&product, &bias))
    }

    fn decoding_matrix(&mut self, decoder: &Decoder<'_>, sizes: [usize; 2]) -> Emitted {
        let own = format!("{}.weight", decoder.own);
        if !self.settings.flag("tie_word_embeddings", decoder.tied)? {
            return self.matrix(&own, sizes);
        }
        let words = self.in_base(decoder.words);
        // Which of both transformers takes depends on its version.
        let why = "which `tie_word_embeddings` says it is; set that to false in config.json if \
                   the head has a matrix of its own";
        self.pass_over_copy(&own, &words, why)?;
        self.matrix(&words, sizes)
    }

    fn decoding_bias(&mut self, bias: &str, decoder: &Decoder<'_>, rows: usize) -> Emitted {
        let copy = format!("{}.bias", decoder.own);
        if copy == bias {
            return self.tensor(bias, &[rows]);
        }
        if self.has(&copy) && !self.has(bias) {
            return self.tensor(&copy, &[rows]);
        }
        self.pass_over_copy(&copy, bias, "and a head has one bias")?;
        self.tensor(bias, &[rows])
    }
}
