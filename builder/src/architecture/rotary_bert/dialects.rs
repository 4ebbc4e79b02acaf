//! The dialects of config.json, and of the names of tensors.

use super::super::network::Network;
use super::super::rotary::Rope;
use super::super::settings::Settings;
use super::{Names, Sizes, Stored};
use crate::error::BuildError;
use serde_json::{Value, json};

/// transformers' names, and those of the code that folders named before it.
const NAMES: [Names; 3] = [
    Names {
        layers: "layers",
        embeddings: "embeddings.LayerNorm",
        products: Stored::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        output: "self_attn.o_proj",
        attention_norm: "post_attention_layernorm",
        gate: Stored::Apart(["mlp.up_proj", "mlp.gate_proj"]),
        down: "mlp.down_proj",
        feed_forward_norm: "post_mlp_layernorm",
    },
    Names {
        layers: "encoder.layers",
        embeddings: "emb_ln",
        products: Stored::Together("attn.Wqkv"),
        output: "attn.out_proj",
        attention_norm: "norm1",
        gate: Stored::Apart(["mlp.fc11", "mlp.fc12"]),
        down: "mlp.fc2",
        feed_forward_norm: "norm2",
    },
    Names {
        layers: "encoder.layer",
        embeddings: "embeddings.LayerNorm",
        products: Stored::Together("attention.qkv_proj"),
        output: "attention.o_proj",
        attention_norm: "attn_ln",
        gate: Stored::Together("mlp.up_gate_proj"),
        down: "mlp.down_proj",
        feed_forward_norm: "mlp_ln",
    },
];

/// The names that the checkpoint has.
pub(super) fn names(network: &Network<'_>) -> Names {
    let [transformers, nomic, gte] = NAMES;
    let has = |names: &Names| {
        let (layers, norm) = (names.layers, names.attention_norm);
        network.has(&format!("{layers}.0.{norm}.weight"))
    };
    match (has(&nomic), has(&gte)) {
        (true, _) => nomic,
        (_, true) => gte,
        // What is missing is called as transformers calls it.
        _ => transformers,
    }
}

/// Keys of training, of flash attention, and of GPT-2, whose config was the pattern.
const NOMIC_WITHOUT_EFFECT: [&str; 17] = [
    "add_pooling_layer",
    "attn_pdrop",
    "dense_seq_output",
    "embd_pdrop",
    "fused_bias_fc",
    "fused_dropout_add_ln",
    "max_trained_positions",
    "n_positions",
    "parallel_block_tied_norm",
    "reorder_and_upcast_attn",
    "resid_pdrop",
    "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "use_flash_attn",
    "use_xentropy",
];

pub(super) fn nomic(network: &Network<'_>) -> Result<Sizes, BuildError> {
    if network.settings.has("n_embd") {
        let sizes = nomic_original(network.settings)?;
        require_agreement(network, &sizes)?;
        return Ok(sizes);
    }
    let rope = Rope::read(network.settings, 1_000.0)?;
    Ok(Sizes {
        biased: false,
        ..sizes(network, "silu", rope, 2)?
    })
}

/// As nomic-ai's own code has it; what is not said is what it means there.
fn nomic_original(settings: &Settings) -> Result<Sizes, BuildError> {
    for key in NOMIC_WITHOUT_EFFECT {
        settings.without_effect(key);
    }
    // Their defaults are others.
    let key = "rotary_emb_fraction";
    if settings.float(key, 0.0)?.to_bits() != 1.0_f32.to_bits() {
        return Err(settings.refuse(key));
    }
    for key in ["qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"] {
        settings.exactly(key, &json!(false))?;
    }
    for key in [
        "causal",
        "parallel_block",
        "prenorm",
        "rotary_emb_interleaved",
        "use_rms_norm",
    ] {
        settings.only(key, &json!(false))?;
    }
    for key in [
        "num_heads_kv",
        "rotary_emb_scale_base",
        "rotary_scaling_factor",
    ] {
        settings.only(key, &Value::Null)?;
    }
    let rounded_up = |key: &'static str, multiple| {
        let size = settings.size(key)?.checked_next_multiple_of(multiple);
        size.ok_or_else(|| settings.refuse(key))
    };
    let multiple = settings.size_or("pad_vocab_size_multiple", 1)?;
    let activation = match settings.text("activation_function", "gelu_new")?.as_str() {
        "swiglu" => "silu",
        "geglu" => "gelu",
        // Others have no gate.
        _ => return Err(settings.refuse("activation_function")),
    };
    Ok(Sizes {
        vocabulary: rounded_up("vocab_size", multiple)?,
        width: settings.size("n_embd")?,
        heads: settings.size("n_head")?,
        // A part with a gate rounds it up.
        inner: rounded_up("n_inner", 256)?,
        layers: settings.layers("n_layer")?,
        segments: settings.count("type_vocab_size", 2)?,
        epsilon: settings.float("layer_norm_epsilon", 1e-5)?,
        rope: Rope::of(settings.float("rotary_emb_base", 10_000.0)?),
        biased: false,
        activation_key: "activation_function",
        activation: activation.into(),
    })
}

/// Keys of transformers, which newer folders have beside those of Nomic's code: they have to say
/// the same.
fn require_agreement(network: &Network<'_>, sizes: &Sizes) -> Result<(), BuildError> {
    let settings = network.settings;
    let head = network.head_size(sizes.width, sizes.heads)?;
    for (key, number) in [
        ("hidden_size", sizes.width),
        ("num_attention_heads", sizes.heads),
        ("intermediate_size", sizes.inner),
        ("num_hidden_layers", sizes.layers),
        ("head_dim", head),
    ] {
        settings.only(key, &json!(number))?;
    }
    settings.only("hidden_act", &json!(sizes.activation))?;
    let key = "layer_norm_eps";
    if settings.float(key, sizes.epsilon)?.to_bits() != sizes.epsilon.to_bits() {
        return Err(settings.refuse(key));
    }
    let rope = Rope::read(settings, sizes.rope.theta)?;
    match rope == sizes.rope {
        true => Ok(()),
        false => Err(settings.refuse("rope_parameters")),
    }
}

/// Of transformers, which writes `rope_parameters`, or of Alibaba's own code.
pub(super) fn gte(network: &Network<'_>) -> Result<Sizes, BuildError> {
    let settings = network.settings;
    // How attention is computed, and how its tensors are stored.
    for key in [
        "logn_attention_clip1",
        "pack_qkv",
        "unpad_inputs",
        "use_memory_efficient_attention",
    ] {
        settings.without_effect(key);
    }
    settings.only("layer_norm_type", &json!("layer_norm"))?;
    settings.only("logn_attention_scale", &json!(false))?;
    settings.only("position_embedding_type", &json!("rope"))?;
    let rope = match settings.has("rope_parameters") {
        true => Rope::read(settings, 160_000.0)?,
        false => original_rope(network)?,
    };
    sizes(network, "gelu", rope, 1)
}

/// `rope_theta` and `rope_scaling` of Alibaba's code: fixed NTK scaling, or none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "what is computed is float32, and head sizes are a few hundred at most"
)]
fn original_rope(network: &Network<'_>) -> Result<Rope, BuildError> {
    let settings = network.settings;
    // transformers' default is another than that of Alibaba's code.
    if !settings.has("rope_theta") {
        return Err(settings.refuse("rope_theta"));
    }
    let theta = settings.float("rope_theta", 0.0)?;
    let key = "rope_scaling";
    let Some(scaling) = settings.object(key)? else {
        return Ok(Rope::of(theta));
    };
    let is_ntk = scaling.get("type") == Some(&json!("ntk")) && scaling.len() == 2;
    let factor = scaling.get("factor").and_then(Value::as_f64);
    let factor = factor.filter(|it| is_ntk && *it > 1.0);
    let factor = factor.ok_or_else(|| settings.refuse(key))? as f32;
    let heads = settings.size("num_attention_heads")?;
    let size = network.head_size(settings.size("hidden_size")?, heads)?;
    Ok(Rope {
        theta: theta * factor,
        divisor: factor.powf(2.0 / size as f32),
    })
}

/// The keys that both have.
fn sizes(
    network: &Network<'_>,
    activation: &str,
    rope: Rope,
    segments: usize,
) -> Result<Sizes, BuildError> {
    let settings = network.settings;
    let width = settings.size("hidden_size")?;
    let heads = settings.size("num_attention_heads")?;
    settings.only("head_dim", &json!(network.head_size(width, heads)?))?;
    Ok(Sizes {
        vocabulary: settings.size("vocab_size")?,
        width,
        heads,
        inner: settings.size("intermediate_size")?,
        layers: settings.layers("num_hidden_layers")?,
        segments: settings.count("type_vocab_size", segments)?,
        epsilon: settings.float("layer_norm_eps", 1e-12)?,
        rope,
        biased: true,
        activation_key: "hidden_act",
        activation: settings.text("hidden_act", activation)?,
    })
}
