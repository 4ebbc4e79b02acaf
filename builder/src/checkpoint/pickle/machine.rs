//! Python's pickle machine, with the opcodes that tensors are written with: those of protocol 2,
//! and what 3 to 5 add for the same values.
//!
//! Values are numbers in a table, so that one which many others share is there once, one that
//! holds itself is no cycle to free, and one in a million others is no deep recursion.

mod rebuild;

use super::cursor::Cursor;
use super::{OPCODES_MAX, PickleError, opcode};
use safetensors::Dtype;
use std::collections::HashMap;

/// The protocols whose opcodes these are.
const PROTOCOLS: std::ops::RangeInclusive<u8> = 2..=5;

/// Which value of a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(usize);

/// A value of a pickle.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// None, or a number or bytes that no tensor is described with.
    Plain,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict {
        items: Vec<[Id; 2]>,
        is_ordered: bool,
    },
    Global(Global),
    Storage(Storage<'a>),
    /// A parameter is its tensor.
    Tensor(Tensor<'a>),
}

/// A name that is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// Values of one type after one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    /// Its entry in the folder `data`.
    pub(super) key: &'a str,
    /// How many.
    pub(super) count: usize,
}

/// Some of a storage's values.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    /// The first of them.
    pub(super) offset: usize,
    /// A size and a stride for each dimension, counted in values.
    pub(super) dims: Vec<(usize, usize)>,
}

impl Tensor<'_> {
    pub(super) fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|(size, _)| *size).collect()
    }
}

/// What a pickle makes.
pub(super) struct Objects<'a> {
    values: Vec<Value<'a>>,
    /// The value of the whole.
    pub(super) top: Id,
}

impl<'a> Objects<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        get(&self.values, id)
    }

    /// All that the pickle names.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

/// A value. There is one for each number that was given out.
fn get<'v, 'a>(values: &'v [Value<'a>], id: Id) -> &'v Value<'a> {
    values.get(id.0).unwrap_or(&Value::Plain)
}

/// Reads a pickle, to its end.
pub(super) fn run(pickle: &[u8]) -> Result<Objects<'_>, PickleError> {
    let (objects, end) = run_first(pickle, 0)?;
    match end == pickle.len() {
        true => Ok(objects),
        false => Err(PickleError::Malformed {
            at: end,
            problem: "an end with something left",
        }),
    }
}

/// Reads the pickle that begins at `start`. Returns where it ends.
pub(super) fn run_first(bytes: &[u8], start: usize) -> Result<(Objects<'_>, usize), PickleError> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(start);
    let mut machine = Machine {
        cursor,
        start,
        at: start,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    for _ in 0..OPCODES_MAX {
        machine.at = machine.cursor.at();
        match machine.byte()? {
            opcode::STOP => return machine.stop(),
            opcode => machine.step(opcode)?,
        }
    }
    Err(PickleError::TooMany)
}

struct Machine<'a> {
    cursor: Cursor<'a>,
    /// Where the pickle begins.
    start: usize,
    /// The opcode, for errors.
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// How long the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            opcode::PROTO => self.protocol(),
            opcode::FRAME => self.frame(),
            opcode::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            opcode::NONE => self.push(Value::Plain),
            opcode::NEWTRUE => self.push(Value::Bool(true)),
            opcode::NEWFALSE => self.push(Value::Bool(false)),
            opcode::BININT1 => self.unsigned(1),
            opcode::BININT2 => self.unsigned(2),
            opcode::BININT => self.signed(4),
            opcode::LONG1 => self.long(),
            opcode::BINFLOAT => self.skip(|it| it.take(8)),
            opcode::SHORT_BINUNICODE => self.text(1),
            opcode::BINUNICODE => self.text(4),
            opcode::BINUNICODE8 => self.text(8),
            opcode::SHORT_BINBYTES => self.skip(|it| it.counted(1)),
            opcode::BINBYTES => self.skip(|it| it.counted(4)),
            opcode::BINBYTES8 => self.skip(|it| it.counted(8)),
            opcode::EMPTY_TUPLE => self.push(Value::Tuple(Vec::new())),
            opcode::TUPLE => self.tuple_from_mark(),
            opcode::TUPLE1 => self.tuple::<1>(),
            opcode::TUPLE2 => self.tuple::<2>(),
            opcode::TUPLE3 => self.tuple::<3>(),
            opcode::EMPTY_LIST => self.push(Value::List(Vec::new())),
            opcode::APPEND => self.append(),
            opcode::APPENDS => self.append_from_mark(),
            opcode::EMPTY_DICT => self.dict(false),
            opcode::SETITEM => self.set_item(),
            opcode::SETITEMS => self.set_items_from_mark(),
            opcode::BINPUT => self.put(1),
            opcode::LONG_BINPUT => self.put(4),
            opcode::MEMOIZE => self.memoize(),
            opcode::BINGET => self.get(1),
            opcode::LONG_BINGET => self.get(4),
            opcode::GLOBAL => self.global(),
            opcode::STACK_GLOBAL => self.global_from_stack(),
            opcode::BINPERSID => self.storage(),
            opcode::REDUCE => self.reduce(),
            opcode::BUILD => self.build(),
            refused => Err(PickleError::Opcode {
                at: self.at,
                name: opcode::name(refused),
            }),
        }
    }

    fn stop(mut self) -> Result<(Objects<'a>, usize), PickleError> {
        let top = self.pop()?;
        if self.stack.is_empty() && self.marks.is_empty() {
            let values = self.values;
            return Ok((Objects { values, top }, self.cursor.at()));
        }
        Err(self.malformed("an end with something left"))
    }

    fn malformed(&self, problem: &'static str) -> PickleError {
        PickleError::Malformed {
            at: self.at,
            problem,
        }
    }

    /// What the cursor had, if it was not at the end.
    fn read<T>(&self, it: Option<T>) -> Result<T, PickleError> {
        it.ok_or_else(|| self.malformed("an opcode that is cut short"))
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        let taken = self.cursor.take(1).and_then(<[u8]>::first).copied();
        self.read(taken)
    }

    fn number(&mut self, width: usize) -> Result<u64, PickleError> {
        let number = self.cursor.number(width);
        self.read(number)
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        if PROTOCOLS.contains(&self.byte()?) && self.at == self.start {
            return Ok(());
        }
        Err(self.malformed("an unknown protocol"))
    }

    /// A frame says how long the part is that a stream would read at once.
    fn frame(&mut self) -> Result<(), PickleError> {
        self.number(8).map(drop)
    }
}

/// The stack and the memo.
impl<'a> Machine<'a> {
    fn push(&mut self, value: Value<'a>) -> Result<(), PickleError> {
        self.stack.push(Id(self.values.len()));
        self.values.push(value);
        Ok(())
    }

    /// Takes a value that was pushed after the last mark.
    fn pop(&mut self) -> Result<Id, PickleError> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= bottom => Ok(id),
            _ => Err(self.malformed("a value missing on the stack")),
        }
    }

    /// Takes all values that were pushed after the last mark.
    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            Some(bottom) if bottom <= self.stack.len() => Ok(self.stack.drain(bottom..).collect()),
            _ => Err(self.malformed("no mark on the stack")),
        }
    }

    /// The value that is to be changed, which stays on the stack.
    fn top(&mut self) -> Result<&mut Value<'a>, PickleError> {
        let missing = self.malformed("a value missing on the stack");
        let bottom = self.marks.last().copied().unwrap_or(0);
        let ids = self.stack.get(bottom..).unwrap_or_default();
        let value = ids.last().and_then(|id| self.values.get_mut(id.0));
        value.ok_or(missing)
    }

    fn put(&mut self, width: usize) -> Result<(), PickleError> {
        let index = self.number(width)?;
        self.remember(index)
    }

    fn memoize(&mut self) -> Result<(), PickleError> {
        let index = u64::try_from(self.memo.len()).unwrap_or(u64::MAX);
        self.remember(index)
    }

    fn remember(&mut self, index: u64) -> Result<(), PickleError> {
        let id = self.pop()?;
        self.stack.push(id);
        self.memo.insert(index, id);
        Ok(())
    }

    fn get(&mut self, width: usize) -> Result<(), PickleError> {
        let index = self.number(width)?;
        let id = self.memo.get(&index).copied();
        self.stack
            .push(id.ok_or_else(|| self.malformed("a memo entry that is not there"))?);
        Ok(())
    }
}

/// Plain data.
impl<'a> Machine<'a> {
    fn unsigned(&mut self, width: usize) -> Result<(), PickleError> {
        let number = i64::try_from(self.number(width)?);
        self.push(number.map_or(Value::Plain, Value::Int))
    }

    fn long(&mut self) -> Result<(), PickleError> {
        let width = self.byte()?;
        self.signed(usize::from(width))
    }

    /// A number in two's complement, of which those of more than 64 bits are no sizes.
    fn signed(&mut self, width: usize) -> Result<(), PickleError> {
        let taken = self.cursor.take(width);
        let taken = self.read(taken)?;
        let is_negative = taken.last().is_some_and(|it| *it >= 0x80);
        let mut bytes = [if is_negative { 0xff } else { 0 }; 8];
        let value = match bytes.get_mut(..width) {
            Some(low) => {
                low.copy_from_slice(taken);
                Value::Int(i64::from_le_bytes(bytes))
            }
            None => Value::Plain,
        };
        self.push(value)
    }

    /// A value of which only the length matters.
    fn skip(
        &mut self,
        take: impl FnOnce(&mut Cursor<'a>) -> Option<&'a [u8]>,
    ) -> Result<(), PickleError> {
        let taken = take(&mut self.cursor);
        self.read(taken)?;
        self.push(Value::Plain)
    }

    fn text(&mut self, width: usize) -> Result<(), PickleError> {
        let text = self.cursor.counted(width);
        let text = self.utf8(self.read(text)?)?;
        self.push(Value::Text(text))
    }

    fn utf8(&self, text: &'a [u8]) -> Result<&'a str, PickleError> {
        str::from_utf8(text).map_err(|_| self.malformed("text that is not UTF-8"))
    }

    fn tuple<const N: usize>(&mut self) -> Result<(), PickleError> {
        let mut items = Vec::with_capacity(N);
        for _ in 0..N {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn tuple_from_mark(&mut self) -> Result<(), PickleError> {
        let items = self.pop_to_mark()?;
        self.push(Value::Tuple(items))
    }

    fn append(&mut self) -> Result<(), PickleError> {
        let item = self.pop()?;
        self.extend(&[item])
    }

    fn append_from_mark(&mut self) -> Result<(), PickleError> {
        let items = self.pop_to_mark()?;
        self.extend(&items)
    }

    fn extend(&mut self, more: &[Id]) -> Result<(), PickleError> {
        if let Value::List(items) = self.top()? {
            items.extend_from_slice(more);
            return Ok(());
        }
        Err(self.malformed("items for something that is no list"))
    }

    fn dict(&mut self, is_ordered: bool) -> Result<(), PickleError> {
        let items = Vec::new();
        self.push(Value::Dict { items, is_ordered })
    }

    fn set_item(&mut self) -> Result<(), PickleError> {
        let value = self.pop()?;
        let key = self.pop()?;
        self.set_items(&[key, value])
    }

    fn set_items_from_mark(&mut self) -> Result<(), PickleError> {
        let items = self.pop_to_mark()?;
        self.set_items(&items)
    }

    fn set_items(&mut self, more: &[Id]) -> Result<(), PickleError> {
        match (self.top()?, more.as_chunks()) {
            (Value::Dict { items, .. }, (pairs, [])) => {
                items.extend_from_slice(pairs);
                Ok(())
            }
            _ => {
                Err(self.malformed("items for something that is no dict, or a key without a value"))
            }
        }
    }
}
