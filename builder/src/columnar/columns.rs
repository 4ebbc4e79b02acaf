//! Values of columns, of every type that strings and integers have.

use anyhow::bail;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, LargeBinaryArray, LargeStringArray, StringArray,
    StringViewArray,
};
use arrow_schema::DataType;

/// That there is no value.
const NULL: &str = "is null";

/// Strings; or bytes, which have to be UTF-8.
pub(super) enum Texts {
    String(StringArray),
    LargeString(LargeStringArray),
    StringView(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    Dictionary {
        /// Of each row; of a null row any.
        keys: Vec<usize>,
        rows: ArrayRef,
        values: Box<Texts>,
    },
}

impl Texts {
    /// Whether a column of that type has strings.
    pub(super) fn has(kind: &DataType) -> bool {
        match kind {
            DataType::Dictionary(_, values) => Self::has(values),
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView => true,
            _ => false,
        }
    }

    pub(super) fn of(column: &ArrayRef) -> anyhow::Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => Self::String(column.as_string().clone()),
            DataType::LargeUtf8 => Self::LargeString(column.as_string().clone()),
            DataType::Utf8View => Self::StringView(column.as_string_view().clone()),
            DataType::Binary => Self::Binary(column.as_binary().clone()),
            DataType::LargeBinary => Self::LargeBinary(column.as_binary().clone()),
            DataType::BinaryView => Self::BinaryView(column.as_binary_view().clone()),
            DataType::Dictionary(..) => {
                let dictionary = column.as_any_dictionary();
                Self::Dictionary {
                    // Without values, every row is null.
                    keys: match dictionary.values().is_empty() {
                        true => Vec::new(),
                        false => dictionary.normalized_keys(),
                    },
                    rows: column.clone(),
                    values: Box::new(Self::of(dictionary.values())?),
                }
            }
            other => bail!("no strings but {other}"),
        })
    }

    /// The text of a row; else what is wrong with it.
    pub(super) fn get(&self, row: usize) -> Result<&str, String> {
        let utf8 = |bytes| {
            std::str::from_utf8(bytes).map_err(|error| {
                let byte = error.valid_up_to() + 1;
                format!("is invalid UTF-8 from its byte {byte} on")
            })
        };
        macro_rules! value {
            ($array:expr) => {
                match $array.is_null(row) {
                    true => Err(NULL.to_owned()),
                    false => Ok($array.value(row)),
                }
            };
        }
        match self {
            Self::String(array) => value!(array),
            Self::LargeString(array) => value!(array),
            Self::StringView(array) => value!(array),
            Self::Binary(array) => value!(array).and_then(utf8),
            Self::LargeBinary(array) => value!(array).and_then(utf8),
            Self::BinaryView(array) => value!(array).and_then(utf8),
            Self::Dictionary { keys, rows, values } => match keys.get(row) {
                Some(key) if rows.is_valid(row) => values.get(*key),
                _ => Err(NULL.to_owned()),
            },
        }
    }
}

/// Integers of any width.
pub(super) struct Integers(ArrayRef);

impl Integers {
    /// Whether a column of that type has integers.
    pub(super) fn has(kind: &DataType) -> bool {
        kind.is_integer()
    }

    pub(super) fn of(column: &ArrayRef) -> anyhow::Result<Self> {
        match column.data_type() {
            kind if Self::has(kind) => Ok(Self(column.clone())),
            other => bail!("no integers but {other}"),
        }
    }

    /// The number of a row; else what is wrong with it.
    pub(super) fn get(&self, row: usize) -> Result<i64, String> {
        let array = &self.0;
        if array.is_null(row) {
            return Err(NULL.to_owned());
        }
        Ok(match array.data_type() {
            DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
            DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
            DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
            DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
            DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
            DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
            _ => {
                let number = array.as_primitive::<UInt64Type>().value(row);
                i64::try_from(number).map_err(|_| format!("is {number}, more than an int64 has"))?
            }
        })
    }
}
