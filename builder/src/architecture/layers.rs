//! The layers that architectures are made of.

use super::network::{Emitted, Network};
use crate::error::BuildError;
use crate::graph::blocks::{Heads, attend, mix, normalise, root_mean_square, split};
use crate::graph::emit::{Emitter, int, ints};

/// What architectures call the number of heads in config.json.
const HEADS: [&str; 4] = ["num_attention_heads", "n_heads", "n_head", "num_heads"];

/// Attention over one hidden state.
pub(super) struct Attention<'a> {
    /// The names of the three products before it.
    pub(super) products: [String; 3],
    pub(super) width: usize,
    pub(super) heads: usize,
    /// What is added to the scores beside the mask: `[1, heads, tokens, tokens]`.
    pub(super) bias: Option<&'a str>,
}

impl Network<'_> {
    /// Rows of a table.
    pub(super) fn embedding(
        &mut self,
        path: &str,
        [rows, width]: [usize; 2],
        ids: &str,
    ) -> Emitted {
        let table = self.tensor(&format!("{path}.weight"), &[rows, width])?;
        self.emitter.enter(path);
        Ok(self.emitter.node("Gather", &[&table, ids]))
    }

    /// Rows of the segments' table by the ids that the tokenizer gives: `[batch, tokens, width]`.
    /// Where it gives none, or there is one row, the first, whatever is said of a pair: `[width]`.
    pub(super) fn segments(&mut self, sizes: [usize; 2]) -> Emitted {
        let path = "embeddings.token_type_embeddings";
        match sizes[0] {
            // There is no first row either.
            0 => Err(self.settings.refuse("type_vocab_size")),
            rows if self.has_segments && rows > 1 => {
                let ids = self.input("token_type_ids");
                self.embedding(path, sizes, &ids)
            }
            _ => self.first_row(path, sizes),
        }
    }

    /// The row that every token gets: `[width]`.
    pub(super) fn first_row(&mut self, path: &str, sizes: [usize; 2]) -> Emitted {
        let first = self.emitter.integer(0);
        self.embedding(path, sizes, &first)
    }

    /// `x · Wᵀ + b`: `[…, inputs]` → `[…, outputs]`.
    pub(super) fn linear(&mut self, path: &str, sizes: [usize; 2], x: &str) -> Emitted {
        let product = self.product(path, sizes, x)?;
        let bias = self.tensor(&format!("{path}.bias"), &sizes[1..])?;
        Ok(self.emitter.node("Add", &[&product, &bias]))
    }

    /// The same without a bias.
    pub(super) fn product(&mut self, path: &str, sizes: [usize; 2], x: &str) -> Emitted {
        let matrix = self.matrix(&format!("{path}.weight"), sizes)?;
        self.emitter.enter(path);
        Ok(self.emitter.node("MatMul", &[x, &matrix]))
    }

    /// `x · Wᵀ` for part `index` of `parts` matrices that are stored as one.
    pub(super) fn linear_part(
        &mut self,
        path: &str,
        sizes: [usize; 2],
        [index, parts]: [usize; 2],
        x: &str,
    ) -> Emitted {
        let matrix = self.part(&format!("{path}.weight"), sizes, [index, parts])?;
        self.emitter.enter(path);
        Ok(self.emitter.node("MatMul", &[x, &matrix]))
    }

    /// Adds the same part of their biases, `width` each.
    pub(super) fn add_part(
        &mut self,
        path: &str,
        width: usize,
        [index, parts]: [usize; 2],
        x: &str,
    ) -> Emitted {
        let bias = self.tensor(&format!("{path}.bias"), &[parts * width])?;
        let [start, end] = [index, index + 1].map(|it| i64::try_from(it * width).unwrap_or(0));
        let bias = self.emitter.slice(&bias, 0, start, end);
        Ok(self.add(x, &bias))
    }

    /// `1 / √size`.
    pub(super) fn scale(&mut self, size: usize) -> String {
        // Head sizes are a few hundred at most.
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let scale = 1.0 / (size as f32).sqrt();
        self.emitter.float(scale)
    }

    /// `x · Wᵀ`, with a bias where `biased` says so.
    pub(super) fn linear_if(
        &mut self,
        path: &str,
        sizes: [usize; 2],
        biased: bool,
        x: &str,
    ) -> Emitted {
        match biased {
            true => self.linear(path, sizes, x),
            false => self.product(path, sizes, x),
        }
    }

    /// Mean 0 and variance 1 over the last axis, scaled.
    pub(super) fn scale_norm(
        &mut self,
        path: &str,
        width: usize,
        epsilon: f32,
        x: &str,
    ) -> Emitted {
        self.normed(path, width, |emitter, scale, output| {
            normalise(emitter, x, scale, None, epsilon, output);
        })
    }

    /// Mean 0 and variance 1 over the last axis, scaled and shifted.
    pub(super) fn layer_norm(
        &mut self,
        path: &str,
        width: usize,
        epsilon: f32,
        x: &str,
    ) -> Emitted {
        let bias = self.tensor(&format!("{path}.bias"), &[width])?;
        self.normed(path, width, |emitter, scale, output| {
            normalise(emitter, x, scale, Some(&bias), epsilon, output);
        })
    }

    /// The values by their root mean square over the last axis, scaled.
    pub(super) fn root_mean_square(
        &mut self,
        path: &str,
        width: usize,
        epsilon: f32,
        x: &str,
    ) -> Emitted {
        self.normed(path, width, |emitter, scale, output| {
            root_mean_square(emitter, x, scale, epsilon, output);
        })
    }

    /// What `write` writes of the norm's scale, under a name of the norm's.
    fn normed(
        &mut self,
        path: &str,
        width: usize,
        write: impl FnOnce(&mut Emitter<'static>, &str, &str),
    ) -> Emitted {
        let scale = self.tensor(&format!("{path}.weight"), &[width])?;
        self.emitter.enter(path);
        let output = self.emitter.fresh("norm");
        write(&mut self.emitter, &scale, &output);
        Ok(output)
    }

    pub(super) fn add(&mut self, a: &str, b: &str) -> String {
        self.emitter.node("Add", &[a, b])
    }

    /// `softmax(Q · Kᵀ / √size + bias + mask) · V`: `[batch, tokens, width]`.
    pub(super) fn attention(&mut self, attention: &Attention<'_>, x: &str) -> Emitted {
        let Attention { width, heads, .. } = *attention;
        let size = self.head_size(width, heads)?;
        let mask = self.mask();
        let [query, key, value] = self.products(&attention.products, [width; 2], x)?;
        let bias = match attention.bias {
            Some(bias) => self.add(bias, &mask),
            None => mask,
        };
        let scale = self.scale(size);
        let output = self.emitter.fresh("attention");
        let heads = Heads {
            query: &query,
            key: &key,
            value: &value,
            count: i64::try_from(heads).unwrap_or(i64::MAX),
            scale,
            bias: Some(&bias),
        };
        attend(&mut self.emitter, &heads, &output);
        Ok(output)
    }

    /// Query, key and value.
    pub(super) fn products(
        &mut self,
        paths: &[String; 3],
        sizes: [usize; 2],
        x: &str,
    ) -> Result<[String; 3], BuildError> {
        let [query, key, value] = paths;
        Ok([
            self.linear(query, sizes, x)?,
            self.linear(key, sizes, x)?,
            self.linear(value, sizes, x)?,
        ])
    }

    /// `softmax(Q · Kᵀ / √size + bias) · V`, of `[batch, heads, tokens, size]`: `[batch, tokens,
    /// heads · size]`.
    pub(super) fn attend(
        &mut self,
        [query, key, value]: [&str; 3],
        size: usize,
        bias: &str,
    ) -> String {
        let scale = self.scale(size);
        self.attend_scaled([query, key, value], &scale, bias)
    }

    /// The same with a factor in place of `1 / √size`.
    pub(super) fn attend_scaled(
        &mut self,
        [query, key, value]: [&str; 3],
        scale: &str,
        bias: &str,
    ) -> String {
        let emitter = &mut self.emitter;
        let query = emitter.node("Mul", &[query, scale]);
        let swap = vec![ints("perm", &[0, 1, 3, 2])];
        let key = emitter.node_with("Transpose", &[key], swap);
        let scores = emitter.node("MatMul", &[&query, &key]);
        let scores = emitter.node("Add", &[&scores, bias]);
        let output = emitter.fresh("attention");
        mix(emitter, &scores, value, &output);
        output
    }

    /// `[batch, tokens, heads · size]` as `[batch, heads, tokens, size]`.
    pub(super) fn split(&mut self, x: &str, heads: usize) -> String {
        let count = i64::try_from(heads).unwrap_or(i64::MAX);
        split(&mut self.emitter, x, count, &[0, 2, 1, 3])
    }

    /// Each head `times` times, of `[batch, heads, tokens, size]`.
    pub(super) fn repeat_heads(&mut self, x: &str, heads: usize, times: usize) -> String {
        if times == 1 {
            return x.to_owned();
        }
        let ids = (0..heads).flat_map(|head| std::iter::repeat_n(head, times));
        let ids: Vec<i64> = ids.filter_map(|head| i64::try_from(head).ok()).collect();
        let ids = self.emitter.integers(&ids);
        let along = vec![int("axis", 1)];
        self.emitter.node_with("Gather", &[x, &ids], along)
    }

    /// Values of a head, of which there must be whole ones.
    pub(super) fn head_size(&self, width: usize, heads: usize) -> Result<usize, BuildError> {
        match width.is_multiple_of(heads) {
            true => Ok(width / heads),
            false => {
                let key = HEADS.into_iter().find(|key| self.settings.has(key));
                Err(self.settings.refuse(key.unwrap_or("num_attention_heads")))
            }
        }
    }
}
