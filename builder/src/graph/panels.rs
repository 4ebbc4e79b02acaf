//! Storing float32 matrices in the order in which they are multiplied by. The
//! inverse is [`encoderfile::weights::Matrix::read_rows`].

use super::values::Floats;
use encoderfile::source::{ReadError, Source, checked_range};
use encoderfile::weights::PANEL;

/// The part of a row that is in one panel.
const GROUP_LEN: usize = PANEL * size_of::<f32>();

/// A matrix as panels, which are gathered when they are read.
pub(super) struct Panels {
    values: Floats,
    rows: usize,
    columns: usize,
}

impl Panels {
    pub(super) fn new(values: Floats, columns: usize) -> Self {
        let columns = columns.max(1);
        Self {
            rows: values.len() / columns,
            columns,
            values,
        }
    }

    /// The group at a place among all, with zeros for columns that there are not.
    fn group(&self, place: usize) -> [u8; GROUP_LEN] {
        let (panel, row) = (place / self.rows, place % self.rows);
        let count = PANEL.min(self.columns - panel * PANEL);
        let first = row * self.columns + panel * PANEL;
        let mut group = [0; GROUP_LEN];
        self.values.copy_f32(first, &mut group[..count * 4]);
        group
    }
}

impl Source for Panels {
    fn len(&self) -> u64 {
        (self.columns.div_ceil(PANEL) * self.rows * GROUP_LEN) as u64
    }

    fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        let mut position = usize::try_from(range.start)?;
        while !buffer.is_empty() {
            let group = self.group(position / GROUP_LEN);
            let group = &group[position % GROUP_LEN..];
            let length = group.len().min(buffer.len());
            let (now, rest) = std::mem::take(&mut buffer).split_at_mut(length);
            now.copy_from_slice(&group[..length]);
            position += length;
            buffer = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::weights::{External, Layout, Matrix};
    use std::sync::Arc;

    #[test]
    fn rows_are_what_they_were() {
        let (rows, columns) = (5, 70);
        let values: Vec<f32> = (1..=350_u16).map(f32::from).collect();
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        let panels = Panels::new(Floats::F32(bytes.collect()), columns);
        let mut stored = vec![9; usize::try_from(panels.len()).unwrap()];
        // In pieces that fit nothing.
        for (index, piece) in stored.chunks_mut(37).enumerate() {
            panels.read_at(index as u64 * 37, piece).unwrap();
        }
        let place = External {
            offset: 0,
            length: panels.len(),
            layout: Layout::Panels,
            ..External::default()
        };
        let source: Arc<dyn Source> = Arc::new(stored);
        let matrix = Matrix::new("test", (rows, columns), &place, &source).unwrap();
        let mut read = vec![0.0; rows * columns];
        matrix.read_rows(0, &mut read).unwrap();
        assert_eq!(read, values);
        let mut panel = vec![9.0; rows * PANEL];
        matrix.read_panels(4, &mut panel).unwrap();
        assert_eq!(panel[..8], [65.0, 66.0, 67.0, 68.0, 69.0, 70.0, 0.0, 0.0]);
        assert_eq!(panel[PANEL..][..2], [135.0, 136.0]);
    }
}
