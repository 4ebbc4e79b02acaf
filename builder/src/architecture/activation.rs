//! The activation functions that config.json names: those of transformers that have no
//! parameters.

use super::network::{Emitted, Network};
use crate::graph::blocks::{gelu, gelu_tanh, sigmoid_gate};
use crate::graph::emit::{Emitter, float};
use std::f32::consts::SQRT_2;

impl Network<'_> {
    /// The function that config.json names under `key`.
    pub(super) fn activation(&mut self, key: &'static str, default: &str, x: &str) -> Emitted {
        let name = self.settings.text(key, default)?;
        self.activated(key, &name, x)
    }

    /// The function of that name, which config.json says under `key`.
    pub(super) fn activated(&mut self, key: &'static str, name: &str, x: &str) -> Emitted {
        let output = self.emitter.fresh(name);
        match write(&mut self.emitter, name, x, &output) {
            true => Ok(output),
            false => Err(self.settings.refuse(key)),
        }
    }

    pub(super) fn gelu(&mut self, x: &str) -> String {
        let output = self.emitter.fresh("gelu");
        gelu(&mut self.emitter, x, &output);
        output
    }

    pub(super) fn tanh(&mut self, x: &str) -> String {
        self.emitter.node("Tanh", &[x])
    }

    pub(super) fn relu(&mut self, x: &str) -> String {
        self.emitter.node("Relu", &[x])
    }
}

/// Writes the function of that name in transformers; `false` where there is none.
fn write(emitter: &mut Emitter<'_>, name: &str, x: &str, output: &str) -> bool {
    match name {
        "gelu" | "gelu_python" => gelu(emitter, x, output),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate" => {
            gelu_tanh(emitter, x, output);
        }
        "gelu_10" => {
            let unclipped = emitter.fresh("gelu");
            gelu(emitter, x, &unclipped);
            clip(emitter, &unclipped, [-10.0, 10.0], output);
        }
        "quick_gelu" => sigmoid_gate(emitter, x, 1.702, output),
        "silu" | "swish" => sigmoid_gate(emitter, x, 1.0, output),
        "hardswish" => hard_swish(emitter, x, output),
        "mish" => mish(emitter, x, output),
        "laplace" => laplace(emitter, x, output),
        "relu" => emitter.node_to("Relu", &[x], vec![], output),
        "relu2" => {
            let positive = emitter.node("Relu", &[x]);
            emitter.node_to("Mul", &[&positive, &positive], vec![], output);
        }
        "relu6" => clip(emitter, x, [0.0, 6.0], output),
        "leaky_relu" => emitter.node_to("LeakyRelu", &[x], vec![float("alpha", 0.01)], output),
        "tanh" => emitter.node_to("Tanh", &[x], vec![], output),
        "sigmoid" => emitter.node_to("Sigmoid", &[x], vec![], output),
        "linear" => emitter.node_to("Identity", &[x], vec![], output),
        _ => return false,
    }
    true
}

fn clip(emitter: &mut Emitter<'_>, x: &str, bounds: [f32; 2], output: &str) {
    let [least, most] = bounds.map(|it| emitter.float(it));
    emitter.node_to("Clip", &[x, &least, &most], vec![], output);
}

/// `x · clip(x + 3, 0, 6) / 6`.
fn hard_swish(emitter: &mut Emitter<'_>, x: &str, output: &str) {
    let [three, sixth] = [3.0, 1.0 / 6.0].map(|it| emitter.float(it));
    let shifted = emitter.node("Add", &[x, &three]);
    let gate = emitter.fresh("gate");
    clip(emitter, &shifted, [0.0, 6.0], &gate);
    let product = emitter.node("Mul", &[x, &gate]);
    emitter.node_to("Mul", &[&product, &sixth], vec![], output);
}

/// `x · tanh(ln(1 + eˣ))`.
fn mish(emitter: &mut Emitter<'_>, x: &str, output: &str) {
    let softplus = emitter.node("Softplus", &[x]);
    let gate = emitter.node("Tanh", &[&softplus]);
    emitter.node_to("Mul", &[x, &gate], vec![], output);
}

/// `(1 + erf((x - μ) / (σ · √2))) / 2`, with the mean and deviation that transformers has.
#[allow(clippy::approx_constant, reason = "so transformers rounds 1 / √2")]
fn laplace(emitter: &mut Emitter<'_>, x: &str, output: &str) {
    const MEAN: f32 = 0.707_107;
    const DEVIATION: f32 = 0.282_095;
    let [mean, scale, one, half] = [MEAN, DEVIATION * SQRT_2, 1.0, 0.5].map(|it| emitter.float(it));
    let centred = emitter.node("Sub", &[x, &mean]);
    let scaled = emitter.node("Div", &[&centred, &scale]);
    let erf = emitter.node("Erf", &[&scaled]);
    let sum = emitter.node("Add", &[&erf, &one]);
    emitter.node_to("Mul", &[&sum, &half], vec![], output);
}

#[cfg(test)]
mod tests {
    use super::{Emitter, write};
    use encoderfile::graph::{Tokens, read};
    use encoderfile::onnx::{GraphProto, ModelProto, OperatorSetIdProto, ValueInfoProto};
    use tract_core::internal::*;

    const X: [f32; 9] = [-11.0, -3.5, -1.0, -0.1, 0.0, 0.3, 2.0, 4.0, 12.0];

    /// Functions of one result, and it: `ACT2FN[name](X)` of transformers 5.24.0 with torch 2.15.0.
    const EXPECTED: &str = "\
gelu gelu_python = 0 -0.000814 -0.158655 -0.046017 0 0.185373 1.9545 3.999874 12
gelu_10 = 0 -0.000814 -0.158655 -0.046017 0 0.185373 1.9545 3.999874 10
gelu_new gelu_fast gelu_pytorch_tanh gelu_python_tanh gelu_accurate = 0 -0.000616 -0.158808 -0.046017 0 0.185371 1.954598 3.99993 12
quick_gelu = 0 -0.009033 -0.154204 -0.045755 0 0.187484 1.935659 3.995585 12
silu swish = -0.000184 -0.102593 -0.268941 -0.047502 0 0.172333 1.761594 3.928055 11.999926
hardswish = 0 0 -0.333333 -0.048333 0 0.165 1.666667 4 12
mish = -0.000184 -0.104096 -0.303401 -0.056789 0 0.208001 1.943959 3.997413 12
laplace = 0 0 0 0.002111 0.006094 0.074488 0.999998 1 1
relu = 0 0 0 0 0 0.3 2 4 12
relu2 = 0 0 0 0 0 0.09 4 16 144
relu6 = 0 0 0 0 0 0.3 2 4 6
leaky_relu = -0.11 -0.035 -0.01 -0.001 0 0.3 2 4 12
tanh = -1 -0.998178 -0.761594 -0.099668 0 0.291313 0.964028 0.999329 1
sigmoid = 0.000017 0.029312 0.268941 0.475021 0.5 0.574443 0.880797 0.982014 0.999994
linear = -11 -3.5 -1 -0.1 0 0.3 2 4 12
";

    /// The function of `X`; nothing where there is no such function.
    fn computed(name: &str) -> Option<Vec<f32>> {
        let mut emitter = Emitter::new(&[], &[], &[], 17);
        let x = emitter.floats(&X);
        if !write(&mut emitter, name, &x, "y") {
            return None;
        }
        let written = emitter.finish();
        let graph = GraphProto {
            node: written.nodes,
            initializer: written.initializers,
            output: vec![ValueInfoProto {
                name: "y".into(),
                ..ValueInfoProto::default()
            }],
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 17,
            }],
            graph: Some(graph),
        };
        let model = read(&model, Tokens::Exactly(1), &[]).unwrap().model;
        let results = model.into_optimized().unwrap().into_runnable().unwrap();
        let results = results.run(tvec!()).unwrap();
        let plain = results[0].try_as_plain_ram().unwrap();
        Some(plain.as_slice::<f32>().unwrap().to_vec())
    }

    #[test]
    fn functions_are_those_of_transformers() {
        for row in EXPECTED.lines() {
            let (names, values) = row.split_once(" = ").unwrap();
            let expected = values.split(' ').map(|it| it.parse().unwrap());
            let expected: Vec<f32> = expected.collect();
            assert_eq!(expected.len(), X.len(), "{names}");
            for name in names.split(' ') {
                let found = computed(name).unwrap();
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5;
                let is_near = found.iter().zip(&expected).all(near);
                assert!(is_near, "{name}: {found:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn others_are_refused() {
        for name in ["GELU", "prelu", "xielu", ""] {
            assert_eq!(computed(name), None, "{name}");
        }
    }
}
