//! What Llama's kin have in common: norms by the root mean square, attention with rotary
//! positions whose keys may be fewer than its queries, and a gate in the feed-forward part.

use super::network::{Emitted, Network};
use super::settings::Settings;
use crate::error::BuildError;

/// The largest head: what is made for each of its values is made before the tensors that have
/// as many are looked at. Those of Gemma have 256.
const HEAD_MAX: usize = 1 << 12;

/// What config.json says.
pub(super) struct Sizes {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    /// Heads of keys and values, each of which several heads of queries share.
    pub(super) key_heads: usize,
    /// Values of a head.
    pub(super) head: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) epsilon: f32,
    pub(super) attention_bias: bool,
}

impl Sizes {
    pub(super) fn read(settings: &Settings, epsilon: f32) -> Result<Self, BuildError> {
        let width = settings.size("hidden_size")?;
        let heads = settings.size("num_attention_heads")?;
        let key_heads = settings.size_or("num_key_value_heads", heads)?;
        if !heads.is_multiple_of(key_heads) {
            return Err(settings.refuse("num_key_value_heads"));
        }
        let head = settings.size_or("head_dim", width / heads)?;
        let is_served = head > 0 && head <= HEAD_MAX && head.is_multiple_of(2);
        if !is_served || heads.checked_mul(head).is_none() {
            return Err(settings.refuse("head_dim"));
        }
        Ok(Self {
            vocabulary: settings.size("vocab_size")?,
            width,
            heads,
            key_heads,
            head,
            inner: settings.size("intermediate_size")?,
            layers: settings.layers("num_hidden_layers")?,
            epsilon: settings.float("rms_norm_eps", epsilon)?,
            attention_bias: settings.flag("attention_bias", false)?,
        })
    }
}

/// What a layer's attention has besides its tensors.
pub(super) struct Kind<'a> {
    pub(super) rotation: &'a [String; 2],
    pub(super) mask: &'a str,
    /// What products of query and key are multiplied by.
    pub(super) scale: &'a str,
}

/// Attention over what `norms` make of queries and of keys, `[batch, heads, tokens, size]`.
pub(super) fn attend(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    kind: &Kind<'_>,
    norms: impl Fn(&mut Network<'_>, &str, &str) -> Emitted,
    x: &str,
) -> Emitted {
    let path = format!("{path}.self_attn");
    let [all, fewer] = [sizes.heads, sizes.key_heads].map(|it| it * sizes.head);
    let biased = sizes.attention_bias;
    let product = |network: &mut Network<'_>, name: &str, outputs, heads| {
        let path = format!("{path}.{name}_proj");
        let product = network.linear_if(&path, [sizes.width, outputs], biased, x)?;
        Ok::<_, BuildError>(network.split(&product, heads))
    };
    let query = product(network, "q", all, sizes.heads)?;
    let query = norms(network, &format!("{path}.q_norm"), &query)?;
    let query = network.rotate(&query, kind.rotation, sizes.head);
    let key = product(network, "k", fewer, sizes.key_heads)?;
    let key = norms(network, &format!("{path}.k_norm"), &key)?;
    let key = network.rotate(&key, kind.rotation, sizes.head);
    let value = product(network, "v", fewer, sizes.key_heads)?;
    let times = sizes.heads / sizes.key_heads;
    let [key, value] = [key, value].map(|it| network.repeat_heads(&it, sizes.key_heads, times));
    let attended = network.attend_scaled([&query, &key, &value], kind.scale, kind.mask);
    network.linear_if(
        &format!("{path}.o_proj"),
        [all, sizes.width],
        biased,
        &attended,
    )
}

/// `down(activation(gate(x)) · up(x))`.
pub(super) fn feed_forward(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    activation: [&'static str; 2],
    biased: bool,
    x: &str,
) -> Emitted {
    let path = format!("{path}.mlp");
    let [width, inner] = [sizes.width, sizes.inner];
    let gate = network.linear_if(&format!("{path}.gate_proj"), [width, inner], biased, x)?;
    let [key, default] = activation;
    let gate = network.activation(key, default, &gate)?;
    let up = network.linear_if(&format!("{path}.up_proj"), [width, inner], biased, x)?;
    let gated = network.emitter.node("Mul", &[&gate, &up]);
    network.linear_if(&format!("{path}.down_proj"), [inner, width], biased, &gated)
}
