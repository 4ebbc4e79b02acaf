//! Rotary positions (`RoPE`).

use super::network::Network;
use super::settings::Settings;
use crate::error::BuildError;
use crate::graph::emit::int;
use encoderfile::onnx::tensor_proto::DataType;
use serde_json::{Map, Value};

/// How fast positions turn.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Rope {
    /// The base of the frequencies.
    pub(super) theta: f32,
    /// What they are divided by.
    pub(super) divisor: f32,
}

impl Rope {
    /// Without any scaling.
    pub(super) fn of(theta: f32) -> Self {
        Self {
            theta,
            divisor: 1.0,
        }
    }

    /// What config.json says: in transformers 5's `rope_parameters`, or in `rope_theta` and
    /// `rope_scaling`.
    pub(super) fn read(settings: &Settings, theta: f32) -> Result<Self, BuildError> {
        let theta = settings.float("rope_theta", theta)?;
        let scaling = settings.object("rope_scaling")?;
        match settings.object("rope_parameters")? {
            // Which of both would count is nowhere said.
            Some(_) if scaling.is_some() => None,
            Some(parameters) => Self::of_parameters(parameters, theta),
            None => scaling.map_or(Some(Self::of(theta)), |it| Self::of_parameters(it, theta)),
        }
        .ok_or_else(|| {
            let is_new = settings.has("rope_parameters");
            settings.refuse(if is_new {
                "rope_parameters"
            } else {
                "rope_scaling"
            })
        })
    }

    /// The same of the layers of one kind, which `rope_parameters` may have by their names, with
    /// what `scaling` changes of it.
    pub(super) fn read_kind(
        settings: &Settings,
        kind: &str,
        theta: f32,
        scaling: Option<&Map<String, Value>>,
    ) -> Result<Self, BuildError> {
        let key = "rope_parameters";
        let mut parameters = match settings.object(key)?.and_then(|kinds| kinds.get(kind)) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters.clone(),
            Some(_) => return Err(settings.refuse(key)),
        };
        // transformers 4 scales by a type of this name, and 5 does not.
        if scaling.is_some_and(|it| it.contains_key("type")) {
            return Err(settings.refuse("rope_scaling"));
        }
        parameters.extend(scaling.cloned().unwrap_or_default());
        let rope = Self::of_parameters(&parameters, theta);
        let key = scaling.map_or(key, |_| "rope_scaling");
        rope.ok_or_else(|| settings.refuse(key))
    }

    /// None for what is not served.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what is computed is float32"
    )]
    fn of_parameters(parameters: &Map<String, Value>, theta: f32) -> Option<Self> {
        let (mut kind, mut old_kind, mut factor) = (None, None, 1.0);
        let mut rope = Self::of(theta);
        for (key, value) in parameters.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "rope_type" => kind = Some(value.as_str()?),
                "type" => old_kind = Some(value.as_str()?),
                "rope_theta" => rope.theta = value.as_f64()? as f32,
                "factor" => factor = value.as_f64()? as f32,
                "partial_rotary_factor" if value.as_f64() == Some(1.0) => {}
                _ => return None,
            }
        }
        match kind.or(old_kind).unwrap_or("default") {
            "default" => {}
            "linear" if factor > 0.0 => rope.divisor = factor,
            _ => return None,
        }
        (rope.theta > 0.0).then_some(rope)
    }
}

impl Network<'_> {
    /// Cosines and sines of all positions, each half repeated: `[tokens, size]`.
    pub(super) fn rotation(&mut self, size: usize, rope: Rope) -> [String; 2] {
        let positions = self.positions();
        let emitter = &mut self.emitter;
        emitter.enter("rotary");
        let Rope { theta, divisor } = rope;
        // Head sizes are a few hundred at most.
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let frequencies: Vec<f32> = (0..size)
            .step_by(2)
            .map(|index| 1.0 / theta.powf(index as f32 / size as f32) / divisor)
            .collect();
        let frequencies = emitter.floats(&frequencies);
        let to_float = vec![int("to", i64::from(DataType::Float as i32))];
        let positions = emitter.node_with("Cast", &[&positions], to_float);
        let last = emitter.integers(&[-1]);
        let positions = emitter.node("Unsqueeze", &[&positions, &last]);
        let angles = emitter.node("Mul", &[&positions, &frequencies]);
        let both = vec![int("axis", -1)];
        let angles = emitter.node_with("Concat", &[&angles, &angles], both);
        ["Cos", "Sin"].map(|function| emitter.node(function, &[&angles]))
    }

    /// `x · cos + (-second half, first half) · sin`, of `[batch, heads, tokens, size]`.
    pub(super) fn rotate(&mut self, x: &str, [cos, sin]: &[String; 2], size: usize) -> String {
        let emitter = &mut self.emitter;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let first = emitter.slice(x, 3, 0, size / 2);
        let second = emitter.slice(x, 3, size / 2, size);
        let minus = emitter.node("Neg", &[&second]);
        let turned = emitter.node_with("Concat", &[&minus, &first], vec![int("axis", -1)]);
        let straight = emitter.node("Mul", &[x, cos]);
        let turned = emitter.node("Mul", &[&turned, sin]);
        emitter.node("Add", &[&straight, &turned])
    }
}

#[cfg(test)]
mod tests {
    use super::Rope;
    use serde_json::json;

    #[test]
    fn the_newer_name_of_the_type_counts_first() {
        for (types, divisor) in [
            (json!({"rope_type": "linear", "factor": 2.0}), Some(2.0)),
            (json!({"type": "linear", "factor": 2.0}), Some(2.0)),
            (
                json!({"rope_type": "default", "type": "linear", "factor": 2.0}),
                Some(1.0),
            ),
            (
                json!({"rope_type": "linear", "type": "default", "factor": 2.0}),
                Some(2.0),
            ),
            (
                json!({"rope_type": "yarn", "type": "linear", "factor": 2.0}),
                None,
            ),
        ] {
            let rope = Rope::of_parameters(types.as_object().unwrap(), 100.0);
            assert_eq!(rope.map(|it| it.divisor), divisor, "{types}");
        }
    }
}
