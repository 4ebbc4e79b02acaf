//! The spellings of a vocabulary's entries, in one string.

/// Entries by their places.
#[derive(Debug, Default)]
pub(super) struct Spellings {
    /// All of them, one after the other: less than 2^32 bytes.
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

/// A vocabulary of more bytes than are served.
#[derive(Debug, thiserror::Error)]
#[error("a vocabulary of more than 4 GiB")]
pub(super) struct TooLong;

impl Spellings {
    pub(super) fn push(&mut self, spelling: &str) -> Result<(), TooLong> {
        self.text.push_str(spelling);
        let end = u32::try_from(self.text.len());
        self.ends.push(end.map_err(|_| TooLong)?);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&str> {
        let before = place.checked_sub(1);
        let start = before.map_or(Some(0), |before| self.ends.get(before).copied())?;
        let end = self.ends.get(place)?;
        self.text.get(start as usize..*end as usize)
    }

    /// With their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let places = 0..self.len();
        places.filter_map(|place| self.get(place)).zip(0..)
    }
}
