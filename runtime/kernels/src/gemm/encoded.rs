//! B of a GEMM that stays in fewer bits than float32: a block of a panel is decoded where it
//! is multiplied, so that what is read of memory is what is stored.

use super::{BlockedB, MicroKernel, Panels};
use crate::aligned::AlignedBuffer;
use crate::encoding::{DecodePanel, PANEL, WeightsEncoding};
use crate::shape::{ShapeError, ensure};
use std::ops::Range;

/// B `[depth, columns]` in panels of [`PANEL`] columns, as they are stored.
#[derive(Clone, Copy, Debug)]
pub struct EncodedB<'a> {
    bytes: &'a [u8],
    encoding: WeightsEncoding,
    unit_len: usize,
    depth: usize,
    columns: usize,
}

impl<'a> EncodedB<'a> {
    /// Panels of an encoding, one after the other.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if there are not as many bytes as the shape says.
    pub fn new(
        bytes: &'a [u8],
        (depth, columns): (usize, usize),
        encoding: WeightsEncoding,
    ) -> Result<Self, ShapeError> {
        let unit_len = encoding.unit_len(depth, PANEL);
        let length = unit_len.and_then(|it| it.checked_mul(columns.div_ceil(PANEL)));
        ensure(length == Some(bytes.len()), "gemm", || {
            let found = bytes.len();
            format!("{found} bytes stored for {depth} × {columns} in panels of {encoding}")
        })?;
        Ok(Self {
            bytes,
            encoding,
            unit_len: unit_len.unwrap_or_default(),
            depth,
            columns,
        })
    }

    /// Some of the depth of a panel, as it is stored; nothing beyond the last panel.
    #[inline(always)]
    fn part(self, panel: usize, depth: Range<usize>) -> &'a [u8] {
        let part = self.encoding.part_of_unit(depth, PANEL);
        let (Some(part), Some(unit)) = (part, self.bytes.chunks_exact(self.unit_len).nth(panel))
        else {
            return &[];
        };
        &unit[part]
    }
}

impl BlockedB for EncodedB<'_> {
    fn depth(self) -> usize {
        self.depth
    }

    fn columns(self) -> usize {
        self.columns
    }

    #[inline(always)]
    fn block<'m, V: MicroKernel>(
        self,
        token: V::Token,
        first: usize,
        depth: Range<usize>,
        memory: &'m mut AlignedBuffer,
    ) -> Panels<'m>
    where
        Self: 'm,
    {
        let length = depth.len() * V::PANEL;
        let width = PANEL.max(V::NR);
        if first.is_multiple_of(width) {
            memory.resize(depth.len() * width);
            for (place, out) in memory.chunks_exact_mut(depth.len() * PANEL).enumerate() {
                let decode = DecodePanel {
                    encoding: self.encoding,
                    bytes: self.part(first / PANEL + place, depth.clone()),
                    out,
                };
                V::run_apart(token, decode);
            }
        }
        let ahead = (first + V::NR).next_multiple_of(width) / PANEL;
        let next = [ahead, ahead + 1].map(|panel| self.part(panel, depth.clone()));
        let mut panels = memory[first % width * depth.len()..].chunks_exact(length);
        let first = panels.next().unwrap_or_default();
        Panels {
            values: [first, panels.next().unwrap_or(first)],
            half: None,
            next,
        }
    }
}
