//! JSON values that are put together from parts.

use serde::Serialize;
use serde_json::{Error, Value};

/// A value with its float32 numbers as short as they are when written at once:
/// 0.1, where [`serde_json::to_value`] makes them 0.10000000149011612.
pub fn value(of: &impl Serialize) -> Result<Value, Error> {
    serde_json::from_str(&serde_json::to_string(of)?)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        assert_eq!(value(&[0.1_f32, 1e-9]).unwrap().to_string(), "[0.1,1e-9]");
    }
}
