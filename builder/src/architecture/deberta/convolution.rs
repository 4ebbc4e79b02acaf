//! The convolution beside the first layer, which the largest models of the second version have.

use super::super::bert::Sizes;
use super::super::network::{Emitted, Network};
use super::super::settings::Settings;
use super::Version;
use crate::error::BuildError;
use crate::graph::emit::{int, ints};
use serde_json::json;

/// What config.json says of it.
pub(super) struct Convolution {
    /// Tokens that it spans, an odd number.
    kernel: usize,
    groups: usize,
}

impl Convolution {
    /// None if there is none.
    pub(super) fn read(settings: &Settings, version: Version) -> Result<Option<Self>, BuildError> {
        if version == Version::First {
            settings.only("conv_kernel_size", &json!(0))?;
        }
        let kernel = settings.count("conv_kernel_size", 0)?;
        let groups = settings.size_or("conv_groups", 1)?;
        settings.without_effect("conv_act");
        match kernel {
            0 => Ok(None),
            kernel if kernel.is_multiple_of(2) => Err(settings.refuse("conv_kernel_size")),
            kernel => Ok(Some(Self { kernel, groups })),
        }
    }

    /// The norm of what the first layer gives and of the convolution of what it was given.
    /// `rows` is 0 for tokens that are not attended to.
    pub(super) fn write(
        &self,
        network: &mut Network<'_>,
        sizes: &Sizes,
        [embedded, rows, x]: [&str; 3],
    ) -> Emitted {
        let width = sizes.width;
        if !width.is_multiple_of(self.groups) {
            return Err(network.settings.refuse("conv_groups"));
        }
        let path = "encoder.conv";
        let shape = [width, width / self.groups, self.kernel];
        let matrix = network.tensor(&format!("{path}.conv.weight"), &shape)?;
        let bias = network.tensor(&format!("{path}.conv.bias"), &[width])?;
        let channels = network.turned(embedded);
        let [kernel, groups] =
            [self.kernel, self.groups].map(|it| i64::try_from(it).unwrap_or(i64::MAX));
        let attributes = vec![
            int("group", groups),
            ints("kernel_shape", &[kernel]),
            ints("pads", &[kernel / 2, kernel / 2]),
        ];
        let inputs = [&*channels, &matrix, &bias];
        let channels = network.emitter.node_with("Conv", &inputs, attributes);
        let convolved = network.turned(&channels);
        let convolved = network.emitter.node("Mul", &[&convolved, rows]);
        let convolved = network.activation("conv_act", "tanh", &convolved)?;
        let sum = network.add(x, &convolved);
        network.layer_norm(&format!("{path}.LayerNorm"), width, sizes.epsilon, &sum)
    }
}
