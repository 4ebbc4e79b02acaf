//! `SqueezeBERT`: BERT whose products are convolutions of one token, in groups.

use super::bert::{Sizes, classify_pooled, classify_tokens, embed, predict};
use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::graph::blocks::mix;
use crate::graph::emit::{int, ints};

pub(super) const SQUEEZEBERT: Architecture = Architecture {
    model_type: "squeezebert",
    code: Code::None,
    bases: &["transformer"],
    encode,
    classify: classify_pooled,
    classify_tokens,
    predict,
    unused: super::bert::UNUSED,
};

/// Of the layers' norms, whatever `layer_norm_eps` says; the embeddings' and the head's read it.
const EPSILON: f32 = 1e-12;

/// How many groups each product has.
struct Groups {
    products: [usize; 3],
    after: usize,
    intermediate: usize,
    output: usize,
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(settings)?;
    let width = settings.size_or("embedding_size", sizes.width)?;
    if width != sizes.width {
        return Err(settings.refuse("embedding_size"));
    }
    let groups = Groups {
        products: [
            settings.size_or("q_groups", 4)?,
            settings.size_or("k_groups", 4)?,
            settings.size_or("v_groups", 4)?,
        ],
        after: settings.size_or("post_attention_groups", 1)?,
        intermediate: settings.size_or("intermediate_groups", 4)?,
        output: settings.size_or("output_groups", 4)?,
    };
    let x = embed(network, &sizes, width)?;
    let mut x = network.layer_norm("embeddings.LayerNorm", width, sizes.epsilon, &x)?;
    for index in 0..sizes.layers {
        x = layer(
            network,
            &format!("encoder.layers.{index}"),
            &sizes,
            &groups,
            &x,
        )?;
    }
    Ok(x)
}

fn layer(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    groups: &Groups,
    x: &str,
) -> Emitted {
    let [width, inner] = [sizes.width, sizes.inner];
    let channels = network.turned(x);
    let attended = attend(network, path, sizes, groups, &channels)?;
    let attended = network.turned(&attended);
    let after = format!("{path}.post_attention");
    let conv = format!("{after}.conv1d");
    let after_conv = network.grouped(&conv, [width; 2], groups.after, &attended)?;
    let after_conv = network.turned(&after_conv);
    let sum = network.add(&after_conv, x);
    let norm = format!("{after}.layernorm");
    let x = network.layer_norm(&norm, width, EPSILON, &sum)?;
    let channels = network.turned(&x);
    let conv = format!("{path}.intermediate.conv1d");
    let fed = network.grouped(&conv, [width, inner], groups.intermediate, &channels)?;
    let fed = network.activation("hidden_act", "gelu", &fed)?;
    let conv = format!("{path}.output.conv1d");
    let fed = network.grouped(&conv, [inner, width], groups.output, &fed)?;
    let fed = network.turned(&fed);
    let sum = network.add(&fed, &x);
    network.layer_norm(&format!("{path}.output.layernorm"), width, EPSILON, &sum)
}

/// `[batch, channels, tokens]` → `[batch, tokens, channels]`.
fn attend(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    groups: &Groups,
    x: &str,
) -> Emitted {
    let Sizes { width, heads, .. } = *sizes;
    let size = network.head_size(width, heads)?;
    let mut parts = Vec::new();
    for (name, groups) in ["query", "key", "value"].into_iter().zip(groups.products) {
        let conv = format!("{path}.attention.{name}");
        parts.push(network.grouped(&conv, [width; 2], groups, x)?);
    }
    let mask = network.mask();
    let scale = network.scale(size);
    let [count, size] = [heads, size].map(|it| i64::try_from(it).unwrap_or(0));
    let emitter = &mut network.emitter;
    let shape = emitter.integers(&[0, count, size, -1]);
    let mut parts = parts
        .iter()
        .map(|it| emitter.node("Reshape", &[it, &shape]));
    let (query, key, value) = (parts.next(), parts.next(), parts.next());
    let (query, key, value) = (
        query.unwrap_or_default(),
        key.unwrap_or_default(),
        value.unwrap_or_default(),
    );
    drop(parts);
    let swap = || vec![ints("perm", &[0, 1, 3, 2])];
    let query = emitter.node_with("Transpose", &[&query], swap());
    let value = emitter.node_with("Transpose", &[&value], swap());
    let query = emitter.node("Mul", &[&query, &scale]);
    let scores = emitter.node("MatMul", &[&query, &key]);
    let scores = emitter.node("Add", &[&scores, &mask]);
    let output = emitter.fresh("attention");
    mix(emitter, &scores, &value, &output);
    Ok(output)
}

impl Network<'_> {
    /// `[batch, tokens, channels]` the other way round, and back.
    pub(super) fn turned(&mut self, x: &str) -> String {
        let swap = vec![ints("perm", &[0, 2, 1])];
        self.emitter.node_with("Transpose", &[x], swap)
    }

    /// A convolution of one token: `[batch, inputs, tokens]` → `[batch, outputs, tokens]`.
    fn grouped(
        &mut self,
        path: &str,
        [inputs, outputs]: [usize; 2],
        groups: usize,
        x: &str,
    ) -> Emitted {
        let weight = self.tensor(&format!("{path}.weight"), &[outputs, inputs / groups, 1])?;
        let bias = self.tensor(&format!("{path}.bias"), &[outputs])?;
        self.emitter.enter(path);
        let group = int("group", i64::try_from(groups).unwrap_or(1));
        let length = ints("kernel_shape", &[1]);
        Ok(self
            .emitter
            .node_with("Conv", &[x, &weight, &bias], vec![group, length]))
    }
}
