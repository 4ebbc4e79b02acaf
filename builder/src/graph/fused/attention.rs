//! Attention over a batch of one without padding.

use super::{Fused, Rewritten};
use crate::graph::blocks::{Heads, attend};
use crate::graph::emit::Emitter;
use encoderfile::onnx::NodeProto;

/// Query, key and value from one input by one product.
pub(super) fn attention(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_inputs(&[(4, "a past state"), (6, "a past state")])?;
    let (x, weight) = (node.required(0)?, node.required(1)?);
    from_one_product(node, emitter, (x, weight), node.input(3), node.input(5))
}

/// The same with the product's weight at hand.
pub(super) fn from_one_product(
    node: &Fused<'_>,
    emitter: &mut Emitter<'_>,
    (x, weight): (&str, &str),
    mask: Option<&str>,
    scores_bias: Option<&str>,
) -> Rewritten {
    refuse_unserved(node)?;
    refuse_mask(emitter, mask)?;
    let [query_size, key_size, value_size] = sizes(node, emitter, weight)?;
    let mut all = emitter.node("MatMul", &[x, weight]);
    if let Some(bias) = node.input(2) {
        all = emitter.node("Add", &[&all, bias]);
    }
    let keys_end = query_size + key_size;
    let query = emitter.slice(&all, 2, 0, query_size);
    let key = emitter.slice(&all, 2, query_size, keys_end);
    let value = emitter.slice(&all, 2, keys_end, keys_end + value_size);
    let count = node.integer("num_heads", 1).max(1);
    let heads = Heads {
        query: &query,
        key: &key,
        value: &value,
        count,
        scale: scale(node, emitter, query_size / count),
        bias: scores_bias,
    };
    attend(emitter, &heads, node.result()?);
    Ok(())
}

/// Query, key and value each by itself.
pub(super) fn multi_head_attention(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_inputs(&[(6, "a past state"), (7, "a past state")])?;
    refuse_unserved(node)?;
    refuse_mask(emitter, node.input(4))?;
    let packed = "query, key and value in one input are not supported";
    let [query, key, value] = [0, 1, 2].map(|place| node.input(place).map(str::to_owned));
    let (Some(mut query), Some(mut key), Some(mut value)) = (query, key, value) else {
        return Err(packed.into());
    };
    let count = node.integer("num_heads", 1).max(1);
    let mut hidden_size = width(emitter, &query);
    if let Some(bias) = node.input(3) {
        let length = emitter.dims(bias).and_then(|dims| dims.first().copied());
        let length = length.ok_or("its bias is not constant")?;
        let third = length / 3;
        hidden_size = Some(third);
        for (place, part) in [&mut query, &mut key, &mut value].into_iter().enumerate() {
            let start = third * i64::try_from(place).unwrap_or(0);
            let bias = emitter.slice(bias, 0, start, start + third);
            *part = emitter.node("Add", &[part, &bias]);
        }
    }
    let scale = match hidden_size {
        Some(hidden_size) => scale(node, emitter, hidden_size / count),
        None if node.float("scale", 0.0) != 0.0 => scale(node, emitter, 1),
        None => return Err("neither a bias nor a weight says how wide its heads are".into()),
    };
    let heads = Heads {
        query: &query,
        key: &key,
        value: &value,
        count,
        scale,
        bias: node.input(5),
    };
    attend(emitter, &heads, node.result()?);
    Ok(())
}

/// The last dimension of a value that comes from a product with a constant.
fn width(emitter: &Emitter<'_>, value: &str) -> Option<i64> {
    let mut value = value;
    loop {
        let node: &NodeProto = emitter.producer(value)?;
        value = match node.op_type.as_str() {
            "MatMul" => return emitter.dims(node.input.get(1)?)?.last().copied(),
            "Add" => {
                let constant = node.input.iter().find_map(|it| emitter.dims(it));
                return constant?.last().copied();
            }
            "Cast" | "Identity" => node.input.first()?,
            _ => return None,
        }
    }
}

fn refuse_unserved(node: &Fused<'_>) -> Rewritten {
    if node.output(1).is_some() {
        return Err("keys and values as outputs are not supported".into());
    }
    node.without_flags(&["unidirectional", "do_rotary"])
}

/// A mask of padding changes nothing where nothing is padded. Anything else
/// might mask something.
fn refuse_mask(emitter: &Emitter<'_>, mask: Option<&str>) -> Rewritten {
    let Some(mask) = mask else { return Ok(()) };
    let mut value = mask;
    while value != "attention_mask" {
        let producer = emitter.producer(value);
        let input = producer.and_then(|node| match node.op_type.as_str() {
            "Cast" | "Identity" | "ReduceSum" => node.input.first(),
            "EmbedLayerNormalization" | "QEmbedLayerNormalization" => node.input.get(7),
            _ => None,
        });
        let Some(input) = input.filter(|name| !name.is_empty()) else {
            return Err(format!(
                "its mask `{mask}` comes from more than the input attention_mask, which is not supported"
            ));
        };
        value = input;
    }
    Ok(())
}

/// Of query, key and value.
fn sizes(node: &Fused<'_>, emitter: &Emitter<'_>, weight: &str) -> Result<[i64; 3], String> {
    let sizes = node.attribute("qkv_hidden_sizes").map(|it| it.ints.clone());
    if let Some(sizes) = sizes.filter(|sizes| !sizes.is_empty()) {
        return <[i64; 3]>::try_from(sizes).map_err(|it| format!("qkv_hidden_sizes {it:?}"));
    }
    let bias = node.input(2).and_then(|bias| emitter.dims(bias));
    let dims = bias.or_else(|| emitter.dims(weight));
    let total = dims.and_then(|dims| dims.last());
    let third = total.ok_or("neither its weight nor its bias is constant")? / 3;
    Ok([third; 3])
}

fn scale(node: &Fused<'_>, emitter: &mut Emitter<'_>, head_size: i64) -> String {
    let scale = node.float("scale", 0.0);
    // Head sizes are a few hundred at most.
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let default = 1.0 / (head_size as f32).sqrt();
    emitter.float(if scale == 0.0 { default } else { scale })
}
