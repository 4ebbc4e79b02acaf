//! How the fields of requests are read, the same in every dialect: an object only
//! from an object, and whole numbers however they are written.

use serde::de::{DeserializeOwned, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use std::fmt;
use std::marker::PhantomData;

/// Reads objects alone: what serde derives for a struct also takes a list of its
/// fields' values, which no dialect has.
pub struct Object<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Object<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Members(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes
        byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

/// Hands on the members of an object.
struct Members<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(members)
    }
}

/// A field that is an object.
pub fn object<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    T::deserialize(Object(deserializer))
}

/// A field that is an object, or absent.
pub fn some_object<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    object(deserializer).map(Some)
}

/// A field that is a whole number, or absent. 2.0 is one, as JSON Schema has it.
pub fn whole<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<i128>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Whole(PhantomData)).map(Some)
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<i128>> Whole<T> {
    fn read<E: Error>(&self, number: i128, written: Unexpected<'_>) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(written, self))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the type says which numbers it has, and its name says nothing to clients.
        formatter.write_str(match T::try_from(-1) {
            Ok(_) => "a whole number",
            Err(_) => "a whole number that is not negative",
        })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.read(number.into(), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.read(number.into(), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        /// Beyond, floating-point numbers skip whole ones: 2 to the power of 53.
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

        if number.fract() != 0.0 || number.abs() > EXACT_MAX {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "it is whole and smaller than any i128"
        )]
        self.read(number as i128, Unexpected::Float(number))
    }
}

#[cfg(test)]
mod tests {
    use super::{object, some_object, whole};
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        #[serde(deserialize_with = "object")]
        inner: Inner,
        #[serde(default, deserialize_with = "some_object")]
        other: Option<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Inner {
        #[serde(deserialize_with = "whole")]
        count: Option<usize>,
        #[serde(deserialize_with = "whole")]
        number: Option<i64>,
    }

    fn read(value: Value) -> Result<Outer, String> {
        object(value).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn objects_are_read_from_objects_alone() {
        let good = read(json!({ "inner": { "count": 1 }, "other": { "number": -1 } })).unwrap();
        assert_eq!(good.inner.count, Some(1));
        assert_eq!(good.other.unwrap().number, Some(-1));
        assert_eq!(read(json!({ "inner": {} })).unwrap().other, None);
        for list in [
            json!([{ "count": 1 }, null]),
            json!({ "inner": [1, 1] }),
            json!({ "inner": {}, "other": [1] }),
            json!("text"),
        ] {
            let said = read(list.clone()).unwrap_err();
            assert!(said.contains("expected an object"), "{list}: {said}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        let count = |value: Value| read(json!({ "inner": { "count": value } }));
        for (written, number) in [("2", 2), ("2.0", 2), ("1e3", 1000), ("-0.0", 0), ("0", 0)] {
            let value = serde_json::from_str(written).unwrap();
            assert_eq!(count(value).unwrap().inner.count, Some(number), "{written}");
        }
        let number = read(json!({ "inner": { "number": -3.0 } })).unwrap();
        assert_eq!(number.inner.number, Some(-3));
        for wrong in [
            json!(2.5),
            json!(-1),
            json!(-1.0),
            json!(1e300),
            json!("2"),
            json!([2]),
        ] {
            let said = count(wrong.clone()).unwrap_err();
            assert!(said.contains("a whole number"), "{wrong}: {said}");
            assert!(!said.contains("usize"), "{wrong}: {said}");
        }
    }
}
